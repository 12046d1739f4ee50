import type { FastifyInstance, FastifyRequest } from 'fastify';
import Negotiator from 'negotiator';
import { problem, sendProblem } from './problems.js';

/**
 * Refuses a request with 406, before anything is done, if the caller accepts none of the media types of its answers (RFC 9110
 * section 12.5.1). Problems are always problem+json.
 */
export function refuseOtherAnswers(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    const { accept } = request.headers;
    // A deletion answers without a body, unless it is a dry run.
    if (accept === undefined || accept.trim() === '' || accept === '*/*' || request.method === 'DELETE') return;
    const given = mediaGiven(request);
    if (given.length === 0 || new Negotiator({ headers: { accept: plain(accept) } }).mediaType(given)) return;
    return sendProblem(reply, problem('not_acceptable', `This call answers with ${given.join(', ')}.`));
  });
}

/** An Accept header without the parameters of its media types. No answer depends on them, and some answers name a charset. */
const plain = (accept: string): string => accept.replace(/;(?!\s*q\s*=)[^;,]*/gi, '');

/** The media types of a route's successes, as `responsesOf` documents them. */
function mediaGiven(request: FastifyRequest): string[] {
  const responses = request.routeOptions.schema?.response;
  if (typeof responses !== 'object' || responses === null) return [];
  return Object.entries(responses).flatMap(([status, response]) =>
    status.startsWith('2') && hasContent(response) ? Object.keys(response.content) : [],
  );
}

const hasContent = (response: unknown): response is { content: object } =>
  typeof response === 'object' &&
  response !== null &&
  'content' in response &&
  typeof response.content === 'object' &&
  response.content !== null;
