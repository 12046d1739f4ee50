import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { isObject, type JsonObject } from '../../src/temporal/json.js';

/* HTTP/1.1 by hand: what is sent and what comes back stand on the wire as they are. */

/** An answer on the wire. Names of headers are in lower case; `body` is its parsed JSON, `{}` if it is none. */
export type WireAnswer = { status: number; headers: Record<string, string>; text: string; body: JsonObject };

/** Parts of a request, sent one after the other: text, bytes, or a pause in milliseconds. */
type Part = string | Buffer | number;

/** The port that an app listens on. */
export function portOf({ server }: FastifyInstance): number {
  const address = server.address();
  if (typeof address !== 'object' || !address) throw new Error('the app does not listen');
  return address.port;
}

/** Opens a connection. */
export async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

/**
 * Sends parts on one connection, and reads what comes back until the service closes it, or until so many answers have come.
 * @param answers after how many final answers to stop; without it, at the end of the connection
 */
export async function converse(port: number, parts: readonly Part[], answers?: number): Promise<WireAnswer[]> {
  const socket = await open(port);
  const answered = read(socket, answers);
  await Promise.all([answered, send(socket, parts, answered)]);
  return answered;
}

/** As `converse`, but reads nothing before all is sent, as simple clients do. */
export async function sendThenRead(port: number, parts: readonly Part[]): Promise<WireAnswer[]> {
  const socket = await open(port);
  const broken = once(socket, 'close').then(() =>
    Promise.reject(new Error('the connection broke while it was sent on')),
  );
  await Promise.race([send(socket, parts, broken), broken]);
  broken.catch(() => {});
  return read(socket);
}

async function send(socket: Socket, parts: readonly Part[], isOver: Promise<unknown>): Promise<void> {
  for (const part of parts) {
    if (typeof part === 'number') await sleep(part);
    else if (!socket.write(part)) await Promise.race([once(socket, 'drain'), isOver]);
  }
}

async function read(socket: Socket, answers?: number): Promise<WireAnswer[]> {
  let got = Buffer.alloc(0);
  await new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk]);
      if (answers !== undefined && finalsOf(got).length >= answers) resolve();
    });
    socket.on('end', resolve).on('close', () => resolve());
    socket.on('error', reject);
  });
  socket.destroy();
  return finalsOf(got, true);
}

/** The final answers among those on the wire: without those of 1xx. */
const finalsOf = (wire: Buffer, isAll = false): WireAnswer[] =>
  answersOf(wire, isAll).filter(({ status }) => status >= 200);

/** All whole answers on the wire. If that is all, the last one may have no body, though it says how long it is: it answers a HEAD. */
export function answersOf(wire: Buffer, isAll = false): WireAnswer[] {
  const answers: WireAnswer[] = [];
  for (let rest = wire; rest.length > 0; ) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) break;
    const [line = '', ...fields] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const headers = Object.fromEntries(
      fields.map((field) => {
        const colon = field.indexOf(':');
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
      }),
    );
    const length = Number(headers['content-length'] ?? 0);
    const text = rest.subarray(end + 4, end + 4 + length).toString();
    if (Buffer.byteLength(text) < length && !(isAll && text === '')) break;
    const parsed: unknown = /json/.test(headers['content-type'] ?? '') ? JSON.parse(text || '{}') : {};
    answers.push({ status: Number(line.split(' ')[1]), headers, text, body: isObject(parsed) ? parsed : {} });
    rest = rest.subarray(end + 4 + length);
  }
  return answers;
}
