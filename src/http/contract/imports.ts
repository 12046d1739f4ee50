import { z } from 'zod';
import { IMPORT_MODES, SKEWS } from '../../temporal/import.js';
import { IMPORT_STATUSES, MAX_SOURCE_LENGTH } from '../../temporal/limits.js';
import { EXAMPLE_ACTIVITY } from './examples.js';
import { described, flagOf } from './parameters.js';
import { instant } from './schemas.js';

/* What the calls on imports take and give. */

/** The name of a source, as a part of a path or a parameter. */
export const sourceName = z
  .string()
  .min(1)
  .max(MAX_SOURCE_LENGTH)
  .refine((name) => !name.includes('\0') && name.isWellFormed(), {
    error: 'must hold neither U+0000 nor half a surrogate pair',
  })
  .meta({ description: 'What is imported, by a name of your own: a file, a table, a system', example: 'crm' });

/** What a body of lines is, for the document. */
export const LINES =
  'Lines of JSON. `{type, key, properties}`: the whole state of an entity; with `op`: `patch` (a merge patch, RFC 7396), `set` (`set`: whole values, `clear`: names) or `delete`. `id`, a UUID, may stand for `key`. `activity` says who and why, and `at` when it happened, where that is not now. `{watermark}`: how far the source is, in any JSON';
export const EXAMPLE_LINES = `${[
  { type: 'friend', key: 'rachel', properties: { name: 'Rachel', location: 'New York' } },
  { type: 'friend', key: 'ross', op: 'patch', properties: { location: null }, activity: { actor: 'monica' } },
  { watermark: '2016-01-08' },
]
  .map((line) => JSON.stringify(line))
  .join('\n')}\n`;

const choice = <const T extends readonly [string, ...string[]]>(
  name: string,
  values: T,
  by: T[number],
  description: string,
) =>
  z
    .enum(values)
    .default(by)
    .meta(described(name, description, { type: 'string', enum: [...values], default: by }));

/** How long an import may wait for its turn, in seconds. */
const MOST_WAIT = 600;
const badWait = { error: `must be a number of seconds from 0 to ${MOST_WAIT}` };

export const importParameters = z.strictObject({
  source: sourceName,
  mode: choice(
    'ImportMode',
    IMPORT_MODES,
    'upsert',
    '`upsert` changes what is there; `insert` refuses a line that would; `replace-all` deletes, at its end, what no line named of the types that lines did',
  ),
  skew: choice(
    'Skew',
    SKEWS,
    'refuse',
    "What a line does whose `at` is not after the entity's newest tick: it is refused; or instants move on by microseconds over the whole import",
  ),
  onError: choice(
    'OnError',
    ['stop', 'skip'],
    'stop',
    'What a line that is refused does: refuse its batch and end the import, or be left out and told',
  ),
  wait: z
    .string()
    .regex(/^\d{1,3}$/, badWait)
    .default('0')
    .transform(Number)
    .refine((seconds) => seconds <= MOST_WAIT, badWait)
    .meta(
      described('WaitForImport', 'How many seconds to wait for an import of the same source to end, or for a place', {
        type: 'integer',
        minimum: 0,
        maximum: MOST_WAIT,
        default: 0,
      }),
    ),
  evenIfInvalid: flagOf(
    'EvenIfInvalidOfImport',
    'Takes states that the definitions of their types refuse, too: as history, they were so',
  ),
  dryRun: flagOf(
    'DryRunOfImport',
    'Tells what would be written, and writes nothing. Each batch is looked at as if those before it had not been written',
  ),
});

const count = (description: string) => z.int().min(0).meta({ description });

const fields = {
  source: sourceName,
  id: z.uuid().meta({ description: 'The import; each activity that it records names it', example: EXAMPLE_ACTIVITY }),
  mode: z.enum(IMPORT_MODES),
  status: z.enum([...IMPORT_STATUSES, 'interrupted']).meta({
    description:
      "`interrupted`: its service, or that one's connection to the database, died. What it says was kept is kept",
  }),
  lines: count('How many lines were kept or skipped; blank ones do not count'),
  changed: count('How many lines changed something'),
  unchanged: count('How many lines found everything as they say'),
  skipped: count('How many lines were refused and left out'),
  ticks: count('How many ticks were recorded'),
  deleted: count('How many entities were deleted because no line named them: at the end of a `replace-all`'),
  watermark: z
    .unknown()
    .optional()
    .meta({ description: 'The last watermark that was kept, of this import or one before it' }),
  startedAt: instant,
  updatedAt: instant,
  unfinishedSince: instant.optional().meta({
    description:
      'Since when a `replace-all` is unfinished: the next one goes on with it. Where it is `done` all the same, it deleted nothing, because it left lines out or named no entity',
  }),
};

export const importRow = z.strictObject(fields).meta({ id: 'Import', description: 'How far an import is, or came' });

const problemOfLine = z.looseObject({ code: z.string(), detail: z.string() });
const fault = z
  .strictObject({ line: z.int().min(1), problem: problemOfLine })
  .meta({ id: 'LineFault', description: 'A line that was refused and left out, and why' });

export const importSummary = z
  .strictObject({
    ...fields,
    faults: z.array(fault).meta({ description: 'The first thousand lines that were left out' }),
  })
  .meta({ id: 'ImportSummary', description: 'How an import ended' });

export const importTold = z
  .union([
    z.strictObject({ ...fields, problem: problemOfLine.optional().meta({ description: 'Why it failed' }) }),
    fault,
  ])
  .meta({ id: 'ImportTold', description: 'A line of the answer: how far the import is, or a line that was left out' });
