/** A run of the bench: when, on what, by which command. */
export type Run = { date: string; cores: number; cpu: string; postgres: string; node: string; command: string };

/** The page of figures, as `npm run bench -- --record` writes it. */
export const figuresPage = ({ date, cores, cpu, postgres, node, command }: Run, tables: readonly string[]): string =>
  `# Figures

\`npm run bench -- --record\` writes this page, whole. [How fast it is](performance.md) says what is measured, and how to read it.

| | |
|---|---|
| date | ${date} |
| machine | ${cores} cores, ${cpu} |
| PostgreSQL | ${postgres} |
| Node.js | ${node} |
| command | \`${command}\` |

${tables.join('\n')}`;
