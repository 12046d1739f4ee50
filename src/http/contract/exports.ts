import { z } from 'zod';
import { EXAMPLE_INSTANT } from './examples.js';
import { header } from './headers.js';
import { asOfParameters, described, fields, flagOf } from './parameters.js';
import { entityKey, entityType, instant, properties, typeRange } from './schemas.js';

/* What the call that exports takes and gives. */

export const EXPORT_FORMATS = ['ndjson', 'csv', 'parquet', 'ranges', 'ranges-csv', 'ranges-parquet'] as const;

/** How long a cursor may be: the longest key and the longest name, in UTF-8 and then base64url, with what stands beside them. */
const MAX_CURSOR = 4_500;

export const exportParameters = z
  .strictObject({
    type: entityType
      .optional()
      .meta({ description: 'Of a type, such as `friend`; without, of all types, one after the other' }),
    ...asOfParameters,
    history: z
      .enum(['full'])
      .optional()
      .meta({ description: 'With `ndjson`: not the states alone, but every tick until then' }),
    format: z
      .enum(EXPORT_FORMATS)
      .default('ndjson')
      .meta(
        described(
          'ExportFormat',
          '`ndjson`: lines as an import takes them. `csv`, `parquet`: a table of states. `ranges`, `ranges-csv`, `ranges-parquet`: which property had which value from when to when, as lines of JSON or as a table',
          { type: 'string', enum: [...EXPORT_FORMATS], default: 'ndjson' },
        ),
      ),
    fields,
    watermarks: flagOf(
      'Watermarks',
      'With lines of JSON: after each page a line `{"watermark": {"cursor": …}}`, from which another request goes on',
    ),
    cursor: z
      .string()
      .max(MAX_CURSOR)
      .optional()
      .meta(
        described('ExportCursor', 'Where to go on: that of a watermark, with the parameters it came with', {
          type: 'string',
          maxLength: MAX_CURSOR,
        }),
      ),
  })
  .superRefine(({ type, history, format, fields, watermarks }, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    const isOfStates = format === 'csv' || format === 'parquet';
    if (isOfStates && type === undefined) refuse('type', 'is missing: a table of states is one of a type');
    if (isOfStates && fields === undefined)
      refuse('fields', 'is missing: a table has columns, and these are the properties that you name');
    if (format === 'ndjson' && fields !== undefined)
      refuse('fields', 'does not go with ndjson: an import takes each line for the whole of an entity');
    if (format !== 'ndjson' && history !== undefined) refuse('history', 'goes with ndjson only');
    if (format !== 'ndjson' && format !== 'ranges' && watermarks) refuse('watermarks', 'goes with lines of JSON only');
  });

const address = { type: entityType, key: entityKey.optional(), id: z.uuid().optional() };
const when = {
  at: instant.optional(),
  activity: z.looseObject({ id: z.uuid() }).optional().meta({ description: 'Who and why, as far as the tick says' }),
};

/** A line of an export. */
export const exportLine = z
  .union([
    z.strictObject({ ...address, ...when, properties }).meta({ description: 'The whole state of an entity' }),
    z
      .strictObject({
        op: z.literal('set'),
        ...address,
        ...when,
        set: properties.optional(),
        clear: z.array(z.string()).optional(),
      })
      .meta({ description: 'What a tick changed' }),
    z.strictObject({ op: z.literal('delete'), ...address, ...when }).meta({ description: 'A tick that deleted' }),
    typeRange.extend({ type: entityType, property: z.string() }).meta({ id: 'ExportedRange', description: 'A range' }),
    z.strictObject({ watermark: z.strictObject({ cursor: z.string() }) }).meta({ description: 'Where to go on' }),
  ])
  .meta({ id: 'ExportLine', description: 'A line of an export' });

export const csv = z.string().meta({ description: 'A table (RFC 4180), with a header' });

export const parquet = z.string().meta({ description: 'A table, as a Parquet file', format: 'binary' });

export const exportHeaders = {
  'Content-Location': header(
    'The same export, for ever',
    `/export?type=friend&asOf=${EXAMPLE_INSTANT}&recordedAsOf=${EXAMPLE_INSTANT}`,
  ),
};
