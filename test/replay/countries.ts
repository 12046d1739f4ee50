import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import { complaint, runAsCommand } from './complaint.js';
import { readHistory } from './history.js';
import { keysOf, readsOf, refuseExisting, replay, type Target, verify, type Watch } from './replay.js';
import { serviceAt } from './service.js';

const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));

const HELP = `Replays a history of commits into a running clocktick and checks that it remembers all of it.

npm run replay:countries -- [file] [--url http://127.0.0.1:3000] [--type country]

  file     commits as NDJSON, plain or gzipped; without it an invented sample of a few countries
  --url    where the service runs
  --type   the type of the entities; none of them may exist yet, so a second replay needs another type

Each commit becomes an activity with its author and message; each change is a conditional write that names it. Then every
entity is read as of every one of its ticks and as it is now, and every activity with its ticks.

Exit code: 0 all is as the data says, 1 something differs (it is printed), 2 the replay could not be run.
`;

const DIFFERS = 1;
const INTERRUPTED = 130;
const MOST_DIFFERENCES = 20;

function argumentsOf(args: string[]) {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        url: { type: 'string', default: 'http://127.0.0.1:3000' },
        type: { type: 'string', default: 'country' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const [file, ...others] = positionals;
    if (others.length > 0) throw complaint(`One file at a time: what is ${others.join(' ')}?`);
    return { ...values, file: file === undefined ? SAMPLE : resolve(file) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw complaint(`${message}${/[.?]$/.test(message) ? '' : '.'} --help says what there is.`, error);
  }
}

/** The command: gives its exit code. @throws a complaint about what is asked wrongly */
export async function run(args: string[]): Promise<number> {
  const { url, type, file, help } = argumentsOf(args);
  if (help) {
    say(HELP);
    return 0;
  }
  const history = await readHistory(file);
  const target: Target = { service: serviceAt(url), type };
  await refuseExisting(target, history);

  const commits = history.length;
  const changes = history.reduce((sum, { steps }) => sum + steps.length, 0);
  const writing = await timed(
    withProgress({ what: 'writing', unit: 'changes', commits, requests: changes }, (watch) =>
      replay(target, history, watch),
    ),
  );
  const verifying = await timed(
    withProgress({ what: 'verifying', unit: 'reads', commits, requests: readsOf(history) }, (watch) =>
      verify(target, history, writing.result, watch),
    ),
  );

  const differences = verifying.result;
  for (const difference of differences.slice(0, MOST_DIFFERENCES)) say(`${difference}\n`);
  if (differences.length > MOST_DIFFERENCES) say(`… and ${differences.length - MOST_DIFFERENCES} more\n`);
  const found = differences.length === 0 ? 'all as the data says' : `${count(differences.length, 'difference')}`;
  say(
    `${count(commits, 'commit')}, ${count(changes, 'change')} written in ${seconds(writing.ms)} ` +
      `(${perSecond(changes, writing.ms)}/s); every tick of ${keysOf(history).size} entities of type ${type}, their state ` +
      `now and every activity read in ${seconds(verifying.ms)}: ${found}.\n`,
  );
  return differences.length === 0 ? 0 : DIFFERS;
}

type Phase = { what: string; unit: string; commits: number; requests: number };

/**
 * Shows how far it is: a bar on a terminal, a line every two seconds elsewhere. Commits differ a thousandfold in size, so
 * bar, pace and ETA are those of the requests.
 */
async function withProgress<Result>(phase: Phase, work: (watch: Watch) => Promise<Result>): Promise<Result> {
  const start = performance.now();
  const figures = (done: Parameters<Watch>[0]) => {
    const ms = performance.now() - start;
    const left = done.requests === 0 ? null : (ms / done.requests) * (phase.requests - done.requests);
    return {
      what: phase.what.padEnd(9),
      commits: `${done.commits} of ${phase.commits} commits`,
      pace: `${perSecond(done.requests, ms)} ${phase.unit}/s`,
      remaining: left === null ? '–' : `${Math.ceil(left / 1000)} s`,
    };
  };
  const bar = new SingleBar({
    stream: process.stdout,
    noTTYOutput: true,
    format: process.stdout.isTTY
      ? '{what} [{bar}] {commits}, {pace}, ETA {remaining}'
      : '{what} {percentage}%, {commits}, {pace}, ETA {remaining}',
    barsize: 30,
    // Elsewhere its last line has been ended already, and there is nothing to clear.
    clearOnComplete: !process.stdout.isTTY,
  });
  // Else the terminal would go on without wrapping its lines.
  const interrupted = () => {
    bar.stop();
    say('Interrupted. What is written stays: the next replay needs another --type.\n');
    process.exit(INTERRUPTED);
  };
  process.once('SIGINT', interrupted);
  bar.start(phase.requests, 0, figures({ commits: 0, requests: 0 }));
  try {
    return await work((done) => bar.update(done.requests, figures(done)));
  } finally {
    bar.stop();
    process.off('SIGINT', interrupted);
  }
}

async function timed<Result>(work: Promise<Result>): Promise<{ result: Result; ms: number }> {
  const start = performance.now();
  const result = await work;
  return { result, ms: performance.now() - start };
}

const say = (text: string) => process.stdout.write(text);
const perSecond = (requests: number, ms: number) => Math.round((requests / Math.max(ms, 1)) * 1000);
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsCommand(run);
