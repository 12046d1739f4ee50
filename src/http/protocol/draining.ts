import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';

/** What those learn who serve requests of an app: whether it was told to close, and when it takes no connections any more. */
type Draining = { isDraining: () => boolean; closing: AbortSignal };

/**
 * Lets an app that was told to close say so for a while, before it takes no connections any more: those who route requests need
 * time to see it. It must come before whatever else is done at a close.
 * @param ms how long
 * @returns whether the app was told to close, and a signal that is aborted when that while is over: what takes minutes has to come to its
 * end then, before its connection is cut
 */
export function drainBeforeClose(app: FastifyInstance, ms: number): Draining {
  let isDraining = false;
  const closing = new AbortController();
  app.addHook('preClose', async () => {
    isDraining = true;
    if (ms > 0) await sleep(ms);
    closing.abort();
  });
  return { isDraining: () => isDraining, closing: closing.signal };
}
