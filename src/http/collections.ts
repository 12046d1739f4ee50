import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type ListedRow, listEntities } from '../storage/collections.js';
import type { Storage } from '../storage/storage.js';
import { parseAddress } from '../temporal/identity.js';
import { parsePoint } from '../temporal/point.js';
import { Refusal } from '../temporal/refusal.js';
import { answers, READING } from './answers.js';
import type { App } from './app-type.js';
import { entityText } from './entity-text.js';
import { fieldsOf, itemsOf, MAX_ITEMS, tooMany } from './lists.js';
import { ASKING, NOT_MODIFIED, readHeaders, sendUnlessKnown } from './reads.js';
import * as schemas from './schemas.js';
import { arrayText, objectText, scalarText } from './text.js';

/** The call that reads many entities. */
export function collectionRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities',
    {
      schema: {
        operationId: 'readEntities',
        tags: ['entities'],
        summary: 'Read many entities by their ids, now or as of an instant',
        querystring: z.strictObject({
          ids: schemas.list(`Up to ${MAX_ITEMS} UUIDs or type:key`, 'friend:rachel,friend:will'),
          asOf: schemas.optional('The entities as they were at an RFC 3339 instant', schemas.EXAMPLE_INSTANT),
          fields: schemas.fields,
        }),
        headers: readHeaders,
        response: answers(
          {
            200: {
              description: 'The entities that are there, and which are not',
              body: schemas.entityList,
              headers: {
                ETag: { ...schemas.etagHeader, description: 'Over every id and tick that the answer shows' },
              },
            },
            ...NOT_MODIFIED,
          },
          ASKING,
          READING,
        ),
      },
    },
    async ({ query, headers }, reply) => {
      const addresses = addressesOf(query.ids);
      const instant = query.asOf === undefined ? null : instantOf(query.asOf);
      const rows = await listEntities(storage, [...addresses.keys()], instant, fieldsOf(query.fields));
      const found = new Map(rows.flatMap((row) => (row.tick === null ? [] : [[row.id, row]])));
      const etag = tagOver([...addresses.keys()].map((id) => `${id} ${found.get(id)?.tick ?? 0}`));
      return sendUnlessKnown(reply, etag, headers, () => listText(addresses, found));
    },
  );
}

/**
 * The entities that are asked for, each once, by their ids, with the caller's words for them.
 * @throws Refusal `invalid_id`, `invalid_parameter`
 */
function addressesOf(parameter: string | string[]): Map<string, string> {
  const items = itemsOf(parameter);
  if (items.length > MAX_ITEMS) throw tooMany('ids', items.length);
  const addresses = new Map<string, string>();
  for (const item of items) {
    const { id, said } = parseAddress(item, 'ids');
    if (!addresses.has(id)) addresses.set(id, said);
  }
  return addresses;
}

/** A collection has no tick of its own. @throws Refusal `invalid_as_of` */
function instantOf(text: string): string {
  const point = parsePoint(text, 'asOf');
  if ('instant' in point) return point.instant;
  const message = 'is a tick, and many entities have many clocks: give an instant';
  throw new Refusal('invalid_as_of', `asOf ${message}.`, { errors: [{ path: 'asOf', message }] });
}

function listText(addresses: ReadonlyMap<string, string>, found: ReadonlyMap<string, FoundRow>): string {
  const items: string[] = [];
  const missing: string[] = [];
  for (const [id, said] of addresses) {
    const row = found.get(id);
    if (row && !row.deleted && row.properties !== null) {
      items.push(entityText({ ...row, properties: row.properties }));
      continue;
    }
    const code = !row ? 'entity_not_found' : row.deleted ? 'entity_deleted' : 'answer_full';
    missing.push(
      objectText([
        ['id', scalarText(said)],
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

const tagOver = (states: readonly string[]): string =>
  `"${createHash('sha256').update(states.join('\n')).digest('base64url').slice(0, 22)}"`;
