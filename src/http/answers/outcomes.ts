import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { ChangeRow, EntityRow } from '../../storage/rows.js';
import type { Outcome } from '../../storage/write.js';
import { changesOf, type PropertyChange } from '../../temporal/patch.js';
import { etagHeader, locationHeader, preferenceAppliedHeader, tickAtHeader } from '../contract/headers.js';
import { sendJson } from '../contract/responses.js';
import * as schemas from '../contract/schemas.js';
import { etagOf } from '../protocol/conditions.js';
import { objectText, scalarText } from '../protocol/json-text.js';
import { changesText, entityText } from './entity-text.js';

/* How writes are answered: the answers themselves, and what the OpenAPI document says of them. */

export const writeAnswerHeaders = {
  ETag: etagHeader,
  'Tick-At': tickAtHeader,
  'Preference-Applied': preferenceAppliedHeader,
};
export const CREATED = {
  201: {
    description: 'The entity, created or revived',
    body: schemas.entity,
    headers: { ...writeAnswerHeaders, Location: locationHeader },
  },
};
export const CHANGED = {
  200: {
    description: 'The entity as it now stands, whether or not that took a tick; of a dry run, what it would do',
    body: z.union([schemas.entity, schemas.preview]),
    headers: writeAnswerHeaders,
  },
  204: { description: 'The same without a body, by `Prefer: return=minimal`', headers: writeAnswerHeaders },
};
export const PREVIEWED = { 200: { description: 'Of a dry run, what it would do', body: schemas.preview } };

/** Answers a write that is no dry run. */
export type SendOutcome = (reply: FastifyReply, outcome: Outcome, prefer: string | undefined) => FastifyReply;

/** Answers with the entity as it now stands, or only with its tag: 200, 204. */
export const sendOutcome: SendOutcome = (reply, { row }, prefer) => {
  const minimal = isMinimal(prefer);
  stamp(reply, row).code(minimal ? 204 : 200);
  return minimal ? sendMinimal(reply) : sendJson(reply, entityText(row));
};

/** The same of a call that may begin an entity: 201 and where it is, if it did. */
export const sendBegun: SendOutcome = (reply, outcome, prefer) => {
  const { row, change } = outcome;
  if (change?.op !== 'created' && change?.op !== 'restored') return sendOutcome(reply, outcome, prefer);
  stamp(reply, row).code(201).header('location', `/entities/${row.id}`);
  return isMinimal(prefer) ? sendMinimal(reply) : sendJson(reply, entityText(row));
};

/** Answers a deletion. */
export const sendTombstone: SendOutcome = (reply, { row }) => stamp(reply.code(204), row).send(undefined);

const sendMinimal = (reply: FastifyReply): FastifyReply =>
  reply.header('preference-applied', 'return=minimal').send(undefined);

/** The tick at which a write leaves its entity, and the instant of it. */
const stamp = (reply: FastifyReply, row: EntityRow): FastifyReply =>
  reply.header('etag', etagOf(row.tick)).header('tick-at', row.updatedAt);

/** Each preference of RFC 7240 section 2: its name, its value (perhaps quoted), and parameters that nobody asks for. */
const PREFERENCE =
  /(?:^|,)\s*([\w-]+)(?:\s*=\s*("(?:\\.|[^"\\])*"|[^\s,;"]*))?(?:\s*;\s*[\w-]*(?:\s*=\s*(?:"(?:\\.|[^"\\])*"|[^\s,;"]*))?)*\s*/g;

/** `return=minimal`; of several the first counts, and other preferences are ignored, as section 2 has it. */
function isMinimal(prefer: string | undefined): boolean {
  const [first] = [...(prefer ?? '').matchAll(PREFERENCE)].filter(([, name]) => name?.toLowerCase() === 'return');
  return /^"?minimal"?$/i.test(first?.[2] ?? '');
}

/** What a dry run would do. */
export function sendPreview(reply: FastifyReply, { row, change, before }: Outcome): FastifyReply {
  return sendJson(
    reply,
    objectText([
      ['op', scalarText(change?.op ?? null)],
      ['changes', changesText(change ? changesOf(change, before?.properties ?? {}).map(changeRow) : [])],
      ['entity', entityText(row)],
    ]),
  );
}

const changeRow = ({ property, from, to }: PropertyChange): ChangeRow => ({
  property,
  from: from === undefined ? null : JSON.stringify(from),
  to: to === undefined ? null : JSON.stringify(to),
});
