import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Load, Measured } from './load.js';
import type { Of, Subject } from './seed.js';

/* Loads, each a process of its own (load.ts), in rounds. */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Where who is asked listens. */
export type Urls = Partial<Record<Of, string>>;

/** Figures by subject, one a round. */
export type Figures = Map<string, number[]>;

export async function inRounds(
  what: string,
  rounds: number,
  subjects: readonly (readonly [string, Subject])[],
  take: (subject: Subject) => Promise<number>,
): Promise<Figures> {
  const figures: Figures = new Map();
  for (let round = 1; round <= rounds; round++) {
    for (const [name, subject] of subjects) figures.set(name, [...(figures.get(name) ?? []), await take(subject)]);
    process.stderr.write(`${what}: ${round} of ${rounds}\n`);
  }
  return figures;
}

/** Sends requests from a process of its own, or lets the database, or the service, do by itself what it is measured by. */
export async function measureLoad(
  urls: Urls,
  subject: Subject,
  { seconds, rate = null, connections }: Pick<Load, 'seconds' | 'connections'> & { rate?: number | null },
): Promise<Measured> {
  if ('perSecond' in subject) {
    const perSecond = await subject.perSecond(urls.service ?? '');
    return { perSecond, failed: 0, p99: Number.NaN };
  }
  const { of, method, paths, body, entities = 1 } = subject;
  const load: Load = {
    url: urls[of] ?? '',
    method,
    paths,
    bodies: body ? [body].flat().map((one) => JSON.stringify(one)) : null,
    connections: subject.connections ?? connections,
    seconds,
    rate,
  };
  const child = fork(fileURLToPath(new URL('load.ts', import.meta.url)), { cwd: ROOT, execArgv: ['--import', 'tsx'] });
  child.send(load);
  const [measured]: Measured[] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => Promise.reject(new Error('the load gave no answer'))),
  ]);
  if (!measured) throw new Error('the load gave no answer');
  if (measured.failed > 0) throw new Error(`${method} ${paths[0]}: ${measured.failed} requests failed`);
  return { ...measured, perSecond: measured.perSecond * entities };
}
