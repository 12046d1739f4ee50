import { verifyDatabase } from '../../src/storage/verify.js';

/** What `clocktick verify` finds in a database, a line a finding, as the command writes it. */
export async function findingsOf(url: string, most = 50): Promise<string[]> {
  const lines: string[] = [];
  for await (const { check, findings, count } of verifyDatabase(url, most)) {
    lines.push(...findings.map(({ entity, what }) => `${check}: ${entity ?? ''}: ${what}`));
    if (count > findings.length) lines.push(`${check}: … and ${count - findings.length} more`);
  }
  return lines;
}
