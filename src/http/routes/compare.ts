import { z } from 'zod';
import type { Collection } from '../../storage/collections.js';
import { readComparedPage, readComparison } from '../../storage/compare.js';
import { pointFor } from '../../storage/known.js';
import { readSnapshot } from '../../storage/pins.js';
import type { Storage } from '../../storage/storage.js';
import { begun, existing } from '../../temporal/entity.js';
import { isUuid, parseAddress } from '../../temporal/identity.js';
import { isBefore, parsePoint } from '../../temporal/point.js';
import { patchesOfAnswer } from '../answers/patches.js';
import {
  CONDITION_PROBLEMS,
  IMMUTABLE,
  knownOf,
  NOT_MODIFIED,
  parseInstant,
  REVALIDATE,
  readHeaders,
  sendNotModified,
  sendOrNotModified,
} from '../answers/reads.js';
import { positionOf, type SnapshotWalk, snapshotTag } from '../answers/snapshots.js';
import type { App } from '../app-type.js';
import {
  comparedPage,
  comparison,
  deletedThen,
  instantsParameter,
  momentsOf,
  momentsParameter,
  only,
} from '../contract/compare.js';
import { filterOf } from '../contract/filters.js';
import { cacheControlHeader, etagHeader, linkHeader } from '../contract/headers.js';
import { fieldsOf } from '../contract/lists.js';
import { depth, entityParameters, fields, filters, pageParameters, recordedAsOf } from '../contract/parameters.js';
import { AS_OF_PROBLEMS, READ_PROBLEMS, responsesOf, sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import { isConditional, isNotModified } from '../protocol/conditions.js';
import { arrayText, objectText, scalarText } from '../protocol/json-text.js';
import { isPlaceKey, linkNext, snapshotCursor } from '../protocol/pages.js';

/** The calls that put several states side by side: of one entity, or of each entity of a type. */
export function compareRoutes(app: App, storage: Storage): void {
  app.get(
    '/entities/:id/compare',
    {
      schema: {
        operationId: 'compareEntity',
        tags: ['entities'],
        summary: 'Several states of an entity, side by side',
        description:
          'By property its values at each moment. A moment before the entity was created has no tick; where it had not been created by any of them, the answer is 404. Each state may be a tombstone.',
        params: entityParameters,
        querystring: z.strictObject({ at: momentsParameter, recordedAsOf, fields, only, depth }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The states',
              content: { 'application/json': comparison },
              headers: {
                ETag: { ...etagHeader, description: 'Over the ticks of all moments', example: '"1-2-5"' },
                'Cache-Control': cacheControlHeader,
              },
            },
            ...NOT_MODIFIED,
          },
          ['invalid_id', ...AS_OF_PROBLEMS, 'invalid_property_name', 'invalid_parameter', ...CONDITION_PROBLEMS],
          ['entity_not_found', 'tick_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async ({ params, query, headers, raw }, reply) => {
      const address = parseAddress(params.id);
      const { id, label } = address;
      const at = momentsOf(query.at, parsePoint);
      const asked = { at, fields: fieldsOf(query.fields), isDiffering: query.only === 'differing' };
      const known = await knownOf(storage, address, query.recordedAsOf, callerSignal(raw));
      const found = existing(await readComparison(storage, id, asked, known, callerSignal(raw)), label);
      const { moments } = found;
      const isNowhere = moments.every(({ tick }) => tick === null);
      // Whether it came to be later must not matter: the same question has the same answer.
      for (const [n, moment] of moments.entries()) {
        const point = at[n];
        if (point && (isNowhere || 'tick' in point)) begun(moment, label, point);
      }
      const isFixed = known !== null || at.every((point) => point !== null && 'tick' in point);
      reply.header('cache-control', isFixed ? IMMUTABLE : REVALIDATE);
      const etag = `"${moments.map(({ tick }) => tick ?? 0).join('-')}"`;
      return sendOrNotModified(reply, etag, headers, () => {
        const properties = found.properties.flatMap(({ property, values }): [string, string][] =>
          values === null ? [] : [[property, values]],
        );
        const truncated = found.properties.flatMap(({ property, values }) =>
          values === null ? [scalarText(property)] : [],
        );
        const text = objectText([
          ['moments', arrayText(moments.map((moment) => moment.text))],
          ['properties', objectText(properties)],
          ['truncated', truncated.length > 0 ? arrayText(truncated) : undefined],
        ]);
        return query.depth ? patchesOfAnswer().withPatches(text) : text;
      });
    },
  );

  app.get(
    '/types/:type/compare',
    {
      schema: {
        operationId: 'compareEntities',
        tags: ['types'],
        summary: 'Several states of each of the entities of a type, side by side',
        description:
          'The entities are those of the collection as of the last moment that is named: those that are there then, and pass the filter. Page by page, in the order of collections; all pages show the same states, whatever is written or imported meanwhile.',
        params: z.strictObject({ type: schemas.entityType }),
        querystring: z.strictObject({
          at: instantsParameter,
          ...filters,
          deleted: deletedThen,
          recordedAsOf,
          fields,
          only,
          depth,
          ...pageParameters,
        }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'A page of entities, each at all moments',
              content: { 'application/json': comparedPage },
              headers: {
                ETag: { ...etagHeader, description: 'What the page can show' },
                Link: linkHeader,
                'Cache-Control': cacheControlHeader,
              },
            },
            ...NOT_MODIFIED,
          },
          [...AS_OF_PROBLEMS, 'invalid_parameter', 'invalid_property_name', 'invalid_filter', 'invalid_cursor'],
          [...CONDITION_PROBLEMS, 'too_much_to_read'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const { type } = params;
      const signal = callerSignal(raw);
      const at = momentsOf(query.at, parseInstant);
      const filter = filterOf(query, type);
      const deleted = query.deleted ?? (filter.everHad.length > 0 ? 'include' : 'exclude');
      const collection = { type, keyPrefix: null, deleted, ...filter } satisfies Collection;
      const compared = { at, fields: fieldsOf(query.fields), isDiffering: query.only === 'differing' };
      const latest = at.reduce((one, other) => (one === null || (other && isBefore(one, other)) ? other : one));
      const isUntilNow = at.includes(null);
      const recorded = query.recordedAsOf === undefined ? null : parseInstant(query.recordedAsOf, 'recordedAsOf');
      const walk = {
        asOf: (isUntilNow ? recorded : latest) ?? undefined,
        isPlace: ([key = '', id = '', ...more]) => isPlaceKey(key) && isUuid(id) && more.length === 0,
      } satisfies Pick<SnapshotWalk, 'asOf' | 'isPlace'>;
      const name = JSON.stringify(['compare', collection, compared]);
      // As of now is as of the newest stable instant, and that has to be no earlier than any other moment.
      if (isUntilNow && latest !== null && query.cursor === undefined)
        await pointFor(storage, { instant: latest }, null, signal);
      const { question, place } = positionOf({ query, headers: {} }, walk, name);
      const { newest, isFixed, page } = await readSnapshot(
        storage,
        type,
        question,
        isConditional(headers) ? (newest) => isNotModified(snapshotTag(newest), headers) : null,
        (pin) => {
          const [key = '', id = ''] = place ?? [];
          const part = { after: place && { type, key, id }, limit: query.limit, isPatched: query.depth !== undefined };
          return readComparedPage(storage, collection, compared, pin, part, signal);
        },
        signal,
      );
      reply.header('etag', snapshotTag(newest)).header('cache-control', isFixed ? IMMUTABLE : REVALIDATE);
      if (!page) return sendNotModified(reply);
      const { items, next } = page;
      const cursor = next === null || newest.asOf === null ? null : snapshotCursor(name, newest, [next.key, next.id]);
      const text = objectText([
        ['asOf', scalarText(newest.asOf)],
        ['recordedAsOf', scalarText(newest.recordedAsOf)],
        ['items', arrayText(query.depth ? items.map(patchesOfAnswer().withPatches) : items)],
        ['next', linkNext(request, reply, cursor)],
      ]);
      return sendJson(reply, text);
    },
  );
}
