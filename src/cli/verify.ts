import { styleText } from 'node:util';
import { SingleBar } from 'cli-progress';
import { checkDriver } from '../storage/engine/driver.js';
import { checkServer } from '../storage/engine/server-check.js';
import { CHECK_NAMES, type Checked, verifyDatabase } from '../storage/verify.js';

/** How many findings of a check are shown; one forgery often has many. */
const MOST = 20;

/** Looks for forgeries in a database. */
export const verify = {
  does: 'looks for what has been altered by hand',
  help: `Reads the whole database, at one moment of it, and looks for what no guard would have let in: ticks that are missing or out of order, ranges
that overlap or fit no tick, values that cannot be found, tables, triggers and functions that are not as clocktick made them, rights
that nobody should have. It writes nothing and holds up nobody, and it may run as the service's role.

Each finding is a line: the check, the entity, and what is wrong. Of each check ${MOST} are shown, and the others are counted. The checks:
${CHECK_NAMES.map((name) => `  ${name}`).join('\n')}

Exit codes: 0 clean, 1 something was found, 2 it could not be checked.
`,
  run: async (url: string): Promise<boolean> => {
    await checkDriver();
    await checkServer(url);
    const bar = progress();
    let count = 0;
    let number = 0;
    for await (const checked of verifyDatabase(url, MOST)) {
      number += 1;
      count += checked.count;
      bar.clear();
      for (const line of linesOf(checked)) process.stdout.write(`${line}\n`);
      bar.show(number);
    }
    bar.clear();
    const told = `${number} checks, ${count === 0 ? 'clean' : count === 1 ? '1 finding' : `${count} findings`}`;
    // Node 20 colours what goes to a file, too.
    process.stdout.write(`${process.stdout.isTTY ? styleText(count > 0 ? 'red' : 'green', told) : told}\n`);
    return count === 0;
  },
};

function* linesOf({ check, findings, count }: Checked): Generator<string> {
  for (const { entity, what } of findings) yield [check, entity, what].filter((part) => part !== null).join(': ');
  if (count > findings.length) yield `${check}: … and ${count - findings.length} more`;
}

/** A bar on the terminal, if there is one. What is said goes above it. */
function progress(): { show: (number: number) => void; clear: () => void } {
  if (!process.stderr.isTTY) return { show: () => {}, clear: () => {} };
  const bar = new SingleBar({ format: '{bar} {check}', clearOnComplete: true, hideCursor: true });
  const at = (number: number) => ({ check: CHECK_NAMES[number] ?? '' });
  bar.start(CHECK_NAMES.length, 0, at(0));
  return {
    show: (number) => {
      if (number === CHECK_NAMES.length) return;
      if (!bar.isActive) bar.start(CHECK_NAMES.length, number, at(number));
      else bar.update(number, at(number));
    },
    clear: () => bar.stop(),
  };
}
