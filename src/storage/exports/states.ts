import { type PageForm, readPage } from '../collections.js';
import { arrayText } from '../engine/pools.js';
import type { Pin } from '../pins.js';
import { engine, type Storage } from '../storage.js';
import { addressText, cellText, PAGE_BYTES, type RowsOfType, withEnds } from './rows.js';

/** How many entities a page has at most. */
const ENTITIES_AT_ONCE = 1_000;

/** How an entity is written. */
type Form = PageForm['textOf'];

/** As a line of an import, without anything of when or how it was recorded. */
export const stateLine: Form = (sql, { properties }) =>
  sql`'{' || ${addressText(sql)} || ', "properties": ' || ${properties} || '}'`;

/** As a row of a table: who it is, its tick and its instants, and these properties. */
export const stateCells =
  (fields: readonly string[]): Form =>
  (sql, { properties }) =>
    sql`
    to_json(ARRAY[e.id::text, e.key, e.past_tick::text, clocktick.instant_text(e.created_at), clocktick.instant_text(e.past_at)]
            || ARRAY(SELECT ${cellText(sql, sql`held.value`)}
                       FROM unnest(${arrayText(fields)}::text::text[]) WITH ORDINALITY AS field (name, n)
                       LEFT JOIN jsonb_each((${properties})::jsonb) held ON held.key = field.name
                      ORDER BY field.n))::text`;

/** The entities of a type that are there as of a pin, in the order of collections, after a place (key, id). */
export async function readStatesPage(
  storage: Storage,
  { type, fields, form }: { type: string; fields: readonly string[] | null; form: Form },
  pin: Pin,
  after: readonly string[] | null,
): Promise<RowsOfType> {
  const living = { type, keyPrefix: null, deleted: 'exclude', where: [], everHad: [], changedAfter: null } as const;
  const [key = '', id = ''] = after ?? [];
  const { items, next } = await readPage(
    storage,
    living,
    pin,
    { after: after && { type, key, id }, limit: ENTITIES_AT_ONCE, fields, withChanges: false },
    undefined,
    { textOf: form, between: '\n', bytes: PAGE_BYTES, run: storage[engine].exporting },
  );
  return { rows: withEnds(items), next: next && [next.key, next.id] };
}
