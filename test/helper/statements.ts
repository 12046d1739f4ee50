import { literal, type Plan, type SentByPool } from './plans.js';

const WIDTH = 120;

/**
 * A statement as a file that psql runs as it stands: what it answers, the settings of its pool, the statement, the call. All
 * in a transaction that is rolled back, so that it can be run again and again.
 */
export function statementText(
  name: string,
  told: readonly string[],
  { text, parameters, settings }: SentByPool,
): string {
  const prepared = name.replaceAll('-', '_');
  const values = parameters.map(
    (value, n) => `  ${literal(value)}${n < parameters.length - 1 ? ',' : ''} -- $${n + 1}`,
  );
  return [
    ...told.flatMap(commented),
    ...commented('(What it asks for is in the data that test/helper/past.ts writes.)'),
    '',
    'BEGIN;',
    ...Object.entries(settings).map(([setting, value]) => `SET LOCAL ${setting} = ${value};`),
    '',
    `PREPARE ${prepared} AS`,
    `${readable(text)};`,
    '',
    ...(values.length > 0 ? [`EXECUTE ${prepared} (`, ...values, ');'] : [`EXECUTE ${prepared};`]),
    '',
    `DEALLOCATE ${prepared};`,
    'ROLLBACK;',
    '',
  ].join('\n');
}

const PLAN = '\n-- Its plan, and the buffers that it touches:\n--\n';

/** A plan as it stands at the end of the file. */
export const planText = ({ nodes, buffers }: Plan): string =>
  `${PLAN}${[...nodes.map(sameEverywhere), '', `${buffers} buffers`].map((line) => `-- ${line}`.trimEnd()).join('\n')}\n`;

/** The server chooses anew between two indexes of its own catalogue. */
const sameEverywhere = (node: string): string => node.replace(/pg_attribute_relid_att\w+_index/, 'pg_attribute');

/** What a file says: the statement, and how it was planned. */
export function readPlan(file: string): { statement: string; nodes: string; buffers: number } {
  const [statement = '', plan = ''] = file.split(PLAN);
  const [nodes = '', buffers = ''] = plan.split('\n--\n');
  return { statement, nodes, buffers: Number.parseInt(buffers.slice('-- '.length), 10) };
}

/** A statement without empty lines, blanks at the end of lines, and the indentation that all its lines have. */
function readable(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  const indents = lines.map((line) => line.length - line.trimStart().length);
  // A statement that begins on the line of its backtick has no indentation there.
  const common = Math.min(...(indents[0] === 0 && indents.length > 1 ? indents.slice(1) : indents));
  return lines.map((line, n) => (n === 0 && indents[0] === 0 ? line : line.slice(common))).join('\n');
}

/** A sentence as lines of a comment. */
function commented(sentence: string): string[] {
  const lines = ['--'];
  for (const word of sentence.split(' ')) {
    const last = lines.length - 1;
    const longer = `${lines[last]} ${word}`;
    if (longer.length <= WIDTH) lines[last] = longer;
    else lines.push(`-- ${word}`);
  }
  return lines;
}
