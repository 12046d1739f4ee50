import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';

/**
 * Lets an app that was told to close say so for a while, before it takes no connections any more: those who route requests need
 * time to see it. It must come before whatever else is done at a close.
 * @param ms how long
 * @returns whether the app was told to close
 */
export function drainBeforeClose(app: FastifyInstance, ms: number): () => boolean {
  let isDraining = false;
  app.addHook('preClose', async () => {
    isDraining = true;
    if (ms > 0) await sleep(ms);
  });
  return () => isDraining;
}
