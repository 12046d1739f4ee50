import { BadSetting } from '../config.js';
import { openOutput } from './output.js';
import { counted, progress } from './progress.js';
import { receive } from './receive.js';

const OPTIONS = {
  url: { type: 'string' },
  type: { type: 'string' },
  'as-of': { type: 'string' },
  'recorded-as-of': { type: 'string' },
  history: { type: 'string' },
  format: { type: 'string' },
  fields: { type: 'string', multiple: true },
} as const;

/** What the command line says; of options that are not given the service's own defaults count. */
type Given = {
  type?: string | undefined;
  'as-of'?: string | undefined;
  'recorded-as-of'?: string | undefined;
  history?: string | undefined;
  format?: string | undefined;
  fields?: string[] | undefined;
};

/** Writes what a running service exports into a file. */
export const exportFile = {
  does: 'exports everything, or all of a type, into a file',
  usage:
    'export [<file> | -] [--type <type>] [--as-of <instant>] [--recorded-as-of <instant>] [--history full] [--format ndjson|csv|parquet|ranges|ranges-csv|ranges-parquet] [--fields <names>] [--url <url>]',
  options: OPTIONS,
  help: `Writes what a running service has, as of one instant, into a file (- and nothing: to standard output), and shows how far it is.
A file that ends in .gz is compressed. Until all is there it is called FILE.partial. Where the connection breaks, the export goes on from
where it was.

  --type TYPE       only the entities of this type (all types, one after the other)
  --as-of INSTANT   as it was then, such as 2016-01-08T00:00:00Z (the newest instant that is stable)
  --recorded-as-of INSTANT
                    by what had been recorded then: without what was imported since
  --history full    every tick until then, and not the states alone
  --format FORMAT   ndjson (the default, whatever the file is called): lines as \`clocktick import\` takes them; csv, parquet: a table of states,
                    of one --type, with --fields; ranges: which property had which value from when to when, as lines of JSON;
                    ranges-csv, ranges-parquet: the same as a table
  --fields NAMES    of csv and parquet the properties that are columns, of ranges those that are shown, with commas between; may be given again
  --url URL         where the service is (CLOCKTICK_URL, or http://127.0.0.1:3000)

From the embedded database to a server of your own, while a service runs over each:
  clocktick export all.ndjson.gz --history full --url http://127.0.0.1:3000
  clocktick import all.ndjson.gz --url http://127.0.0.1:3001

Exit codes: 0 all is exported, 2 it failed.
`,
  run: async (base: URL, given: Given, args: readonly string[]): Promise<void> => {
    const [file = '-', ...more] = args;
    if (more.length > 0) throw new BadSetting(`export takes one file, and no argument ${more[0]}.`);
    const output = openOutput(file);
    const unit = given.format?.endsWith('parquet') ? 'byte' : 'line';
    const bar = progress(null, unit);
    let took = 0;
    const write = async (bytes: Buffer) => {
      await output.write(bytes);
      took += unit === 'byte' ? bytes.length : lineEndsIn(bytes);
      const told = counted(took, unit);
      bar.at(took, { short: told, full: told });
    };
    try {
      await receive(targetOf(base, given), write, bar.say);
      await output.end();
    } finally {
      bar.end();
      output.close();
    }
    process.stderr.write(`${counted(took, unit)}\n`);
  },
};

function targetOf(base: URL, given: Given): URL {
  const url = new URL('export', base);
  const asked = {
    type: given.type,
    asOf: given['as-of'],
    recordedAsOf: given['recorded-as-of'],
    history: given.history,
    format: given.format,
  };
  for (const [name, value] of Object.entries(asked)) if (value !== undefined) url.searchParams.set(name, value);
  for (const name of (given.fields ?? []).flatMap((names) => names.split(','))) url.searchParams.append('fields', name);
  if (['ndjson', 'ranges'].includes(given.format ?? 'ndjson')) url.searchParams.set('watermarks', 'true');
  return url;
}

const LF = 10;

function lineEndsIn(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) count++;
  return count;
}
