import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { check } from '../checker/check.js';
import { KEYS, type Run, runClients } from '../checker/clients.js';
import { readBack } from '../checker/read-back.js';
import { type Operation, outcomeOf } from '../checker/record.js';
import { countsOf, tellViolations } from '../checker/told.js';
import { ROOT } from '../helper/program.js';
import { isComplaint } from '../replay/complaint.js';
import { baseOf } from '../replay/service.js';
import type { Fault } from './faults.js';
import type { World } from './world.js';

export type Plan = {
  /** For how long the fault stays. */
  seconds: number;
  /** How many seconds longer it stays while nobody has noticed it. */
  unnoticed?: number;
  seed: number;
  clients: number;
  /** How many milliseconds each client rests between two steps; by itself it does not. */
  rest?: number;
  /** The longest that anybody may wait for an answer, in seconds. */
  longest?: number;
  /** For how many seconds what is served is counted before the fault, and again after it; 0: it is not. */
  counted?: number;
  /** Whether `clocktick verify` looks at the database afterwards; by itself it does. */
  verifies?: boolean;
  /** Done when all clients have ended, before what they were told is checked. */
  afterwards?: (type: string) => Promise<unknown>;
};

/** What was seen, and what of it is wrong, each in a sentence. */
export type Found = {
  counts: ReturnType<typeof countsOf> | null;
  /** In seconds. */
  readyAfter: number;
  /** After how many seconds as much was served as before; null: not within what was counted. */
  fullSpeedAfter: number | null;
  longest: number;
  wrong: string[];
};

/** The longest that anybody may wait for an answer, in seconds; and for readiness once a fault is mended. */
const LONGEST = 25;
const READY_WITHIN = 20;
const MOST_TOLD = 3;
/** Whoever is told 503 would otherwise ask a thousand times a second. */
const PAUSE_MS = 100;
/** How many writes are acknowledged before a fault, and how many after it. */
const WRITES = 5;
/** How much longer a fault lasts that nobody has noticed, in seconds: on a busy machine it may take a while until it hits anybody. */
const UNNOTICED = 10;
/** For how long anything is awaited. */
const PATIENCE_MS = 60_000;

/** Lets clients work while a fault comes and goes, and checks all that they were told. */
export async function runFault(world: World, fault: Fault, plan: Plan): Promise<Found> {
  const { seconds, unnoticed = UNNOTICED, longest = LONGEST, rest = 0, counted = 0, verifies = true } = plan;
  const services = world.instances.map(({ url }) => baseOf(url()));
  const type = `${fault.name}-${Date.now().toString(36)}`;
  const run: Run = { services, type, operations: [], instants: [], activities: [], pause: PAUSE_MS, rest };
  if (fault.prepare) await fault.prepare(world);

  const wrong: string[] = [];
  const ready = async (when: string) => {
    if (!(await readyIn(services))) wrong.push(`it is not ready ${when}, within a minute`);
  };
  await ready('before the fault');
  let isOver = false;
  const working = runClients(run, plan, () => isOver);
  working.catch(() => {}); // awaited below
  let readyAfter = 0;
  const marks = { before: 0, injected: 0, mended: 0 };
  try {
    const written = async (since: number) => {
      const isIt = (one: Operation) =>
        one.invoked >= since && one.purpose.kind === 'write' && outcomeOf(one) === 'acknowledged';
      const limit = performance.now() + PATIENCE_MS;
      while (run.operations.filter(isIt).length < WRITES && performance.now() < limit) await sleep(50);
      if (performance.now() >= limit) wrong.push(`no ${WRITES} writes are acknowledged within a minute`);
    };
    await written(performance.now());
    marks.before = performance.now();
    await sleep(counted * 1_000);
    marks.injected = performance.now();
    const before = run.operations.length;
    const mend = await fault.inject(world);
    await sleep(seconds * 1_000);
    const limit = performance.now() + unnoticed * 1_000;
    while (performance.now() < limit && !run.operations.slice(before).some(isNotice)) await sleep(50);
    await mend();
    marks.mended = performance.now();
    await ready('after it');
    readyAfter = (performance.now() - marks.mended) / 1_000;
    await written(performance.now());
    await sleep(counted * 1_000);
  } finally {
    isOver = true;
    await working;
  }
  if (readyAfter > READY_WITHIN) wrong.push(`it is ready again only after ${readyAfter.toFixed(1)} s`);
  const fullSpeedAfter = counted === 0 ? null : fullSpeedOf(run.operations, marks);
  const isSlow = fault.fullSpeedWithin !== undefined && (fullSpeedAfter ?? Infinity) > fault.fullSpeedWithin;
  if (counted > 0 && isSlow) wrong.push(`it serves as much as before only after ${fullSpeedAfter ?? 'longer than'} s`);
  wrong.push(...misanswered(run.operations, fault, longest));
  await plan.afterwards?.(type);

  let counts: Found['counts'] = null;
  try {
    const recording = await readBack(run, KEYS);
    counts = countsOf(recording);
    wrong.push(...tellViolations(check(recording), MOST_TOLD));
  } catch (error) {
    if (!isComplaint(error)) throw error;
    wrong.push(`it cannot be read back: ${error.message}`);
  }
  if (verifies) wrong.push(...(await findings(world.server.ownerUrl)));
  if (wrong.length > 0) for (const { process } of world.instances) wrong.push(...failuresOf(process().output()));
  return { counts, readyAfter, fullSpeedAfter, longest: longestOf(run.operations), wrong };
}

const isUnanswered = ({ answer, isCut }: Operation): boolean => !answer && !isCut;
/** Whether a caller was told that something was wrong. */
const isNotice = (operation: Operation): boolean => operation.answer?.status === 503 || isUnanswered(operation);

/** What no caller may be answered, whatever happens; and that the fault was there at all. */
export function misanswered(
  operations: readonly Operation[],
  { endsService }: Pick<Fault, 'endsService'>,
  longest: number,
): string[] {
  const wrong: string[] = [];
  const tell = (what: string, found: readonly Operation[]) => {
    const [first] = found;
    if (first) wrong.push(`${what}: ${found.length}, the first ${JSON.stringify({ ...first, purpose: undefined })}`);
  };
  tell(
    `an answer took longer than ${longest} s`,
    operations.filter(({ invoked, completed }) => completed - invoked > longest * 1_000),
  );
  const unanswered = operations.filter(isUnanswered);
  if (!endsService) tell('no answer', unanswered);
  tell(
    'a fault of the service',
    operations.filter(({ answer }) => answer && answer.status >= 500 && answer.status !== 503),
  );
  tell(
    '503 does not say when to come back',
    operations.filter(
      ({ answer }) => answer?.status === 503 && answer.retryAfter === null && answer.body.code !== 'outcome_unknown',
    ),
  );
  if (!operations.some(isNotice)) wrong.push('nobody noticed the fault');
  return wrong;
}

/** In what stretch of time, in milliseconds, how much of what was usual has to be served for full speed. */
const FULL = { window: 1_000, step: 100, share: 0.8 };

/** After how many seconds as much is served again as before a fault; null: never in what was recorded. Moments are those of operations. */
export function fullSpeedOf(
  operations: readonly Operation[],
  { before, injected, mended }: { before: number; injected: number; mended: number },
): number | null {
  const served = operations.flatMap(({ answer, completed }) => (answer && answer.status < 500 ? [completed] : []));
  const within = (from: number, to: number) => served.filter((at) => at >= from && at < to).length;
  const enough = (FULL.share * FULL.window * within(before, injected)) / (injected - before);
  const last = served.reduce((latest, at) => Math.max(latest, at), 0);
  for (let from = mended; from + FULL.window <= last; from += FULL.step)
    if (within(from, from + FULL.window) >= enough) return (from - mended) / 1_000;
  return null;
}

const longestOf = (operations: readonly Operation[]): number =>
  operations.reduce((most, { invoked, completed }) => Math.max(most, completed - invoked), 0) / 1_000;

/** Waits until all of them are ready, without a hand; false if they are not for too long. */
async function readyIn(services: readonly URL[]): Promise<boolean> {
  const limit = Date.now() + PATIENCE_MS;
  const isReady = (base: URL) =>
    fetch(new URL('health/ready', base)).then(
      async (answer) => {
        await answer.text();
        return answer.status === 200;
      },
      () => false,
    );
  while (!(await Promise.all(services.map(isReady))).every(Boolean)) {
    if (Date.now() > limit) return false;
    await sleep(50);
  }
  return true;
}

/** What `clocktick verify` finds. */
export async function findings(url: string): Promise<string[]> {
  const command = [join(ROOT, 'dist/cli/clocktick.js'), 'verify'];
  const env = { ...process.env, DATABASE_URL: url };
  return promisify(execFile)(process.execPath, command, { env }).then(
    () => [],
    (error: unknown) => {
      const said = error instanceof Error && 'stdout' in error ? String(error.stdout) : '';
      return [`clocktick verify: ${said.trim() || String(error)}`];
    },
  );
}

/** What the log of an instance has on faults of its own. */
const failuresOf = (output: string): string[] =>
  output
    .split('\n')
    .filter((line) => /"request failed"|^\S*Error/.test(line))
    .slice(0, MOST_TOLD);
