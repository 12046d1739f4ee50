import { z } from 'zod';
import { type ActivityRow, type ActivityTick, readActivity, recordActivity } from '../../storage/activities.js';
import {
  type ActivityPlace,
  type ActivitySearch,
  type FoundActivity,
  searchActivities,
} from '../../storage/activity-search.js';
import type { Storage } from '../../storage/storage.js';
import { isUuid, newId, parseAddress } from '../../temporal/identity.js';
import { isBefore } from '../../temporal/point.js';
import { invalidCursor, Refusal } from '../../temporal/refusal.js';
import {
  CONDITION_PROBLEMS,
  NOT_MODIFIED,
  parseInstant,
  REVALIDATE,
  readHeaders,
  sendOrNotModified,
} from '../answers/reads.js';
import { activityId } from '../answers/writing.js';
import type { App } from '../app-type.js';
import { activitiesPage, activitiesQuery, activityQuery } from '../contract/activities.js';
import { EXAMPLE_ACTIVITY } from '../contract/examples.js';
import { cacheControlHeader, etagHeader, linkHeader, locationHeader } from '../contract/headers.js';
import { namesOf } from '../contract/lists.js';
import { noParameters } from '../contract/parameters.js';
import { BODY_PROBLEMS, READ_PROBLEMS, responsesOf, sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { callerSignal } from '../protocol/caller.js';
import { tagOfText } from '../protocol/conditions.js';
import { arrayText, type Member, objectText, scalarText } from '../protocol/json-text.js';
import { isOurInstant, linkNext, readCursor, writeCursor } from '../protocol/pages.js';

const pageHeaders = {
  ETag: { ...etagHeader, description: 'Over what the page shows' },
  Link: linkHeader,
  'Cache-Control': cacheControlHeader,
};

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
    '/activities',
    {
      schema: {
        operationId: 'searchActivities',
        tags: ['activities'],
        summary: 'Find activities: by who, why, when, and what they changed',
        description:
          'Newest first, page by page; all that is asked has to hold. A page may be short, even empty, without being the last: `next` says whether there is more. What is recorded meanwhile stands in no later page.',
        querystring: activitiesQuery,
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'A page of activities',
              content: { 'application/json': activitiesPage },
              headers: pageHeaders,
            },
            ...NOT_MODIFIED,
          },
          CONDITION_PROBLEMS,
          ['invalid_id', 'invalid_as_of', 'invalid_property_name', 'invalid_parameter', 'invalid_cursor'],
          ['too_much_to_read', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { limit, cursor } = request.query;
      const search = searchOf(request.query);
      const walk = JSON.stringify(['activities', search]);
      const position = { limit, after: placeOf(cursor, walk) };
      const { activities, next } = await searchActivities(storage, search, position, callerSignal(request.raw));
      // An instant has a full stop, which separates the parts of a cursor.
      const nextCursor = next && writeCursor(walk, [...next.recordedAt.split('.'), next.id]);
      const text = objectText([
        ['items', arrayText(activities.map(foundText))],
        ['next', linkNext(request, reply, nextCursor)],
      ]);
      reply.header('cache-control', REVALIDATE);
      return sendOrNotModified(reply, tagOfText(text), request.headers, () => text);
    },
  );

  app.get(
    '/activities/:id',
    {
      schema: {
        operationId: 'readActivity',
        tags: ['activities'],
        summary: 'An activity, and the ticks it made',
        description:
          'Page by page, in the order of the entities. A page with `include=changes` ends before it has more than 16 MiB of them.',
        params: z.strictObject({
          id: z.string().meta({ description: "The activity's UUID", example: EXAMPLE_ACTIVITY }),
        }),
        querystring: activityQuery,
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The activity',
              content: { 'application/json': schemas.activityPage },
              headers: pageHeaders,
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
      const { limit, cursor, include } = request.query;
      const withChanges = include === 'changes';
      const page = await readActivity(storage, id, { limit, after: afterOf(cursor, id), withChanges });
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

/** What a query searches for. @throws Refusal `invalid_as_of`, `invalid_id`, `invalid_property_name`, `invalid_parameter` */
function searchOf(query: z.output<typeof activitiesQuery>): ActivitySearch {
  const { actor = null, actorPrefix = null, reason = null, type = null, importId = null, entity } = query;
  const from = query.from === undefined ? null : parseInstant(query.from, 'from');
  const to = query.to === undefined ? null : parseInstant(query.to, 'to');
  if (from !== null && to !== null && isBefore(to, from))
    throw Refusal.at('invalid_parameter', 'to', 'lies before from');
  const entityId = entity === undefined ? null : parseAddress(entity, 'entity').id;
  const properties = namesOf(query.property, 'property');
  return { actor, actorPrefix, reason, from, to, importId, type, entityId, properties };
}

/** Where a page of a search begins. @throws Refusal `invalid_cursor` */
function placeOf(cursor: string | undefined, walk: string): ActivityPlace | null {
  if (cursor === undefined) return null;
  const [second, fraction, id = '', ...more] = readCursor(cursor, walk);
  const recordedAt = `${second}.${fraction}`;
  if (!isOurInstant(recordedAt) || !isUuid(id) || more.length > 0) throw invalidCursor();
  return { recordedAt, id };
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

const foundText = ({ tickCount, moreTicks, ...activity }: FoundActivity): string =>
  objectText([
    ...membersOf(activity),
    ['tickCount', scalarText(tickCount)],
    ['moreTicks', moreTicks ? 'true' : undefined],
  ]);

const tickText = ({ id, type, key, tick, at, op, changes }: ActivityTick): string =>
  objectText([
    ['id', scalarText(id)],
    ['type', scalarText(type)],
    ['key', key === null ? undefined : scalarText(key)],
    ['tick', scalarText(tick)],
    ['at', scalarText(at)],
    ['op', scalarText(op)],
    ['changes', changes],
  ]);
