import { isBefore } from '../temporal/point.js';
import { invalidCursor } from '../temporal/refusal.js';
import type { Fragment, Sql } from './engine/pools.js';
import { type InstantMoment, instantOfMoment } from './moments.js';
import { engine, type Storage } from './storage.js';

/**
 * What fixes a snapshot: what happened at or before `asOf` and was recorded at or before `recordedAsOf`, both stable. `asOf` is
 * never the later one (`pinOf` sees to that), because nothing is recorded before it happens: so all ticks at or before it that
 * were not imported are in the snapshot, and an instant is enough to look for what held then.
 */
export type Pin = { asOf: string; recordedAsOf: string };

export const pinOf = (asOf: string, recordedAsOf: string): Pin => ({
  asOf: isBefore(recordedAsOf, asOf) ? recordedAsOf : asOf,
  recordedAsOf,
});

/**
 * What a snapshot shows at most: the instants of the newest change in it, and of the newest recording, which is a later
 * one only in imported history. All pins with the same two fix the same snapshot: nothing else lies between. Null: nothing
 * had changed by then.
 */
export type Newest = Pin | { asOf: null; recordedAsOf: null };

/** What a statement says of it in each row. */
export type NewestRow = { asOf: string | null; recordedAsOf: string | null };

export const newestIn = (row: NewestRow | undefined): Newest => {
  const { asOf = null, recordedAsOf = null } = row ?? {};
  return asOf === null || recordedAsOf === null ? { asOf: null, recordedAsOf: null } : { asOf, recordedAsOf };
};

/** The newest change that a snapshot of a type's entities, or of all, can show; no entity is read for that. */
export async function readNewest(storage: Storage, type: string | null, pin: Pin): Promise<Newest> {
  const [row] = await storage[engine].paging((sql) => sql<NewestRow[]>`WITH ${kinds(sql, type)} ${newestOf(sql, pin)}`);
  return newestIn(row);
}

/**
 * What a snapshot is asked to be as of: two instants (null: the newest stable one), or in the place of `asOf` a date; or the pin
 * that a cursor carries, which another instance may have promised.
 */
export type PinQuestion = { asOf: InstantMoment; recordedAsOf: string | null } | { promised: Pin };

/** A pin that can be read at; fixed: no instant of it was left to the service, so nothing can change what it shows. */
type Pinned = { pin: Pin; isFixed: boolean };

/**
 * The pin of a snapshot, once it is stable. A cursor's instants were found stable by whichever instance gave it, so nothing that
 * is open by now holds them back; that they have come at all is asked, because anybody can write a cursor.
 * @param type whose entities the snapshot shows (null: all), for a date before the first of them
 * @throws Refusal `invalid_cursor`, `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function pinFor(
  storage: Storage,
  type: string | null,
  question: PinQuestion,
  signal?: AbortSignal,
): Promise<Pinned> {
  const { stableInstant } = storage[engine];
  if ('promised' in question) {
    for (const instant of Object.values(question.promised))
      if (!(await stableInstant.hasCome(instant))) throw invalidCursor();
    return { pin: question.promised, isFixed: true };
  }
  const { recordedAsOf } = question;
  const asOf = await asOfFor(storage, type, question);
  for (const instant of [asOf, recordedAsOf]) if (instant !== null) await stableInstant.waitFor(instant, signal);
  if (asOf !== null && recordedAsOf !== null) return { pin: pinOf(asOf, recordedAsOf), isFixed: true };
  const stable = await stableInstant.newest();
  return { pin: pinOf(asOf ?? stable, recordedAsOf ?? stable), isFixed: false };
}

/** The instant that is asked for; of a date before the first change, that of the first change (RFC 7089 section 4.5.3). */
async function asOfFor(
  storage: Storage,
  type: string | null,
  { asOf, recordedAsOf }: { asOf: InstantMoment; recordedAsOf: string | null },
): Promise<string | null> {
  const instant = await instantOfMoment(storage, asOf);
  if (instant === null || asOf === null || 'instant' in asOf) return instant;
  const oldest = await readOldest(storage, type, recordedAsOf);
  return oldest !== null && isBefore(instant, oldest) ? oldest : instant;
}

/** What a snapshot answers: a page of it, or null to whoever has what it can show already. */
type Snapshot<Page> = { newest: Newest; isFixed: boolean; page: Page | null };

/**
 * A page of a snapshot.
 * @param isKnown whether the caller has what the snapshot can show already; then no entity is read. Null: the caller has nothing
 * @throws Refusal as `pinFor`, and as `read`
 */
export async function readSnapshot<Page extends { newest: Newest }>(
  storage: Storage,
  type: string | null,
  question: PinQuestion,
  isKnown: ((newest: Newest) => boolean) | null,
  read: (pin: Pin) => Promise<Page>,
  signal?: AbortSignal,
): Promise<Snapshot<Page>> {
  const { pin, isFixed } = await pinFor(storage, type, question, signal);
  if (isKnown) {
    const newest = await readNewest(storage, type, pin);
    if (isKnown(newest)) return { newest, isFixed, page: null };
  }
  const page = await read(pin);
  return { newest: page.newest, isFixed, page };
}

/** The instant of the first change of a type's entities, or of all; of those recorded by an instant, if that is given. */
export async function readOldest(
  storage: Storage,
  type: string | null,
  recordedAsOf: string | null = null,
): Promise<string | null> {
  const [row] = await storage[engine].paging(
    (sql) => sql<{ at: string | null }[]>`
        WITH ${kinds(sql, type)}
        SELECT min(changed.at) AS at
          FROM kind CROSS JOIN LATERAL (
                 SELECT t.at FROM clocktick.tick t
                  WHERE t.type = kind.type AND t.recorded_at <= coalesce(${recordedAsOf}::timestamptz, 'infinity')
                  ORDER BY t.at LIMIT 1) changed`,
  );
  return row?.at ?? null;
}

/** `kind` (type): one type, or all that entities have. */
export const kinds = (sql: Sql, type: string | null): Fragment =>
  type === null ? sql`kind AS (SELECT k.type FROM clocktick.types() k)` : sql`kind (type) AS (SELECT ${type}::text)`;

/** The newest change of `kind` that a pin can show. */
export const newestOf = (sql: Sql, pin: Pin): Fragment => sql`
  SELECT max(newest.at) AS "asOf", greatest(max(newest.at), max(newest.imported_at)) AS "recordedAsOf"
    FROM kind CROSS JOIN LATERAL clocktick.newest_change(kind.type, ${instants(sql, pin)}) newest`;

/** The state of `e` as of a pin: `past` (tick, at, deleted), no row where it had none yet. */
export const stateAsOf = (sql: Sql, pin: Pin): Fragment => sql`
  clocktick.state_as_of(e.id, e.tick, e.updated_at, e.deleted, e.recorded_at, ${instants(sql, pin)}) past`;

/** The two instants of a pin, as arguments. */
export const instants = (sql: Sql, { asOf, recordedAsOf }: Pin): Fragment =>
  sql`${asOf}::timestamptz, ${recordedAsOf}::timestamptz`;
