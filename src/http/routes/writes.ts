import type { Storage } from '../../storage/storage.js';
import {
  beforeTombstone,
  create,
  creation,
  jsonPatchOf,
  mergePatchOf,
  patch,
  put,
  remove,
  replacement,
  restore,
  reversion,
  revert,
} from '../../temporal/change.js';
import type { Entity } from '../../temporal/entity.js';
import { parseAddress } from '../../temporal/identity.js';
import { parsePoint } from '../../temporal/point.js';
import {
  BEGUN_MINIMAL,
  CHANGED,
  CREATED,
  PREVIEWED,
  sendBegun,
  sendTombstone,
  writeAnswerHeaders,
} from '../answers/outcomes.js';
import {
  activityOf,
  conditionsOf,
  deletionHeaders,
  intentOf,
  perform,
  returnParameters,
  type WriteRules,
  writeHeaders,
  writeParameters,
} from '../answers/writing.js';
import type { App } from '../app-type.js';
import { entityParameters } from '../contract/parameters.js';
import {
  ADDRESSED_WRITE_PROBLEMS,
  AS_OF_PROBLEMS,
  BODY_PROBLEMS,
  DEFINED_PROBLEMS,
  RETURNED_PROBLEMS,
  responsesOf,
  WRITE_PROBLEMS,
} from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { eitherPatch, toCreate, toPatch, toPut, toRestore, toRevert } from '../contract/writes.js';

const CREATE = {
  operationId: 'createEntity',
  tags: ['entities'],
  summary: 'Create an entity',
  description: 'The key of a deleted entity revives it: its ticks go on, with the new properties.',
  querystring: writeParameters,
  headers: writeHeaders,
  body: schemas.jsonBody(toCreate),
  response: responsesOf(
    { ...PREVIEWED, ...CREATED, ...BEGUN_MINIMAL },
    BODY_PROBLEMS,
    WRITE_PROBLEMS,
    DEFINED_PROBLEMS,
    ['invalid_condition', 'precondition_failed', 'invalid_property_name', 'activity_given_twice', 'entity_exists'],
  ),
};

const PUT = {
  operationId: 'putEntity',
  tags: ['entities'],
  summary: 'Give an entity its whole new state',
  description:
    'Creates it when it is absent (by type:key, or a UUID of version 4 or 7), revives it when it is deleted.',
  params: entityParameters,
  querystring: writeParameters,
  headers: writeHeaders,
  body: schemas.jsonBody(toPut),
  response: responsesOf(
    { ...CHANGED, ...CREATED, ...BEGUN_MINIMAL },
    BODY_PROBLEMS,
    ADDRESSED_WRITE_PROBLEMS,
    DEFINED_PROBLEMS,
    ['invalid_property_name', 'activity_given_twice', 'type_mismatch'],
  ),
};

const PATCH = {
  operationId: 'patchEntity',
  tags: ['entities'],
  summary: 'Change some properties of an entity',
  description:
    'By a merge patch (RFC 7396), or by a JSON Patch (RFC 6902) whose paths begin with /properties/. As `application/json` the body may be either.',
  params: entityParameters,
  querystring: writeParameters,
  headers: writeHeaders,
  body: {
    required: true as const,
    content: {
      'application/json': { schema: eitherPatch },
      'application/merge-patch+json': { schema: toPatch },
      'application/json-patch+json': { schema: schemas.jsonPatch },
    },
  },
  response: responsesOf(CHANGED, BODY_PROBLEMS, ADDRESSED_WRITE_PROBLEMS, DEFINED_PROBLEMS, [
    'invalid_property_name',
    'activity_given_twice',
    'entity_not_found',
    'entity_deleted',
    'patch_test_failed',
    'patch_not_applicable',
    'patch_too_much_work',
  ]),
};

const DELETE = {
  operationId: 'deleteEntity',
  tags: ['entities'],
  summary: 'Delete an entity; its history stays',
  description: 'A tombstone: a tick at which it has no properties. Again: the same answer, and no tick.',
  params: entityParameters,
  querystring: writeParameters,
  headers: deletionHeaders,
  response: responsesOf(
    { ...PREVIEWED, 204: { description: 'It is deleted, now or already', headers: writeAnswerHeaders } },
    ADDRESSED_WRITE_PROBLEMS,
    ['invalid_body', 'activity_required', 'entity_not_found'],
  ),
};

const RESTORE = {
  operationId: 'restoreEntity',
  tags: ['entities'],
  summary: 'Undo a deletion: the properties as they were before it',
  description: 'Of an entity that is not deleted: nothing, and no tick.',
  params: entityParameters,
  querystring: returnParameters,
  headers: writeHeaders,
  body: schemas.optionalBody(toRestore),
  response: responsesOf(CHANGED, BODY_PROBLEMS, ADDRESSED_WRITE_PROBLEMS, RETURNED_PROBLEMS, [
    'activity_given_twice',
    'entity_not_found',
  ]),
};

const REVERT = {
  operationId: 'revertEntity',
  tags: ['entities'],
  summary: 'Bring back the state as of a tick or an instant, whole or some properties of it',
  description: 'A new tick, like any change; a deleted entity can be brought back whole.',
  params: entityParameters,
  querystring: returnParameters,
  headers: writeHeaders,
  body: schemas.jsonBody(toRevert),
  response: responsesOf(CHANGED, BODY_PROBLEMS, ADDRESSED_WRITE_PROBLEMS, RETURNED_PROBLEMS, [
    'activity_given_twice',
    'invalid_property_name',
    'value_not_kept',
    ...AS_OF_PROBLEMS,
    'entity_not_found',
    'tick_not_found',
    'deleted_then',
    'entity_deleted',
  ]),
};

/** The calls that write entities. */
export function writeRoutes(app: App, storage: Storage, rules: WriteRules): void {
  app.post('/entities', { schema: CREATE }, async (request, reply) => {
    const { body, headers } = request;
    const wanted = creation(body, activityOf(headers, body.activity));
    const conditions = conditionsOf(headers);
    const { id, activity } = wanted;
    const decide = (current: Entity | undefined) => create(current, wanted, conditions);
    return perform(storage, request, reply, { id, decide, activity, assume: 'absent' }, sendBegun);
  });

  app.put('/entities/:id', { schema: PUT }, async (request, reply) => {
    const { params, body, headers } = request;
    const address = parseAddress(params.id);
    const wanted = replacement(intentOf(rules, address.label, headers, body.activity), address, body);
    const decide = (current: Entity | undefined) => put(current, wanted);
    return perform(storage, request, reply, { id: address.id, decide, activity: wanted.activity }, sendBegun);
  });

  app.patch('/entities/:id', { schema: PATCH }, async (request, reply) => {
    const { params, body, headers } = request;
    const { id, label } = parseAddress(params.id);
    const wanted = Array.isArray(body)
      ? jsonPatchOf(intentOf(rules, label, headers), body)
      : mergePatchOf(intentOf(rules, label, headers, body.activity), body.properties);
    const decide = (current: Entity | undefined) => patch(current, wanted);
    return perform(storage, request, reply, { id, decide, activity: wanted.activity });
  });

  app.delete('/entities/:id', { schema: DELETE }, async (request, reply) => {
    const { id, label } = parseAddress(request.params.id);
    const wanted = intentOf(rules, label, request.headers);
    const decide = (current: Entity | undefined) => remove(current, wanted);
    return perform(storage, request, reply, { id, decide, activity: wanted.activity }, sendTombstone);
  });

  app.post('/entities/:id/restore', { schema: RESTORE }, async (request, reply) => {
    const { params, body, headers } = request;
    const { id, label } = parseAddress(params.id);
    const wanted = intentOf(rules, label, headers, body?.activity);
    return perform(storage, request, reply, {
      id,
      decide: (current, past) => restore(current, past, wanted),
      pastOf: beforeTombstone,
      activity: wanted.activity,
      isReturn: true,
    });
  });

  app.post('/entities/:id/revert', { schema: REVERT }, async (request, reply) => {
    const { params, body, headers } = request;
    const { id, label } = parseAddress(params.id);
    const to = parsePoint(String(body.to), '/to');
    const wanted = reversion(intentOf(rules, label, headers, body.activity), to, body.properties);
    return perform(storage, request, reply, {
      id,
      decide: (current, past) => revert(current, past, wanted),
      pastOf: () => to,
      activity: wanted.activity,
      isReturn: true,
    });
  });
}
