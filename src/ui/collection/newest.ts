import { service } from '../service.js';

/** No key begins so, or hardly one: a page of such is read at once, and it says when the newest change of its type was. */
const NO_KEY = '\u{10FFFF}';

/** The instant of the newest change of a type at or before an instant, or of all (undefined); null: nothing was there yet. */
export async function newestChange(
  type: string,
  asOf: string | undefined,
  signal: AbortSignal,
): Promise<string | null> {
  const page = await service.entities.list({ type, keyPrefix: NO_KEY, limit: 1, asOf }, { signal }).page();
  return page.asOf;
}
