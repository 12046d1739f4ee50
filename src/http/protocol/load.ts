import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Refusal } from '../../temporal/refusal.js';

/*
 * What callers can make this process keep in memory has a bound: requests, what has come of their bodies, and answers that nobody takes.
 * Without one a single connection that asks, and never reads, ends the process.
 */

/** Bounds in all: a number of requests, and bytes. */
export type Bounds = { requests: number; bodies: number; answers: number };

/**
 * Bounds for a heap of so many bytes. A body may take twenty times as much when it has been parsed (of empty objects), so all of them
 * together get at most half of the heap; an answer is text, of which Node makes a second copy; a request that waits takes some 20 KB, and
 * all of them get an eighth, too.
 */
export const boundsFor = (heap: number): Bounds => ({
  requests: Math.min(10_000, heap / 160_000),
  bodies: heap / 40,
  answers: heap / 8,
});

/** How many requests of one connection are done at once; the next ones wait. */
const MOST_BEGUN = 32;
/** How many requests of one connection may be without an answer. */
const MOST_PIPELINED = 200;
/** From how many bytes of answers on that it has not taken a connection has to wait for the next one. */
const MOST_UNTAKEN = 2 ** 20;
/** What is smaller is never refused for want of room: as a body, as an answer. */
const SMALL = 2 ** 16;

/** What one connection takes: its requests without an answer, those of them that have begun, its bytes, and those who wait to begin. */
type Share = { open: number; begun: number; bodies: number; answers: number; waiting: (() => void)[]; isOver: boolean };

/** What one request takes until its answer has gone. */
type Part = { share: Share; isBegun: boolean; bodies: number; answers: number };

/** What an app keeps in memory for its callers. */
export type Load = {
  /** How much there is. */
  readonly now: Readonly<Bounds>;
  /**
   * Counts a request that has come. Of too many on one connection the last one that is done there is `last`: each takes memory while it
   * waits, and its caller may send the others again. Where there are too many in all, a connection that sends many is `too many`.
   */
  arrive: (socket: Socket, response: ServerResponse) => 'taken' | 'last' | 'too many';
  /** Lets a request begin as soon as its connection has room for it. */
  enter: (response: ServerResponse, begin: () => void) => void;
  /** Whether a request that has begun must be refused, because there are too many, or too much that nobody takes. */
  isFull: () => boolean;
  /** Counts a part of a body that has come. Gives whether there was room for it. */
  receive: (response: ServerResponse, bytes: number) => boolean;
  /** Counts an answer that was made. Gives whether there was room for it; of one that may not be refused there always is. */
  answer: (response: ServerResponse, bytes: number, mayBeRefused: boolean) => boolean;
};

/** An empty load. */
export function loadOf(bounds: Bounds): Load {
  const now = { requests: 0, bodies: 0, answers: 0 };
  const shares = new WeakMap<Socket, Share>();
  const parts = new WeakMap<ServerResponse, Part>();

  function shareOf(socket: Socket): Share {
    const known = shares.get(socket);
    if (known) return known;
    const share: Share = { open: 0, begun: 0, bodies: 0, answers: 0, waiting: [], isOver: false };
    shares.set(socket, share);
    socket.once('close', () => {
      share.isOver = true;
      share.waiting = [];
      now.requests -= share.open;
      now.bodies -= share.bodies;
      now.answers -= share.answers;
    });
    return share;
  }

  const hasRoom = ({ begun, answers }: Share): boolean => begun < MOST_BEGUN && answers < MOST_UNTAKEN;

  function begin(part: Part, call: () => void): void {
    part.isBegun = true;
    part.share.begun++;
    call();
  }

  /** The part of a response, unless nobody can be sent it any more. */
  function partOf(response: ServerResponse): Part | undefined {
    const part = parts.get(response);
    return part?.share.isOver ? undefined : part;
  }

  /** Node tells when an answer has gone to the operating system. Of those that never go the end of the connection tells. */
  function leave(this: ServerResponse): void {
    const part = partOf(this);
    if (!part) return;
    parts.delete(this);
    const { share, isBegun, bodies, answers } = part;
    share.open--;
    if (isBegun) share.begun--;
    share.bodies -= bodies;
    share.answers -= answers;
    now.requests--;
    now.bodies -= bodies;
    now.answers -= answers;
    while (share.waiting.length > 0 && hasRoom(share)) share.waiting.shift()?.();
  }

  return {
    now,
    arrive(socket, response) {
      const share = shareOf(socket);
      if (share.isOver) return 'too many';
      share.open++;
      now.requests++;
      parts.set(response, { share, isBegun: false, bodies: 0, answers: 0 });
      response.once('finish', leave);
      if (now.requests > bounds.requests && share.open > MOST_BEGUN) return 'too many';
      return share.open >= MOST_PIPELINED ? 'last' : 'taken';
    },
    enter(response, call) {
      const part = partOf(response);
      if (!part) return;
      const { share } = part;
      if (share.waiting.length === 0 && hasRoom(share)) begin(part, call);
      else share.waiting.push(() => begin(part, call));
    },
    isFull: () => now.requests > bounds.requests || now.answers > bounds.answers,
    receive(response, bytes) {
      const part = partOf(response);
      if (!part) return true;
      part.bodies += bytes;
      part.share.bodies += bytes;
      now.bodies += bytes;
      // One alone may always come, however small the heap is.
      return part.bodies <= SMALL || now.bodies <= bounds.bodies || now.bodies === part.bodies;
    },
    answer(response, bytes, mayBeRefused) {
      const part = partOf(response);
      if (!part) return true;
      if (mayBeRefused && bytes > SMALL && now.answers > 0 && now.answers + bytes > bounds.answers) return false;
      part.answers += bytes;
      part.share.answers += bytes;
      now.answers += bytes;
      return true;
    },
  };
}

/** The refusal of a request for which this process has no room. */
export const overloaded = (): Refusal =>
  new Refusal('overloaded', 'More is asked for, or not yet taken, than this service can keep. Nothing was done.');
