import { randomInt } from 'node:crypto';
import t from 'tap';
import { FAULTS } from './faults.js';
import { runFault } from './run.js';
import { makeWorld } from './world.js';

/* The quick form of the fault suite: each fault once and briefly, one after the other, over one database. */

const SEED = Number(process.env.HISTORY_SEED ?? randomInt(2 ** 31 - 1));

const world = await makeWorld(t, { instances: 1, maxConnections: 80 });
const plan = { seed: SEED, clients: 6 };

for (const fault of FAULTS) {
  const { name, does, quick: seconds } = fault;
  if (seconds === null) continue;
  t.test(`${name}: ${does}`, { skip: fault.missing?.(world) ?? false }, async (t) => {
    const { wrong, readyAfter, longest, counts } = await runFault(world, fault, { ...plan, seconds });
    t.same(wrong, [], `HISTORY_SEED=${SEED}`);
    t.comment(`ready after ${readyAfter.toFixed(1)} s, the longest call took ${longest.toFixed(1)} s`, counts);
  });
}
