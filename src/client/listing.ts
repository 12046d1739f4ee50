/** What is read page by page. Each iteration asks anew, from where its query says, and asks for a page when it comes to it. */
export type Listing<Item, Page> = AsyncIterable<Item> & {
  /** The page that the query asks for. */
  page(): Promise<Page>;
  /** That page and those after it. */
  pages(): AsyncIterable<Page>;
};

/**
 * A list whose pages name the next one.
 * @param read reads the page at a cursor; undefined: that of the query
 * @param itemsOf the items of a page
 */
export function listing<Item, Page extends { next: string | null }>(
  read: (cursor: string | undefined) => Promise<Page>,
  itemsOf: (page: Page) => readonly Item[],
): Listing<Item, Page> {
  async function* pages(): AsyncGenerator<Page, void> {
    for (let cursor: string | undefined; ; ) {
      const page = await read(cursor);
      yield page;
      if (page.next === null) return;
      cursor = page.next;
    }
  }
  return {
    page: () => read(undefined),
    pages,
    async *[Symbol.asyncIterator]() {
      // A page may be empty without being the last.
      for await (const page of pages()) yield* itemsOf(page);
    },
  };
}
