import postgres from 'postgres';
import { measureLoad, type Urls } from './loads.js';
import type { Subject } from './seed.js';

/** Bytes of WAL a write: of its records, and of the images of pages that a checkpoint asks for. */
export type Wal = { records: number; images: number };

const SECONDS = 2;

/**
 * What the writes of two seconds leave in the WAL after a checkpoint, by subject.
 * @param database where the subjects write
 */
export async function walOf(
  database: string,
  urls: Urls,
  subjects: readonly (readonly [string, Subject])[],
  connections: number,
): Promise<Record<string, Wal>> {
  const wals: Record<string, Wal> = {};
  const sql = postgres(database, { max: 1, onnotice: () => {} });
  await sql`DROP EXTENSION IF EXISTS pg_walinspect`;
  await sql`CREATE EXTENSION pg_walinspect SCHEMA bench`;
  for (const [name, subject] of subjects) {
    await sql`CHECKPOINT`;
    const [before] = await sql<{ at: string }[]>`SELECT pg_current_wal_lsn() AS at`;
    const { perSecond } = await measureLoad(urls, subject, { seconds: SECONDS, connections });
    const [wal] = await sql<Wal[]>`
      SELECT sum(record_size)::float8 AS records, sum(fpi_size)::float8 AS images
        FROM bench.pg_get_wal_stats(${before?.at ?? ''}::pg_lsn, pg_current_wal_lsn())`;
    const each = (bytes = 0) => Math.round(bytes / (perSecond * SECONDS));
    wals[name] = { records: each(wal?.records), images: each(wal?.images) };
  }
  await sql.end();
  return wals;
}
