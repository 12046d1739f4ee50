import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Scope } from '../helper/program.js';
import { complaint, runAsCommand } from '../replay/complaint.js';
import { FAULTS, type Fault } from './faults.js';
import { runFault } from './run.js';
import { makeWorld, type World } from './world.js';

const HELP = `Injects faults while many clients write, read, and read as of; and takes them away again. After each, everything that the clients
were told is checked, as by check:history; clocktick verify must find nothing; the service must have become ready by itself; and
meanwhile nobody may have waited for more than 25 s, or been answered anything but what is right, or 503 with Retry-After. It says after how
long as much is served again as before; after a storm of dying connections that may take two seconds.

npm run check:faults -- [options]

  --only NAME     only this fault; several times for several
  --seconds N     for how long each stays (by itself each has a time of its own)
  --counted N     for how many seconds what is served is counted, before a fault and after it (4)
  --instances N   how many services over the one database (3)
  --clients N     how many clients, each with one request in flight (12)
  --seed N        what they send; the same seed sends the same again (any)

The faults:
${FAULTS.map(({ name, does, long }) => `  ${name.padEnd(22)}${does} (${long} s)`).join('\n')}

The database is one of its own, with its data in a temporary folder: on a small disk where root can mount one. A clock is faked by
libfaketime, where that is installed (FAKETIME_LIBRARY says where, if it is not where Debian puts it).

Exit code: 0 nothing is wrong, 1 something is (it is told), 2 the check could not be run.
`;

const OPTIONS = {
  only: { type: 'string', multiple: true },
  seconds: { type: 'string' },
  counted: { type: 'string', default: '4' },
  instances: { type: 'string', default: '3' },
  clients: { type: 'string', default: '12' },
  seed: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Three instances may open half of them. */
const MAX_CONNECTIONS = 300;
const MOST_SEED = 2 ** 31 - 1;
const INTERRUPTED = 130;

function optionsOf(args: string[]) {
  try {
    const { values } = parseArgs({ args, options: OPTIONS });
    const { only, seconds, counted, instances, clients, seed, help } = values;
    return {
      faults: only ? only.map(faultOf) : FAULTS,
      seconds: seconds === undefined ? null : numberOf('seconds', seconds, 1, 3_600),
      counted: numberOf('counted', counted, 1, 3_600),
      instances: numberOf('instances', instances, 1, 5),
      clients: numberOf('clients', clients, 1, 1_000),
      seed: seed === undefined ? randomInt(MOST_SEED) : numberOf('seed', seed, 0, MOST_SEED),
      help,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw complaint(`${message}${/[.?]$/.test(message) ? '' : '.'} --help says what there is.`, error);
  }
}

function faultOf(name: string): Fault {
  const fault = FAULTS.find((one) => one.name === name);
  if (!fault) throw complaint(`There is no fault ${name}.`);
  return fault;
}

function numberOf(name: string, text: string, least: number, most: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw complaint(`--${name} ${text} is no whole number from ${least} to ${most}.`);
}

/** The command: gives its exit code. @throws a complaint about what is asked wrongly */
export async function run(args: string[]): Promise<number> {
  const { faults, instances, help, ...plan } = optionsOf(args);
  if (help) {
    say(HELP);
    return 0;
  }
  const toEnd: (() => unknown)[] = [];
  const scope: Scope = { teardown: (work) => toEnd.unshift(work) };
  const end = async () => {
    for (let work = toEnd.shift(); work; work = toEnd.shift()) await work();
  };
  // Otherwise the database would go on after this process has ended.
  process.once('SIGINT', () => end().finally(() => process.exit(INTERRUPTED)));
  try {
    say(`Seed ${plan.seed}, ${plan.clients} clients, ${instances} ${instances === 1 ? 'instance' : 'instances'}.\n`);
    const world = await makeWorld(scope, { instances, maxConnections: MAX_CONNECTIONS });
    let isWrong = false;
    for (const fault of faults) isWrong = !(await check(world, fault, plan)) || isWrong;
    return isWrong ? 1 : 0;
  } finally {
    await end();
  }
}

/** Tells of one fault; whether nothing is wrong. */
async function check(
  world: World,
  fault: Fault,
  { seconds, ...plan }: { seconds: number | null; counted: number; seed: number; clients: number },
): Promise<boolean> {
  const missing = fault.missing?.(world);
  if (missing) {
    say(`${fault.name}: left out, because ${missing}.\n`);
    return true;
  }
  const found = await runFault(world, fault, { ...plan, seconds: seconds ?? fault.long });
  const { counts, readyAfter, fullSpeedAfter, longest, wrong } = found;
  const speed =
    fullSpeedAfter === null ? 'not yet at full speed' : `at full speed after ${fullSpeedAfter.toFixed(1)} s`;
  const figures = counts
    ? `${counts.requests} requests, ${counts.acknowledged} writes acknowledged, ${counts.refused} refused, ` +
      `${counts.indeterminate} of unknown outcome, ${counts['answered 503']} answers 503, ${counts['asked again']} asked again; `
    : '';
  const verdict = wrong.length === 0 ? 'nothing is wrong' : `${wrong.length} things are wrong`;
  say(
    `${fault.name}: ${figures}the longest call took ${longest.toFixed(1)} s, ready again after ${readyAfter.toFixed(1)} s, ` +
      `${speed}: ${verdict}.\n`,
  );
  for (const what of wrong) say(`  ${what.replaceAll('\n', '\n  ')}\n`);
  return wrong.length === 0;
}

const say = (text: string) => process.stdout.write(text);

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsCommand(run);
