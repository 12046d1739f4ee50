/**
 * The items of a parameter that takes many: separated by commas, the parameter repeated, or both. Keys and names of
 * properties may hold commas themselves: `\,` is one inside an item, and `\\` a backslash.
 *
 * Percent-encoding cannot tell the two apart: clients encode all commas of a parameter (URLSearchParams, Python's
 * requests), or none.
 */
export function itemsOf(parameter: string | readonly string[]): string[] {
  const lists = typeof parameter === 'string' ? [parameter] : parameter;
  return lists.flatMap((list) => {
    const items: string[] = [];
    let item = '';
    for (const [token] of list.matchAll(/\\[\\,]|,|\\|[^\\,]+/g)) {
      if (token === ',') {
        items.push(item);
        item = '';
      } else item += token.length > 1 && token.startsWith('\\') ? token.slice(1) : token;
    }
    return [...items, item];
  });
}
