import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { isDefinable, reservedType } from '../../definitions/admission.js';
import type { Outcome } from '../../storage/deciding.js';
import { definitionId } from '../../storage/definitions.js';
import { ANSWER_BYTES, type EntityRow } from '../../storage/rows.js';
import { readState } from '../../storage/states.js';
import type { Storage } from '../../storage/storage.js';
import { readTicks, type TickRow } from '../../storage/ticks.js';
import { readTypes, type TypeRow } from '../../storage/types.js';
import { put, remove, replacement } from '../../temporal/change.js';
import { begun, living } from '../../temporal/entity.js';
import type { Address } from '../../temporal/identity.js';
import { DEFINITION_TYPE, TYPE_PATTERN } from '../../temporal/limits.js';
import { parsePoint } from '../../temporal/point.js';
import { invalidCursor, Refusal } from '../../temporal/refusal.js';
import {
  isMinimal,
  previewText,
  type SendOutcome,
  sendMinimal,
  sendTombstone,
  writeAnswerHeaders,
} from '../answers/outcomes.js';
import {
  CONDITION_PROBLEMS,
  IMMUTABLE,
  knownOf,
  NEVER_KEPT,
  NOT_MODIFIED,
  REVALIDATE,
  readHeaders,
  sendOrNotModified,
} from '../answers/reads.js';
import { typeDocumentText } from '../answers/typed-documents.js';
import {
  deletionHeaders,
  intentOf,
  perform,
  returnParameters,
  type WriteRules,
  writeHeaders,
  writeParameters,
} from '../answers/writing.js';
import type { App } from '../app-type.js';
import { cacheControlHeader, etagHeader, linkHeader } from '../contract/headers.js';
import { optionalPoint, order, pageParameters, recordedAsOf } from '../contract/parameters.js';
import {
  ADDRESSED_WRITE_PROBLEMS,
  AS_OF_PROBLEMS,
  BODY_PROBLEMS,
  READ_PROBLEMS,
  responsesOf,
  sendJson,
} from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import * as contract from '../contract/types.js';
import { callerSignal } from '../protocol/caller.js';
import { etagOf } from '../protocol/conditions.js';
import { arrayText, objectText, scalarText } from '../protocol/json-text.js';
import { httpDate } from '../protocol/memento.js';
import { historyCursor, historyPosition, linkNext, readCursor, writeCursor } from '../protocol/pages.js';

const parameters = z.strictObject({ type: schemas.entityType });

/** The walk through all types, for its cursors. */
const ALL_TYPES = 'types';

/**
 * The calls on types and what defines them. A definition is an entity of the type `clocktick-type`, so its history, its differences, its
 * reverts and snapshots are those of entities; these calls give it a URL and a shape of its own.
 */
export function definitionRoutes(app: App, storage: Storage, rules: WriteRules): void {
  app.get(
    '/types',
    {
      schema: {
        operationId: 'readTypes',
        tags: ['types'],
        summary: 'The types that there are, with how many entities each has had',
        description: 'In the order of their names: those that have entities, and those that are defined.',
        querystring: z.strictObject(pageParameters),
        response: responsesOf(
          {
            200: {
              description: 'A page of types',
              content: { 'application/json': contract.typePage },
              headers: { Link: linkHeader, 'Cache-Control': cacheControlHeader },
            },
          },
          ['invalid_parameter', 'invalid_cursor', 'too_much_to_read', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { limit, cursor } = request.query;
      const [after = ''] = cursor === undefined ? [] : readCursor(cursor, ALL_TYPES);
      if (cursor !== undefined && !TYPE_PATTERN.test(after)) throw invalidCursor();
      const { types, more } = await readTypes(storage, { after, limit }, callerSignal(request.raw));
      const last = types.at(-1)?.type;
      reply.header('cache-control', NEVER_KEPT);
      const next = linkNext(request, reply, more && last !== undefined ? writeCursor(ALL_TYPES, [last]) : null);
      return sendJson(
        reply,
        objectText([
          ['items', arrayText(types.map(typeText))],
          ['next', next],
        ]),
      );
    },
  );

  app.put(
    '/types/:type',
    {
      schema: {
        operationId: 'putDefinition',
        tags: ['types'],
        summary: 'Define a type, or define it anew',
        description:
          'Refused where entities of the type would be invalid as they are now, unless `evenIfInvalid`. What is recorded stays readable for ever. Who and why: `Activity-Id`.',
        params: parameters,
        querystring: returnParameters,
        headers: writeHeaders,
        body: schemas.jsonBody(contract.definition),
        response: responsesOf(
          {
            200: { description: 'The definition as it now stands', content: CONTENT, headers: writeAnswerHeaders },
            201: { description: 'The type is defined', content: CONTENT, headers: writeAnswerHeaders },
            204: { description: 'The same without a body, by `Prefer: return=minimal`', headers: writeAnswerHeaders },
          },
          BODY_PROBLEMS,
          ADDRESSED_WRITE_PROBLEMS,
          ['reserved_type', 'invalid_definition', 'entities_not_valid', 'invalid_property_name', 'too_much_to_read'],
        ),
      },
    },
    async (request, reply) => {
      const address = addressOf(request.params.type);
      const intent = intentOf(rules, address.label, request.headers);
      const wanted = replacement(intent, address, { type: DEFINITION_TYPE, properties: request.body });
      const write = { id: address.id, activity: wanted.activity };
      return perform(
        storage,
        request,
        reply,
        { ...write, decide: (current) => put(current, wanted) },
        sendDefinition,
        sendDry,
      );
    },
  );

  app.get(
    '/types/:type',
    {
      schema: {
        operationId: 'readDefinition',
        tags: ['types'],
        summary: 'The definition of a type, now or as of a tick or an instant',
        description:
          'A type that nobody has defined is open: 404. One whose definition was deleted is open again: 410.',
        params: parameters,
        querystring: z.strictObject({
          asOf: optionalPoint('AsOf', 'As it was at a tick, or at an RFC 3339 instant'),
          recordedAsOf,
        }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The definition',
              content: CONTENT,
              headers: { ETag: etagHeader, 'Cache-Control': cacheControlHeader },
            },
            ...NOT_MODIFIED,
          },
          [...AS_OF_PROBLEMS, 'invalid_parameter', ...CONDITION_PROBLEMS],
          ['reserved_type', 'type_not_defined', 'entity_not_found', 'tick_not_found', 'entity_deleted', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const { state, point, known } = await definitionAt(storage, params.type, query, callerSignal(raw));
      reply.header('cache-control', known || (point && 'tick' in point) ? IMMUTABLE : REVALIDATE);
      if (point || known) {
        reply.header('content-location', `/types/${params.type}?asOf=${state.tick}`);
        reply.header('memento-datetime', httpDate(state.updatedAt));
      }
      return sendOrNotModified(reply, etagOf(state.tick), headers, () => definitionText(state));
    },
  );

  app.get(
    '/types/:type/openapi',
    {
      schema: {
        operationId: 'readTypeOpenapi',
        tags: ['types'],
        summary: 'An OpenAPI document of the calls on entities of a type, with its properties',
        description:
          'To generate clients of: they know the properties. `info.version` is the tick of the definition. `/openapi.yaml?types=true` is the document of all calls, with the types that are defined.',
        params: parameters,
        querystring: z.strictObject({
          asOf: optionalPoint('AsOf', 'As it was at a tick, or at an RFC 3339 instant'),
          recordedAsOf,
        }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'The document',
              content: { 'application/json': contract.typeDocument },
              headers: { ETag: etagHeader, 'Cache-Control': cacheControlHeader },
            },
            ...NOT_MODIFIED,
          },
          [...AS_OF_PROBLEMS, 'invalid_parameter', ...CONDITION_PROBLEMS, 'invalid_definition'],
          ['reserved_type', 'type_not_defined', 'entity_not_found', 'tick_not_found', 'entity_deleted', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const { state } = await definitionAt(storage, params.type, query, callerSignal(raw));
      // Another version of the service may describe the same definition otherwise.
      reply.header('cache-control', REVALIDATE);
      return sendOrNotModified(reply, etagOf(state.tick), headers, () =>
        typeDocumentText(app, { type: params.type, tick: state.tick, properties: state.properties }),
      );
    },
  );

  app.delete(
    '/types/:type',
    {
      schema: {
        operationId: 'deleteDefinition',
        tags: ['types'],
        summary: 'Make a type open again',
        description: 'Its entities stay, and so do the definitions that it had. Again: the same answer, and no tick.',
        params: parameters,
        querystring: writeParameters,
        headers: deletionHeaders,
        response: responsesOf(
          {
            200: { description: 'Of a dry run, what it would do', content: CONTENT },
            204: { description: 'It is open, now or already', headers: writeAnswerHeaders },
          },
          ADDRESSED_WRITE_PROBLEMS,
          ['reserved_type', 'entity_not_found'],
        ),
      },
    },
    async (request, reply) => {
      const { id, label } = addressOf(request.params.type);
      const wanted = intentOf(rules, label, request.headers);
      const write = { id, activity: wanted.activity };
      return perform(
        storage,
        request,
        reply,
        { ...write, decide: (current) => remove(current, wanted) },
        sendTombstone,
        sendDry,
      );
    },
  );

  app.get(
    '/types/:type/versions',
    {
      schema: {
        operationId: 'readVersions',
        tags: ['types'],
        summary: 'The definitions that a type has had, each with who made it, when and why',
        description: 'Page by page, oldest first or newest first. A walk shows what its first page knew.',
        params: parameters,
        querystring: z.strictObject({ recordedAsOf, order, ...pageParameters }),
        headers: readHeaders,
        response: responsesOf(
          {
            200: {
              description: 'A page of versions',
              content: { 'application/json': contract.versionPage },
              headers: { ETag: etagHeader, Link: linkHeader, 'Cache-Control': cacheControlHeader },
            },
            ...NOT_MODIFIED,
          },
          [...AS_OF_PROBLEMS, 'invalid_parameter', 'invalid_cursor', ...CONDITION_PROBLEMS],
          ['reserved_type', 'type_not_defined', 'entity_not_found', 'overloaded'],
          READ_PROBLEMS,
        ),
      },
    },
    async (request, reply) => {
      const { params, query, headers, raw } = request;
      const address = addressOf(params.type);
      const walk = `versions ${address.id}`;
      const known = await knownOf(storage, address, query.recordedAsOf, callerSignal(raw));
      const page = historyPosition(query, walk, known);
      const question = { id: address.id, properties: null, from: null, to: null, withChanges: false };
      const history = await readTicks(storage, question, page);
      if (history.found !== 'page') throw notDefined(params.type);
      const versions = await versionsOf(storage, address, history.ticks, callerSignal(raw));
      const after = history.more || versions.length < history.ticks.length ? versions.at(-1)?.tick : undefined;
      const cursor = after === undefined ? null : historyCursor(walk, page.order, history.until, after);
      reply.header('cache-control', history.until === page.until ? IMMUTABLE : REVALIDATE);
      return sendOrNotModified(reply, etagOf(history.until), headers, () =>
        objectText([
          ['items', arrayText(versions.map(versionText))],
          ['next', linkNext(request, reply, cursor)],
        ]),
      );
    },
  );
}

/**
 * The definition of a type, now or as of a point.
 * @throws Refusal `reserved_type`, `type_not_defined`, `entity_deleted`, and as a read as of a point
 */
async function definitionAt(
  storage: Storage,
  type: string,
  { asOf, recordedAsOf }: { asOf?: string | undefined; recordedAsOf?: string | undefined },
  signal: AbortSignal,
) {
  const address = addressOf(type);
  const point = asOf === undefined ? null : parsePoint(asOf, 'asOf');
  const known = await knownOf(storage, address, recordedAsOf, signal);
  const question = { id: address.id, fields: null, include: null, withRelated: false, known };
  const { entity } = await readState(storage, question, point, signal);
  if (!entity) throw notDefined(type);
  return { state: living(begun(entity, address.label, point ?? { tick: 1 }), address.label), point, known };
}

const CONTENT = { 'application/json': contract.writtenDefinition };

/** The definition of a type, as an address. @throws Refusal `reserved_type` */
function addressOf(type: string): Address {
  if (!isDefinable(type)) throw reservedType(type);
  return { id: definitionId(type), label: `${DEFINITION_TYPE}:${type}`, named: { type: DEFINITION_TYPE, key: type } };
}

const notDefined = (type: string) =>
  new Refusal('type_not_defined', `Nobody has defined the type ${type}: it takes any properties.`);

/** A version of a definition: the tick that made it, and the definition; null: it was deleted. */
type Version = TickRow & { definition: string | null };

/** The definitions as of ticks, as many as an answer holds. */
async function versionsOf(
  storage: Storage,
  { id }: Address,
  ticks: readonly TickRow[],
  signal: AbortSignal,
): Promise<Version[]> {
  const versions: Version[] = [];
  let bytes = 0;
  for (const tick of ticks) {
    const question = { id, fields: null, include: null, withRelated: false, known: null };
    const { entity } = await readState(storage, question, { tick: tick.tick }, signal);
    const definition = !entity || entity.tick === null || entity.deleted ? null : entity.properties;
    bytes += definition?.length ?? 0;
    if (bytes > ANSWER_BYTES && versions.length > 0) return versions;
    versions.push({ ...tick, definition });
  }
  return versions;
}

/** Answers a definition that was put: 201 where the type had none. */
const sendDefinition: SendOutcome = (reply, { row, change }, prefer) => {
  const isNew = change?.op === 'created' || change?.op === 'restored';
  reply.header('etag', etagOf(row.tick)).header('tick-at', row.updatedAt);
  if (isNew) reply.header('location', `/types/${row.key}`);
  if (isMinimal(prefer)) return sendMinimal(reply);
  return sendJson(reply.code(isNew ? 201 : 200), definitionText(row));
};

/** Answers a dry run of a definition. */
const sendDry = (reply: FastifyReply, outcome: Outcome): FastifyReply =>
  sendJson(reply, objectText([...definitionMembers(outcome.row), ['preview', previewText(outcome)]]));

const definitionText = (row: EntityRow): string => objectText(definitionMembers(row));

const definitionMembers = ({ id, key, tick, createdAt, updatedAt, properties }: EntityRow): [string, string][] => [
  ['type', scalarText(key ?? '')],
  ['id', scalarText(id)],
  ['tick', scalarText(tick)],
  ['createdAt', scalarText(createdAt)],
  ['updatedAt', scalarText(updatedAt)],
  ['definition', properties],
];

const typeText = ({ type, entities, isEstimate, tick, definedAt }: TypeRow): string =>
  objectText([
    ['type', scalarText(type)],
    ['entities', scalarText(entities)],
    ['estimated', isEstimate ? 'true' : undefined],
    [
      'definition',
      tick === null || definedAt === null
        ? 'null'
        : objectText([
            ['tick', scalarText(tick)],
            ['updatedAt', scalarText(definedAt)],
          ]),
    ],
  ]);

const versionText = ({ tick, at, recordedAt, op, activity, definition }: Version): string =>
  objectText([
    ['tick', scalarText(tick)],
    ['at', scalarText(at)],
    ['recordedAt', recordedAt === at ? undefined : scalarText(recordedAt)],
    ['imported', recordedAt === at ? undefined : 'true'],
    ['op', scalarText(op)],
    ['activity', activity ?? 'null'],
    ['definition', definition ?? 'null'],
  ]);
