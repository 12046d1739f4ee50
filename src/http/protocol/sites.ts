import type { FastifyInstance, FastifyRequest } from 'fastify';
import { mediaTypeOf } from './body.js';
import { problem, sendProblem } from './problems.js';

/*
 * What pages of other sites may not do with the browser of somebody who can reach the service. A page can send a form anywhere, and it can
 * give its own name the address of this machine (DNS rebinding): then the browser takes the service for the page's own site.
 */

const UNSAFE: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

/**
 * Refuses requests that pages of other sites can make a browser send.
 * @param hosts the names by which callers may speak of the service, without ports; null: any
 */
export function refuseOtherSites(app: FastifyInstance, hosts: readonly string[] | null): void {
  const names = hosts && new Set(hosts.map((host) => host.toLowerCase()));
  // Of HTTP/1.0 it may be absent: no browser speaks that.
  const isKnown = (host: string | undefined) => !names || host === undefined || names.has(nameOf(host));
  app.addHook('onRequest', (request, reply, done) => {
    // No browser may take an answer for a page or a program because of what stands in it.
    reply.header('x-content-type-options', 'nosniff');
    if (!isKnown(request.headers.host)) {
      sendProblem(
        reply,
        problem(
          'misdirected_request',
          'The service does not go by the name in Host: whoever runs it can add that to ALLOWED_HOSTS.',
        ),
      );
    } else if (UNSAFE.has(request.method) && !isJson(request) && isOfOtherSite(request)) {
      const why =
        'A page of another site may have sent this: a write from a browser needs a JSON Content-Type, or the same origin.';
      sendProblem(reply, problem('unsupported_media_type', why));
    } else done();
  });
}

/** The name in a Host header (RFC 9110 section 7.2), without the port. */
const nameOf = (host: string): string => host.replace(/:\d*$/, '').toLowerCase();

/** A browser asks the service before it sends JSON to another origin (Fetch standard, CORS preflight), and the service says no. */
const isJson = ({ headers }: FastifyRequest): boolean =>
  headers['content-type'] !== undefined &&
  /^application\/(?:[\w.-]+\+)?json$/.test(mediaTypeOf(headers['content-type']) ?? '');

/** Whether a browser says that the request comes of a page of another origin. Programs that are no browsers say nothing of it. */
function isOfOtherSite({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase();
}
