import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { BadSetting } from '../config.js';
import type { FaultKind, PastCheck, RefusedState, Report } from '../definitions/past.js';
import { Unfit } from '../unfit.js';
import { answerOf, refusalIn, requestTo } from './calls.js';
import { openOutput } from './output.js';
import { counted, progress } from './progress.js';
import { receive } from './receive.js';

const OPTIONS = { url: { type: 'string' }, json: { type: 'boolean' } } as const;

type Given = { json?: boolean | undefined };

/** Checks all that a type has ever been against a definition. */
export const checkPast = {
  does: 'checks the whole history of a type against a definition',
  usage: 'check <type> [<definition.json>] [--json] [--url <url>]',
  options: OPTIONS,
  help: `Reads the whole history of a type from a running service, and checks every past state of every entity against a definition. It writes nothing, and
shows how far it is. Then it tells how many states would be refused, and by what: where, by which keyword of the schema, and the first such state.

The definition is a file as \`PUT /types/{type}\` takes it: {"schema": …, "untracked": […], …}; without a file, the one that the service has now.
Values of untracked properties are not kept, so they are not part of past states: what was untracked then is as if it had not been set. Nobody is
refused for lacking a property that is untracked by the definition. What the definition wants to know of who and why is not checked.
The newest state of each living entity is kept in memory meanwhile, as text.

  --json            one line of JSON for each state that would be refused, and the count on standard error
  --url URL         where the service is (CLOCKTICK_URL, or http://127.0.0.1:3000)

Exit codes: 0 no state would be refused, 1 some would, 2 it failed.
`,
  run: async (base: URL, given: Given, args: readonly string[]): Promise<boolean> => {
    // What checks takes longer to load than all the rest, and no other command needs it.
    const [{ isDefinable }, { pastCheckOf }] = await Promise.all([
      import('../definitions/admission.js'),
      import('../definitions/past.js'),
    ]);
    const [type, file, ...more] = args;
    if (type === undefined) throw new BadSetting('name the type to check, and a file with a definition.');
    if (more.length > 0) throw new BadSetting(`check takes a type and a file, and no argument ${more[0]}.`);
    if (!isDefinable(type)) throw new BadSetting(`${type} is no type that could be defined.`);
    const { name, source } = file === undefined ? await definitionOfService(base, type) : await definitionIn(file);
    const check = pastCheckOf(source);
    if ('faults' in check) {
      const faults = check.faults.map(({ path, message }) => `${path === '' ? '' : `${path}: `}${message}`);
      throw new Unfit(`${name} is no definition.\n${faults.join('\n')}`);
    }
    const output = openOutput('-');
    const tell = (told: string) => output.write(Buffer.from(told));
    try {
      const report = await take(base, type, check, given.json ? (state) => tell(jsonOf(type, state)) : null);
      if (report.entities === 0) throw new Unfit(`There never was an entity of type ${type}: nothing was checked.`);
      const told = `${summary(name, report)}\n`;
      if (given.json) process.stderr.write(told);
      else await tell(told + details(type, report));
      await output.end();
      return report.refusedStates === 0;
    } finally {
      output.close();
    }
  },
};

/** What is checked against: what messages call it, and its text. */
type Source = { name: string; source: string };

async function definitionIn(file: string): Promise<Source> {
  try {
    return { name: file, source: await readFile(file, 'utf8') };
  } catch {
    throw new BadSetting(`there is no file ${file} that could be read.`);
  }
}

async function definitionOfService(base: URL, type: string): Promise<Source> {
  const url = new URL(`types/${type}`, base);
  const sent = requestTo(url);
  sent.end();
  const answer = await answerOf(sent, url);
  const body = await text(answer);
  if (answer.statusCode !== 200) throw new Unfit(refusalIn(body, answer.statusCode));
  const { tick, definition }: { tick: number; definition: unknown } = JSON.parse(body);
  return { name: `Definition ${tick} of type ${type}`, source: JSON.stringify(definition) };
}

/**
 * Takes the history of a type through a check.
 * @param tell is told each state that would be refused, and awaited
 */
async function take(
  base: URL,
  type: string,
  check: PastCheck,
  tell: ((state: RefusedState) => Promise<void>) | null,
): Promise<Report> {
  const url = new URL('export', base);
  for (const [name, value] of Object.entries({ type, history: 'full', watermarks: 'true' }))
    url.searchParams.set(name, value);
  const bar = progress(null, 'tick');
  let ticks = 0;
  let refused = 0;
  const write = async (bytes: Buffer) => {
    for (const line of bytes.toString('utf8').split('\n')) {
      if (line === '') continue;
      ticks++;
      const state = check.take(line);
      if (!state) continue;
      refused++;
      await tell?.(state);
    }
    const told = `${counted(ticks, 'tick')}, ${counted(refused, 'state')} refused`;
    bar.at(ticks, { short: told, full: told });
  };
  try {
    await receive(url, write, bar.say);
  } finally {
    bar.end();
  }
  return check.report();
}

const jsonOf = (type: string, { errors, ...place }: RefusedState): string =>
  `${JSON.stringify({ type, ...place, errors })}\n`;

const summary = (name: string, { states, entities, refusedStates, refusedEntities }: Report): string =>
  `${name} would refuse ${refusedStates} of ${counted(states, 'state')}, of ${refusedEntities} of ${entities === 1 ? '1 entity' : `${entities} entities`}.`;

/** What would be refused, by kinds of faults: each on a line, with an example on the next one. */
function details(type: string, { kinds, unlisted }: Report): string {
  const width = String(kinds[0]?.states ?? '').length;
  const lines = kinds.map((kind) => `${String(kind.states).padStart(width)} ${shown(type, kind)}\n`);
  if (unlisted > 0) lines.push(`${counted(unlisted, 'fault')} more, of other kinds\n`);
  return lines.join('');
}

function shown(type: string, { path, keyword, example }: FaultKind): string {
  const { key, id, tick, at, path: place, message, value } = example;
  const label = key === undefined ? `${id}` : `${type}:${key}`;
  const where = place === path ? '' : `${place} `;
  const what = value === undefined ? '' : `: ${JSON.stringify(value)}`;
  return `${path}${keyword === '' ? '' : ` ${keyword}`}\n  ${label} at tick ${tick} (${at}): ${where}${message}${what}`;
}
