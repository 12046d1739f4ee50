import type { FastifyInstance } from 'fastify';
import { LINK_FORMAT } from './memento.js';

/*
 * The service gives URLs of its own without scheme and host, which every HTTP client resolves. Some do not: clients of RFC 7089 take
 * targets of links as they stand, and the type of a problem is compared as text. For them an operator says where the service is reached
 * (PUBLIC_URL).
 */

const SINGLE = ['location', 'content-location'];

/**
 * Makes the URLs absolute that answers give beside their data: those of the headers Link, Location and Content-Location, of link documents,
 * and the type of a problem.
 * @param publicUrl scheme, host and perhaps a path, without a slash at the end
 */
export function makeUrlsAbsolute(app: FastifyInstance, publicUrl: string): void {
  app.addHook('onSend', (_request, reply, payload, done) => {
    for (const name of SINGLE) {
      const value = reply.getHeader(name);
      if (typeof value === 'string' && value.startsWith('/')) reply.header(name, `${publicUrl}${value}`);
    }
    const link = reply.getHeader('link');
    if (typeof link === 'string') reply.header('link', withAbsoluteLinks(link, publicUrl));
    if (typeof payload !== 'string') return done(null, payload);
    switch (String(reply.getHeader('content-type')).split(';')[0]) {
      case LINK_FORMAT:
        return done(null, withAbsoluteLinks(payload, publicUrl));
      case 'application/problem+json':
        return done(null, withAbsoluteType(payload, publicUrl));
      default:
        return done(null, payload);
    }
  });
}

/** Links (RFC 8288) with absolute targets. No target has a `<` in it. */
const withAbsoluteLinks = (links: string, publicUrl: string): string => links.replaceAll('</', () => `<${publicUrl}/`);

/** The text of a problem with an absolute type, which is its first member. */
export const withAbsoluteType = (problem: string, publicUrl: string): string =>
  problem.replace('{"type":"/', () => `{"type":"${publicUrl}/`);
