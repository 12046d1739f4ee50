import { z } from 'zod';
import { type ActivityRow, type ActivityTick, readActivity, recordActivity } from '../../storage/activities.js';
import type { Storage } from '../../storage/storage.js';
import { isUuid, newId } from '../../temporal/identity.js';
import { invalidCursor, Refusal } from '../../temporal/refusal.js';
import { CONDITION_PROBLEMS, NOT_MODIFIED, REVALIDATE, readHeaders, sendOrNotModified } from '../answers/reads.js';
import { activityId } from '../answers/writing.js';
import type { App } from '../app-type.js';
import { EXAMPLE_ACTIVITY } from '../contract/examples.js';
import { cacheControlHeader, etagHeader, linkHeader, locationHeader } from '../contract/headers.js';
import { noParameters, pageParameters } from '../contract/parameters.js';
import { BODY_PROBLEMS, READ_PROBLEMS, responsesOf, sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { tagOfText } from '../protocol/conditions.js';
import { arrayText, type Member, objectText, scalarText } from '../protocol/json-text.js';
import { linkNext, readCursor, writeCursor } from '../protocol/pages.js';

/** The calls on activities: who made changes, and why. */
export function activityRoutes(app: App, storage: Storage): void {
  app.post(
    '/activities',
    {
      schema: {
        operationId: 'recordActivity',
        tags: ['activities'],
        summary: 'Record an activity, for writes to name by Activity-Id',
        description: 'One activity may make ticks of many entities, at most one of each.',
        querystring: noParameters,
        body: schemas.jsonBody(schemas.givenActivity),
        response: responsesOf(
          {
            201: {
              description: 'Recorded',
              content: { 'application/json': schemas.recordedActivity },
              headers: { Location: { ...locationHeader, example: `/activities/${EXAMPLE_ACTIVITY}` } },
            },
          },
          BODY_PROBLEMS,
          ['activity_too_large', 'too_many_writers', 'outcome_unknown', 'database_unavailable'],
        ),
      },
    },
    async ({ body }, reply) => {
      const activity = await recordActivity(storage, newId(), body);
      reply.code(201).header('location', `/activities/${activity.id}`);
      return sendJson(reply, objectText(membersOf(activity)));
    },
  );

  app.get(
    '/activities/:id',
    {
      schema: {
        operationId: 'readActivity',
        tags: ['activities'],
        summary: 'An activity, and the ticks it made',
        description: 'Page by page, in the order of the entities.',
        params: z.strictObject({
          id: z.string().meta({ description: "The activity's UUID", example: EXAMPLE_ACTIVITY }),
        }),
        querystring: z.strictObject(pageParameters),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The activity',
              content: { 'application/json': schemas.activityPage },
              headers: {
                ETag: { ...etagHeader, description: 'Over what the page shows' },
                Link: linkHeader,
                'Cache-Control': cacheControlHeader,
              },
            },
            ...NOT_MODIFIED,
          },
          CONDITION_PROBLEMS,
          ['invalid_activity_id', 'invalid_parameter', 'invalid_cursor', 'activity_not_found'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const id = activityId(request.params.id, 'id');
      const { limit, cursor } = request.query;
      const page = await readActivity(storage, id, { limit, after: afterOf(cursor, id) });
      if (!page) throw new Refusal('activity_not_found', `There is no activity ${id}.`);
      const last = page.more ? page.ticks.at(-1) : undefined;
      const next = linkNext(request, reply, last ? writeCursor(`activity ${id}`, [last.id]) : null);
      const text = objectText([
        ...membersOf(page.activity),
        ['ticks', arrayText(page.ticks.map(tickText))],
        ['next', next],
      ]);
      reply.header('cache-control', REVALIDATE);
      return sendOrNotModified(reply, tagOfText(text), request.headers, () => text);
    },
  );
}

function afterOf(cursor: string | undefined, id: string): string | null {
  if (cursor === undefined) return null;
  const [after = ''] = readCursor(cursor, `activity ${id}`);
  if (!isUuid(after)) throw invalidCursor();
  return after;
}

const membersOf = ({ id, actor, reason, metadata, recordedAt, importId }: ActivityRow): Member[] => [
  ['id', scalarText(id)],
  ['actor', actor === null ? undefined : scalarText(actor)],
  ['reason', reason === null ? undefined : scalarText(reason)],
  ['metadata', metadata ?? undefined],
  ['recordedAt', scalarText(recordedAt)],
  ['importId', importId === null ? undefined : scalarText(importId)],
];

const tickText = ({ id, type, key, tick, at, op }: ActivityTick): string =>
  objectText([
    ['id', scalarText(id)],
    ['type', scalarText(type)],
    ['key', key === null ? undefined : scalarText(key)],
    ['tick', scalarText(tick)],
    ['at', scalarText(at)],
    ['op', scalarText(op)],
  ]);
