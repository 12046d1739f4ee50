import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { complaint, runAsCommand } from './complaint.js';
import { type Commit, readHistory } from './history.js';

const SAMPLE = fileURLToPath(new URL('../fixtures/countries-sample.ndjson.gz', import.meta.url));

const HELP = `Prints a history of commits as lines that clocktick imports, each change with the instant and the author of its commit.

npm run --silent lines:countries -- [file] [--type country] | npm run --silent clocktick -- import - --source countries --skew shift

  file     commits as NDJSON, plain or gzipped; without it an invented sample of a few countries
  --type   the type of the entities
`;

/** The lines of an import that makes a history of commits. @throws a complaint where a commit does not say when it was made */
export function* linesOf(history: readonly Commit[], type: string): Generator<string> {
  for (const [index, { activity, at, steps }] of history.entries()) {
    if (at === undefined) throw complaint(`Commit ${index + 1} does not say when it was made ("at").`);
    for (const { key, op, properties } of steps) {
      if (op === 'unchanged') continue;
      const what = properties === null ? { op: 'delete' } : { properties };
      yield `${JSON.stringify({ type, key, at, activity, ...what })}\n`;
    }
  }
}

/** The command: gives its exit code. @throws a complaint about what is asked wrongly */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { type: { type: 'string', default: 'country' }, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (positionals.length > 1) throw complaint(`It takes one file, and no argument ${positionals[1]}.`);
  const history = await readHistory(positionals[0] ?? SAMPLE);
  // Whoever reads the lines has gone, and says why itself.
  process.stdout.on('error', () => process.exit(1));
  for (const line of linesOf(history, values.type))
    if (!process.stdout.write(line)) await once(process.stdout, 'drain');
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await runAsCommand(run);
