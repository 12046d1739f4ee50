/** A run of the bench: when, on what, by which command. */
export type Run = { date: string; cores: number; cpu: string; postgres: string; node: string; command: string };

/** The section that the bench does not measure: people write it. */
const KEPT = '## Figures that decided something';

/**
 * The page of figures, as `npm run bench -- --record` writes it.
 * @param before the page as it was; its section KEPT goes on standing at the end
 */
export const figuresPage = (
  { date, cores, cpu, postgres, node, command }: Run,
  tables: readonly string[],
  before: string,
): string =>
  `# Figures

\`npm run bench -- --record\` writes the tables of the bench. [How fast it is](performance.md) says what is measured, and how to read it.
What stands under [Figures that decided something](#figures-that-decided-something) was measured by hand; the bench leaves it as it is.

## The last recorded bench

| | |
|---|---|
| date | ${date} |
| machine | ${cores} cores, ${cpu} |
| PostgreSQL | ${postgres} |
| Node.js | ${node} |
| command | \`${command}\` |

${[...tables, keptOf(before)].join('\n')}`;

/** The section KEPT of a page, with its heading; it is the last one. */
function keptOf(page: string): string {
  const start = page.indexOf(`\n${KEPT}\n`);
  return start === -1 ? '' : page.slice(start + 1);
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
