/** What a pool has to do: how many pieces of work it was asked for and has not ended. `most` are under way at once, others wait. */
export type Use = { readonly most: number; asked: number };

/** Counts a piece of work for as long as it lasts. */
export async function metered<T>(use: Use, work: () => Promise<T>): Promise<T> {
  use.asked++;
  try {
    return await work();
  } finally {
    use.asked--;
  }
}
