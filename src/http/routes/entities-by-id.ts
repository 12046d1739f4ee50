import type { FastifyReply, FastifyRequest } from 'fastify';
import { type ListedRow, listEntities } from '../../storage/entities-by-id.js';
import type { Storage } from '../../storage/storage.js';
import { parseAddress } from '../../temporal/identity.js';
import { entityText, mementoText } from '../answers/entity-text.js';
import { IMMUTABLE, parseInstant, REVALIDATE, sendOrNotModified } from '../answers/reads.js';
import { fieldsOf, itemsOf, MAX_ITEMS, tooMany } from '../contract/lists.js';
import { type ReadConditions, tagOfText } from '../protocol/conditions.js';
import { arrayText, objectText, scalarText } from '../protocol/json-text.js';
import { dateOf, httpDate, originalLinks } from '../protocol/memento.js';
import { fitsInHeaders, targetOf } from '../protocol/pages.js';

type ByIdRequest = FastifyRequest & {
  query: { asOf?: string | undefined; recordedAsOf?: string | undefined; fields?: string | string[] | undefined };
  headers: ReadConditions & { 'accept-datetime'?: string | undefined };
};

/**
 * Answers with the entities that `ids` names, now or as of an instant, by what is recorded or was recorded by another; perhaps with who set
 * what they have.
 */
export async function sendNamed(
  storage: Storage,
  request: ByIdRequest,
  reply: FastifyReply,
  ids: string | string[],
  withProvenance: boolean,
): Promise<FastifyReply> {
  const { query, headers } = request;
  const addresses = addressesOf(ids);
  const url = targetOf(request, { asOf: null, recordedAsOf: null });
  const fits = fitsInHeaders(url);
  if (fits) reply.header('link', originalLinks(url));
  if (query.asOf === undefined) reply.header('vary', 'accept-datetime');
  const date = headers['accept-datetime'];
  const moment =
    query.asOf !== undefined
      ? { instant: parseInstant(query.asOf, 'asOf') }
      : date !== undefined
        ? { date: dateOf(date) }
        : null;
  const recordedAsOf = query.recordedAsOf === undefined ? null : parseInstant(query.recordedAsOf, 'recordedAsOf');
  const question = { fields: fieldsOf(query.fields), withProvenance, recordedAsOf };
  const rows = await listEntities(storage, [...addresses.keys()], moment, question);
  const found = new Map(rows.flatMap((row) => (row.tick === null ? [] : [[row.id, row]])));
  // Over the id and the tick of each.
  const etag = tagOfText([...addresses.keys()].map((id) => `${id} ${found.get(id)?.tick ?? 0}`).join('\n'));
  const newest = [...found.values()]
    .map(({ updatedAt }) => updatedAt)
    .sort()
    .at(-1);
  if ((moment || recordedAsOf !== null) && newest !== undefined) {
    reply.header('memento-datetime', httpDate(newest));
    if (fits) reply.header('content-location', targetOf(request, { asOf: newest }));
  }
  reply.header('cache-control', recordedAsOf === null ? REVALIDATE : IMMUTABLE);
  return sendOrNotModified(reply, etag, headers, () =>
    listText(addresses, found, moment || recordedAsOf !== null ? mementoText : entityText),
  );
}

/**
 * The entities that the caller names, each once: from their ids to their labels.
 * @throws Refusal `invalid_id`, `invalid_parameter`
 */
function addressesOf(parameter: string | string[]): Map<string, string> {
  const items = itemsOf(parameter);
  if (items.length > MAX_ITEMS) throw tooMany('ids', items.length);
  const addresses = new Map<string, string>();
  for (const item of items) {
    const { id, label } = parseAddress(item, 'ids');
    if (!addresses.has(id)) addresses.set(id, label);
  }
  return addresses;
}

/** The answer. An entity that it does not show stands in `missing`, with the reason. */
function listText(
  addresses: ReadonlyMap<string, string>,
  found: ReadonlyMap<string, FoundRow>,
  textOf: typeof entityText,
): string {
  const items: string[] = [];
  const missing: string[] = [];
  for (const [id, label] of addresses) {
    const row = found.get(id);
    if (row && !row.deleted && row.properties !== null) {
      items.push(textOf({ ...row, properties: row.properties }));
      continue;
    }
    const code = !row ? 'entity_not_found' : row.deleted ? 'entity_deleted' : 'answer_full';
    missing.push(
      objectText([
        ['id', scalarText(label)],
        ['code', scalarText(code)],
      ]),
    );
  }
  return objectText([
    ['items', arrayText(items)],
    ['missing', arrayText(missing)],
  ]);
}

type FoundRow = Extract<ListedRow, { tick: number }>;
