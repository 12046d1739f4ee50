import { checkDriver } from '../storage/engine/driver.js';
import { checkServer } from '../storage/engine/server-check.js';
import { takePromiseBack } from '../storage/promise.js';

/** Repairs what a clock that was wrong for long has left. */
export const takeBack = {
  does: 'lets writing go on after the clock of the database was wrong',
  help: `While the clock of the database server was ahead for long, instants that have not come yet were promised to be stable. Now that it is right, nothing
can be written before they come (503 clock_stepped_back). This takes the promise back, down to the clock. Stop all instances
first, and make sure that the clock is right now. Run it as the owner of the schema.

What was written by the wrong clock keeps its instants. Who was told of instants that have not come yet may be told otherwise later.
`,
  run: async (url: string): Promise<boolean> => {
    await checkDriver();
    await checkServer(url);
    const { promised, loweredTo } = await takePromiseBack(url);
    const told =
      loweredTo === null
        ? `nothing to take back: ${promised === null ? 'nothing was promised' : `what was promised, ${promised}, has come`}`
        : `what was promised, ${promised}, is taken back to ${loweredTo}. Start the instances again`;
    process.stdout.write(`clocktick: ${told}\n`);
    return true;
  },
};
