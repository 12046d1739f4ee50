import type { FastifyInstance, onRequestHookHandler } from 'fastify';
import Negotiator from 'negotiator';
import { problem, sendProblem } from './problems.js';

/**
 * Refuses a request with 406, before anything is done, if the caller accepts none of the media types of its answers (RFC 9110
 * section 12.5.1). Problems are always problem+json.
 */
export function refuseOtherAnswers(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    const given = mediaGiven(route.schema?.response);
    // A deletion answers without a body, unless it is a dry run.
    if (given.length === 0 || route.method === 'DELETE') return;
    const refuse: onRequestHookHandler = (request, reply, done) => {
      const { accept } = request.headers;
      const isAny = accept === undefined || accept === '*/*' || given.includes(accept) || accept.trim() === '';
      if (isAny || new Negotiator({ headers: { accept: plain(accept) } }).mediaType(given)) return done();
      sendProblem(reply, problem('not_acceptable', `This call answers with ${given.join(', ')}.`));
    };
    route.onRequest = [refuse, ...[route.onRequest ?? []].flat()];
  });
}

/** An Accept header without the parameters of its media types. No answer depends on them, and some answers name a charset. */
const plain = (accept: string): string => accept.replace(/;(?!\s*q\s*=)[^;,]*/gi, '');

/** The media types of a route's successes, as `responsesOf` documents them. */
function mediaGiven(responses: unknown): string[] {
  if (typeof responses !== 'object' || responses === null) return [];
  return Object.entries(responses).flatMap(([status, response]) =>
    status.startsWith('2') && hasMedia(response) ? Object.keys(response.content) : [],
  );
}

const hasMedia = (response: unknown): response is { content: object } =>
  typeof response === 'object' &&
  response !== null &&
  'content' in response &&
  typeof response.content === 'object' &&
  response.content !== null;
