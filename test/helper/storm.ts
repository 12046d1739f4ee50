import type postgres from 'postgres';
import { idOfKey, newId } from '../../src/temporal/identity.js';
import { isObject, type Json } from '../../src/temporal/json.js';
import { type Call, object, text } from './service.js';
import { writeChanges } from './write.js';

/** Microseconds since 1970 as an instant; this clock and the database's are those of one machine. */
export const instantOf = (microseconds: number) => {
  const whole = Math.floor(microseconds);
  return new Date(whole / 1000).toISOString().replace('Z', `${String(whole % 1000).padStart(3, '0')}Z`);
};
export const clockNow = () => (performance.timeOrigin + performance.now()) * 1000;

/** How many answers of the past a storm collects. */
export const STORM_READS = Number(process.env.STORM_READS ?? 400);

type Storm = { reads: number; calls: readonly Call[]; sql: postgres.Sql };
/**
 * What readers were told during a storm, and whether the same was told of the same instant when it was over. Who was
 * refused was told nothing: not stable yet, or overloaded, as on a machine where a writer has no processor for seconds.
 */
type Told = { reads: number; refused: number; changed: string[]; halfSeen: string[]; writes: number };

/**
 * 32 writers: 22 through the service, and 10 whose transactions change two entities and create three more at once, a third
 * of them staying open for up to 10 ms. Meanwhile 48 readers ask as of instants of the last 4 ms.
 */
export async function storm({ reads, calls, sql }: Storm): Promise<Told> {
  const callOf = (n: number): Call => calls[n % calls.length] ?? (() => Promise.reject(new Error('no instance')));
  const singles = Array.from({ length: 22 }, newId);
  const pairs = Array.from({ length: 10 }, () => [newId(), newId()].sort());
  const create = (id: string, type: string) => callOf(0)('PUT', `/entities/${id}`, { type, properties: { n: 0 } });
  await Promise.all([...singles.map((id) => create(id, 'single')), ...pairs.flat().map((id) => create(id, 'pair'))]);

  const told = new Map<string, string>();
  const isOver = () => told.size >= reads;
  let writes = 0;

  const written = singles.map(async (id, writer) => {
    for (let n = 1; !isOver(); n++) {
      await callOf(writer)('PATCH', `/entities/${id}`, { properties: { n } });
      writes++;
    }
  });
  /** What each batch writer is creating, or has created last. */
  const latest = pairs.map(() => '');
  const batched = pairs.map(async (pair, writer) => {
    for (let n = 1; !isOver(); n++) {
      const batch = newId();
      const trio = [1, 2, 3].map((one) => `${batch}-${one}`);
      latest[writer] = batch;
      // Half of them only create: no lock of a row gives them an id of their own.
      const changed = writer % 2 === 0 ? pair : [];
      await sql.begin(async (tx) => {
        await writeChanges(tx, [
          ...changed.map((id) => ({ id, expected: n, op: 'updated', type: 'pair', set: { n } }) as const),
          ...trio.map(
            (key) => ({ id: idOfKey('trio', key), expected: 0, op: 'created', type: 'trio', key, set: { n } }) as const,
          ),
        ]);
        if (Math.random() < 0.3) await tx`SELECT pg_sleep(${Math.random() / 100})`;
      });
      writes++;
    }
  });

  let refused = 0;
  const halfSeen: string[] = [];
  const saidOf = async (reader: number, path: string) => {
    const { status, headers, text } = await callOf(reader)('GET', path);
    return `${status} ${headers.etag} ${text}`;
  };
  const read = Array.from({ length: 48 }, async (_, reader) => {
    for (let n = reader; !isOver(); n++) {
      const asOf = instantOf(clockNow() - Math.random() * 4_000);
      const pair = pairs[n % pairs.length] ?? [];
      const batch = latest[n % latest.length];
      const paths = [
        `/entities/${singles[n % singles.length]}?asOf=${asOf}`,
        `/entities?ids=${pair}&asOf=${asOf}`,
        `/entities?type=single&asOf=${asOf}`,
        `/entities?type=pair&asOf=${asOf}`,
        `/entities?type=trio&keyPrefix=${batch}&asOf=${asOf}`,
        `/entities?ids=${[1, 2, 3].map((one) => `trio:${batch}-${one}`)}&asOf=${asOf}`,
      ];
      const path = paths[n % paths.length] ?? '';
      const said = await saidOf(reader, path);
      if (said.startsWith('503 ')) {
        refused++;
        continue;
      }
      told.set(path, said);
      if (isHalf(said, pairs)) halfSeen.push(`${path}\n${said}`);
    }
  });
  await Promise.all([...written, ...batched, ...read]);

  const changed: string[] = [];
  for (const [n, [path, said]] of [...told].entries()) {
    const now = await saidOf(n + 1, path);
    if (now !== said) changed.push(`${path}\n${said}\n${now}`);
  }
  return { reads: told.size, refused, changed, halfSeen, writes };
}

/** Whether an answer shows some entities of a transaction, and others not, or as they were before it. */
function isHalf(said: string, pairs: readonly (readonly string[])[]): boolean {
  const body: Json = JSON.parse(said.slice(said.indexOf('{')));
  if (!isObject(body) || !Array.isArray(body.items)) return false;
  const seen = new Map(body.items.map(object).map((item) => [text(item.id), item]));
  const [first] = [...seen.values()];
  if (first?.type === 'trio') return seen.size !== 3;
  return pairs.some(([one = '', other = '']) => seen.get(one)?.tick !== seen.get(other)?.tick);
}
