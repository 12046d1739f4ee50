import type { IncomingMessage } from 'node:http';
import { pipeline, Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { Refusal, type RefusalCode } from '../../temporal/refusal.js';

/*
 * Bodies that a handler reads while they arrive. Nothing of them is kept but what is on its way from one part to the next, and who does not
 * read on makes the caller wait.
 *
 * A handler never has the request itself in its hands. Whoever destroys that, and `for await` does when it is left early, destroys the
 * connection with it, and no answer could be sent any more.
 */

/** How much is taken at a time, in bytes. */
const PART = 2 ** 16;

/** The bodies that handlers were given, by their requests. */
const bodies = new WeakMap<IncomingMessage, Readable>();
/** The errors of bodies whose callers have gone away. */
const goneErrors = new WeakSet<object>();

/** Whether a body has ended in this error because its caller has gone away: nobody reads an answer. */
export const isGone = (error: unknown): error is Error =>
  typeof error === 'object' && error !== null && goneErrors.has(error);

function gone(): Error {
  // It is no fault of the service, if somebody answers it all the same.
  const error = Object.assign(new Error('The caller has gone away.'), { statusCode: 400 });
  goneErrors.add(error);
  return error;
}

type Decoder = () => Transform & { readonly bytesWritten: number };

/** What makes plain bytes of each Content-Encoding that streamed bodies may have; null: they are plain already. */
const DECODERS: ReadonlyMap<string, Decoder | null> = new Map<string, Decoder | null>([
  ['identity', null],
  ['gzip', () => zlib.createGunzip({ chunkSize: PART })],
  // The old name (RFC 9110 section 8.4.1.3).
  ['x-gzip', () => zlib.createGunzip({ chunkSize: PART })],
  ...zstd(),
]);

/** The codings that a streamed body may have, as `Accept-Encoding` lists them. */
export const ACCEPTED_ENCODINGS = [...DECODERS.keys()].filter((name) => !name.startsWith('x-')).join(', ');

/** Whether a streamed body may have this Content-Encoding; absent: none. */
export const isDecoded = (encoding: string | undefined): boolean => DECODERS.has(nameOf(encoding));

const nameOf = (encoding = 'identity'): string => encoding.trim().toLowerCase();

/** zstd, where this Node has it, and does not take a body for whole that was cut off (nodejs/node#64592). */
function zstd(): [string, Decoder][] {
  // The types are of the oldest Node that the service runs on.
  const { createZstdDecompress: create, zstdCompressSync: compress, zstdDecompressSync: decompress }: ZstdOfNode = zlib;
  if (!create || !compress || !decompress) return [];
  try {
    decompress(compress(Buffer.from('whole')).subarray(0, -1));
    return [];
  } catch {
    return [['zstd', () => create({ chunkSize: PART })]];
  }
}

type ZstdOfNode = Pick<typeof zlib, 'createGunzip'> & {
  createZstdDecompress?: (options: { chunkSize: number }) => ReturnType<Decoder>;
  zstdCompressSync?: (bytes: Buffer) => Buffer;
  zstdDecompressSync?: (bytes: Buffer) => Buffer;
};

/**
 * The body of a request as a stream of its decoded bytes. It ends in a `Refusal` where the body is broken, or stops arriving, and in an
 * error that `isGone` where its caller goes away. It may be destroyed at any time: that does not touch the connection.
 * @param raw a request of which nothing has been read
 * @param encoding its Content-Encoding, of those that `isDecoded`
 */
export function streamedBody(raw: IncomingMessage, encoding: string | undefined): Readable {
  raw.pause();
  const arriving = relay(raw, { errorOf: gone, leave: () => raw.pause() });
  const decoder = DECODERS.get(nameOf(encoding))?.();
  const body = decoder ? decoded(arriving, decoder) : arriving;
  bodies.set(raw, body);
  return body;
}

function decoded(arriving: Readable, decoder: ReturnType<Decoder>): Readable {
  let bytes = 0;
  arriving.on('data', (part: Buffer) => {
    bytes += part.length;
  });
  arriving.pause();
  // Its errors are those of the decoder.
  pipeline(arriving, decoder, () => {});
  return relay(decoder, {
    errorOf: (error) => (error instanceof Refusal || isGone(error) ? error : malformed(error)),
    leave: () => decoder.destroy(),
    // Node takes no notice of what stands behind the compressed data: of zstd, that may be further frames (nodejs/node#64741).
    fault: () => (decoder.bytesWritten === bytes ? null : malformed()),
  });
}

const malformed = (cause?: unknown): Refusal =>
  new Refusal('malformed_encoding', 'The body is not compressed as its Content-Encoding says, or has been cut off.', {
    cause,
  });

/** What a relay makes of the end of its source: of an error of it; of being left; and of its end, if that is no good one. */
type Ends = { errorOf: (error: unknown) => Error; leave: () => void; fault?: () => Error | null };

/** Hands on what another stream has, as fast as it is read, and lives by itself. */
function relay(from: Readable, { errorOf, leave, fault }: Ends): Readable {
  const to = new Readable({
    highWaterMark: PART,
    read: () => void from.resume(),
    destroy(error, done) {
      from.off('data', onData).off('end', onEnd).off('close', onClose);
      leave();
      done(error);
    },
  });
  const onData = (part: Buffer) => {
    if (!to.push(part)) from.pause();
  };
  const onEnd = () => {
    const error = fault?.();
    if (error) to.destroy(error);
    else to.push(null);
  };
  const onClose = () => {
    if (!from.readableEnded) to.destroy(gone());
  };
  from.on('data', onData).on('end', onEnd).on('close', onClose);
  from.on('error', (error) => to.destroy(errorOf(error)));
  // Nobody may be reading right now.
  to.on('error', () => {});
  if (from.destroyed) onClose();
  return to;
}

/**
 * Ends the body of a request that stays incomplete, and tells whoever reads it.
 * @returns whether the request has a streamed body: its handler gives the answer
 */
export function breakStream(raw: IncomingMessage, code: RefusalCode, detail: string): boolean {
  const body = bodies.get(raw);
  body?.destroy(new Refusal(code, detail));
  return body !== undefined;
}

/** Whether the handler of a request has read all that has come of its streamed body, and waits for more. */
export function isAwaited(raw: IncomingMessage): boolean {
  const body = bodies.get(raw);
  return body !== undefined && !body.destroyed && body.readableLength === 0 && raw.readableLength === 0;
}

/**
 * Does what may take so many seconds while nothing comes and nothing is sent, which else ends a connection. Nothing of the body is asked for:
 * who sends a long one waits.
 */
export async function inSilence<T>(
  { socket }: Pick<IncomingMessage, 'socket'>,
  seconds: number,
  work: () => Promise<T>,
): Promise<T> {
  const { timeout } = socket;
  // A request that came over no connection has none.
  if (!timeout || seconds === 0) return work();
  socket.setTimeout(timeout + seconds * 1_000);
  try {
    return await work();
  } finally {
    socket.setTimeout(timeout);
  }
}

/** Whether a handler was given the body of a request while it arrived. */
export const hasStream = (raw: IncomingMessage): boolean => bodies.has(raw);

/** Takes the body of a request that is answered out of all hands: what still arrives may be thrown away. */
export function leaveStream(raw: IncomingMessage): void {
  bodies.get(raw)?.destroy();
}
