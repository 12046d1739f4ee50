import { randomBytes, randomInt } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import postgres from 'postgres';
import { withOwnServers } from '../helper/own-servers.js';
import { complaint, runAsCommand } from '../replay/complaint.js';
import { baseOf, serviceAt } from '../replay/service.js';
import { KEYS } from './clients.js';
import type { Recording } from './record.js';
import { type Plan, runAndCheck, type Watch } from './run.js';
import type { Violation } from './subject.js';
import { countsOf, tellViolations } from './told.js';

const HELP = `Many clients write, read, and read as of, all on the same few entities; they send batches, and undo what was done. Everything
that they are answered is recorded, and afterwards checked: that no acknowledged write is lost and no refused one left anything,
that every batch is there wholly, at one instant, or wholly absent, that no answer is older than one that was complete before,
that what was read as of an instant stays the same for ever, and more.

npm run check:history -- [options]

  --seconds N   for how long the clients work (10)
  --requests N  how many requests there are at least, however long that takes (0)
  --clients N   how many, each with one request in flight (16)
  --seed N      what they do; the same seed sends the same again (any)
  --url URL     a running service; several times for several over one database. Without it, two services are started over
                a database of their own
  --storm       ends the connections of those two to their database, four times a second

The entities have a type of their own, so that a service that holds data can be checked; they stay there.

Exit code: 0 nothing is violated, 1 something is (it is told), 2 the check could not be run.
`;

const VIOLATED = 1;
/** Of each check. */
const MOST_TOLD = 5;

const OPTIONS = {
  seconds: { type: 'string', default: '10' },
  requests: { type: 'string', default: '0' },
  clients: { type: 'string', default: '16' },
  seed: { type: 'string' },
  url: { type: 'string', multiple: true },
  storm: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

function optionsOf(args: string[]) {
  try {
    const { values } = parseArgs({ args, options: OPTIONS });
    const { url: urls = [], storm, help } = values;
    if (storm && urls.length > 0) throw complaint('--storm is for services of its own, not for those of --url.');
    const seed = values.seed === undefined ? randomInt(MOST_SEED) : numberOf('seed', values.seed, 0, MOST_SEED);
    return {
      services: urls.map(baseOf),
      seed,
      clients: numberOf('clients', values.clients, 1, 1_000),
      seconds: numberOf('seconds', values.seconds, 1, 86_400),
      least: numberOf('requests', values.requests, 0, 1_000_000),
      storm,
      help,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw complaint(`${message}${/[.?]$/.test(message) ? '' : '.'} --help says what there is.`, error);
  }
}

const MOST_SEED = 2 ** 31 - 1;

function numberOf(name: string, text: string, least: number, most: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw complaint(`--${name} ${text} is no whole number from ${least} to ${most}.`);
}

/** The command: gives its exit code. @throws a complaint about what is asked wrongly */
export async function run(args: string[]): Promise<number> {
  const { help, services, storm, ...options } = optionsOf(args);
  if (help) {
    say(HELP);
    return 0;
  }
  for (const { href } of services) {
    const { status } = await serviceAt(href)({ method: 'GET', path: 'health/ready' });
    if (status !== 200) throw complaint(`The service at ${href} is not ready (${status}).`);
  }
  const type = `history-${randomBytes(4).toString('hex')}`;
  if (services.length > 0) return report(options.seed, await checkWithProgress({ ...options, services, type }));
  return withOwnServers({}, async ({ databaseUrl, serviceUrl, start }) => {
    const env = { DATABASE_URL: serviceUrl, PORT: '0', LOG_LEVEL: 'fatal' };
    const urls = [await start(['dist/main.js'], env), await start(['dist/main.js'], env)];
    const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
    const plan: Plan = { ...options, services: urls.map(baseOf), type, ...(storm ? { storm: sql } : {}) };
    try {
      return await report(options.seed, await checkWithProgress(plan));
    } finally {
      await sql.end();
    }
  });
}

/** Shows how far it is: a bar on a terminal, a line every two seconds elsewhere. */
async function checkWithProgress(plan: Plan): ReturnType<typeof runAndCheck> {
  const bar = new SingleBar({
    stream: process.stdout,
    noTTYOutput: true,
    format: process.stdout.isTTY ? '{phase} [{bar}] {requests} requests' : '{phase} {percentage}%, {requests} requests',
    barsize: 30,
    // Elsewhere its last line has been ended already, and there is nothing to clear.
    clearOnComplete: !process.stdout.isTTY,
  });
  const watch: Watch = ({ seconds, ...told }) => bar.update(seconds, told);
  bar.start(plan.seconds, 0, { phase: 'clients work', requests: 0 });
  try {
    return await runAndCheck(plan, watch);
  } finally {
    bar.stop();
  }
}

/** Says what was found, and keeps the recording where it shows something. */
async function report(seed: number, { recording, violations }: { recording: Recording; violations: Violation[] }) {
  const { requests, ticks, ...counts } = countsOf(recording);
  const figures = Object.entries(counts).map(([what, count]) => `${count} ${what}`);
  for (const told of tellViolations(violations, MOST_TOLD)) say(`${told}\n`);
  if (violations.length > 0) {
    const file = join(await mkdtemp(join(tmpdir(), 'clocktick-history-')), 'recording.ndjson');
    await writeFile(file, recording.operations.map((operation) => `${JSON.stringify(operation)}\n`).join(''));
    say(`All requests and their answers are in ${file}.\n`);
  }
  const found = violations.length === 0 ? 'nothing is violated' : `${violations.length} violations`;
  say(
    `Seed ${seed}: ${requests} requests, ${ticks} ticks of ${KEYS.length} entities of type ${recording.type} ` +
      `(${figures.join(', ')}): ${found}.\n`,
  );
  return violations.length === 0 ? 0 : VIOLATED;
}

const say = (text: string) => process.stdout.write(text);

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsCommand(run);
