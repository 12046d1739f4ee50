import type { FastifyReply } from 'fastify';
import type { Outcome } from '../../storage/deciding.js';
import type { ChangeRow, EntityRow } from '../../storage/rows.js';
import type { Change, Entity } from '../../temporal/entity.js';
import { changesOf, type PropertyChange } from '../../temporal/patch.js';
import { etagHeader, locationHeader, preferenceAppliedHeader, tickAtHeader } from '../contract/headers.js';
import { sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { etagOf } from '../protocol/conditions.js';
import { objectText, scalarText } from '../protocol/json-text.js';
import { changesText, entityText, openText } from './entity-text.js';

/* The answers to writes, and what the OpenAPI document says of them. */

export const writeAnswerHeaders = { ETag: etagHeader, 'Tick-At': tickAtHeader };
const minimalHeaders = { ...writeAnswerHeaders, 'Preference-Applied': preferenceAppliedHeader };
export const CREATED = {
  201: {
    description: 'The entity, created or revived',
    content: { 'application/json': schemas.writtenEntity },
    headers: { ...writeAnswerHeaders, Location: locationHeader },
  },
};
/** Of a call that may create or revive its entity. */
export const BEGUN_MINIMAL = {
  204: {
    description: 'The same without a body, by `Prefer: return=minimal`; `Location` where it was created or revived',
    headers: { ...minimalHeaders, Location: locationHeader },
  },
};
export const CHANGED = {
  200: {
    description: 'The entity as it now stands, whether or not that took a tick; of a dry run, what it would do',
    content: { 'application/json': schemas.writtenEntity },
    headers: writeAnswerHeaders,
  },
  204: { description: 'The same without a body, by `Prefer: return=minimal`', headers: minimalHeaders },
};
export const PREVIEWED = {
  200: { description: 'Of a dry run, what it would do', content: { 'application/json': schemas.writtenEntity } },
};

/** Answers a write that was not a dry run. `prefer` is the header Prefer. */
export type SendOutcome = (reply: FastifyReply, outcome: Outcome, prefer: string | undefined) => FastifyReply;

/** Answers 200 with the entity as it now stands, or 204 without it when the caller prefers `return=minimal`. */
export const sendOutcome: SendOutcome = (reply, { row }, prefer) => {
  stamp(reply, row);
  return isMinimal(prefer) ? sendMinimal(reply) : sendJson(reply, entityText(row));
};

/** Answers a call that may create or revive its entity: 201 and Location if it did, otherwise as `sendOutcome`. */
export const sendBegun: SendOutcome = (reply, outcome, prefer) => {
  const { row, change } = outcome;
  if (change?.op !== 'created' && change?.op !== 'restored') return sendOutcome(reply, outcome, prefer);
  stamp(reply, row).header('location', `/entities/${row.id}`);
  return isMinimal(prefer) ? sendMinimal(reply) : sendJson(reply.code(201), entityText(row));
};

/** Answers a deletion: 204. */
export const sendTombstone: SendOutcome = (reply, { row }) => stamp(reply.code(204), row).send(undefined);

export const sendMinimal = (reply: FastifyReply): FastifyReply =>
  reply.code(204).header('preference-applied', 'return=minimal').send(undefined);

/** Sets the headers that name the tick at which a write leaves its entity, and the instant of that tick. */
const stamp = (reply: FastifyReply, row: EntityRow): FastifyReply =>
  reply.header('etag', etagOf(row.tick)).header('tick-at', row.updatedAt);

/** A preference of RFC 7240 section 2: its name, its value (perhaps quoted), and parameters, which nothing here reads. */
const PREFERENCE =
  /(?:^|,)\s*([\w-]+)(?:\s*=\s*("(?:\\.|[^"\\])*"|[^\s,;"]*))?(?:\s*;\s*[\w-]*(?:\s*=\s*(?:"(?:\\.|[^"\\])*"|[^\s,;"]*))?)*\s*/g;

/** Whether the caller prefers `return=minimal`. Of several `return` the first counts; others are ignored (RFC 7240 section 2). */
export function isMinimal(prefer: string | undefined): boolean {
  const [first] = [...(prefer ?? '').matchAll(PREFERENCE)].filter(([, name]) => name?.toLowerCase() === 'return');
  return /^"?minimal"?$/i.test(first?.[2] ?? '');
}

/** Answers a dry run: 200 with the entity as it would be, and what would change. */
export const sendPreview = (reply: FastifyReply, outcome: Outcome): FastifyReply =>
  sendJson(reply, `${openText(outcome.row)}, "preview": ${previewText(outcome)}}`);

/** What a dry run would change, as JSON text; of a definition also what that makes invalid. */
export function previewText({ change, before, impact }: Outcome): string {
  const { checked, invalid, examples } = impact ?? {};
  return objectText([
    ['op', scalarText(change?.op ?? null)],
    ['changes', changesOfText(change, before)],
    ['impact', impact && JSON.stringify({ checked, invalid, examples })],
  ]);
}

/** What a change does to the properties of a state, as JSON text. */
export const changesOfText = (change: Change | null, before: Entity | undefined): string =>
  changesText(change ? changesOf(change, before?.properties ?? {}).map(changeRow) : []);

const changeRow = ({ property, from, to }: PropertyChange): ChangeRow => ({
  property,
  from: from === undefined ? null : JSON.stringify(from),
  to: to === undefined ? null : JSON.stringify(to),
});
