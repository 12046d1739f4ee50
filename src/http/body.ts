import type { FastifyInstance, FastifyRequest } from 'fastify';
import { readJson } from '../temporal/json.js';
import { Refusal } from '../temporal/refusal.js';

/** Refuses bytes that are not UTF-8: they would be kept as something else than was sent. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * Reads JSON bodies without loss. Replaces Fastify's own parser, which rounds numbers and takes names such as
 * `__proto__` and `constructor` for an attack: here they are data.
 */
export function readBodiesExactly(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<Buffer>(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      // Many clients name a type on every request.
      if (request.method === 'DELETE' && body.length === 0) return undefined;
      const read = readJson(decode(body));
      if ('value' in read) return read.value;
      const { code, path, detail } = read.fault;
      throw new Refusal(code, path === '' ? `${detail}.` : `${path}: ${detail}.`, {
        errors: [{ path, message: detail }],
      });
    },
  );
}

function decode(body: Buffer): string {
  try {
    return utf8.decode(body);
  } catch (cause) {
    throw new Refusal('text_not_storable', 'The body is not UTF-8.', { cause });
  }
}
