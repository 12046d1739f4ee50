import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { newId } from '../temporal/identity.js';
import { RESERVED_PREFIX } from '../temporal/limits.js';
import { isBefore } from '../temporal/point.js';
import { applyAlone, written } from './changes.js';
import { brokeUnderWay, CLOCK_STEPPED_BACK, codeOf, FORBIDDEN, neverSent, READ_ONLY } from './engine/failures.js';
import { arrayText } from './engine/pools.js';
import { type Look, millisecondsBetween, whyNotBelieved, whyNotStable } from './engine/stable-instant.js';
import { readSmallNow, readSmallThen } from './entities.js';
import { readVersion } from './schema-files.js';
import { engine, type Storage } from './storage.js';

/** What the service needs of its database so that it can serve. */
export const CHECKS = ['database', 'schema', 'privileges', 'read_only', 'read', 'stable', 'clock', 'write'] as const;
export type Check = (typeof CHECKS)[number];

/** What was found: why a check fails, or null where it does not. A check that could not be made is not there. */
export type Found = Readonly<Partial<Record<Check, string | null>>>;

/** What is known of whether the service can serve. */
export type Health = {
  /**
   * Checks everything, within two seconds. Callers share what was found for SHARED_MS, because a check writes. It throws nothing.
   */
  check: () => Promise<Found>;
  /** Has a check made as soon as one may be: somebody found the database unavailable. */
  suspect: () => void;
  /** Ends the checks that are made without a caller. */
  close: () => void;
};

/** How long callers share what a check has found: its write owns a transaction id, and leaves dead rows. */
const SHARED_MS = 1_000;
/** How long to look again whether something still hides what is stable: the transactions of others pass, mostly. */
const UNCLEAR_MS = 400;
const PAUSE_MS = 20;

/** The id of no entity. */
const NIL = '00000000-0000-0000-0000-000000000000';

/** The checks that fail. */
export const failing = (found: Found): { check: Check; reason: string }[] =>
  CHECKS.flatMap((check) => {
    const reason = found[check];
    return typeof reason === 'string' ? [{ check, reason }] : [];
  });

/**
 * The health of a storage. While something fails, it goes on checking, until all is well again.
 * @param tell is told when something begins to fail, with what fails, and when nothing does any more
 */
export function healthOf(storage: Storage, tell: (faults: { check: Check; reason: string }[]) => void): Health {
  let last: { found: Found; at: number } | null = null;
  let running: Promise<Found> | null = null;
  let isWell = true;
  let next: NodeJS.Timeout | undefined;
  let isClosed = false;

  const check = () => (last && performance.now() - last.at < SHARED_MS ? Promise.resolve(last.found) : checkAnew());

  function checkAnew(): Promise<Found> {
    running ??= lookAt(storage, suspect).then((found) => {
      last = { found, at: performance.now() };
      running = null;
      note(found);
      return found;
    });
    return running;
  }

  function suspect(): void {
    if (isClosed) return;
    const wait = last ? Math.max(last.at + SHARED_MS - performance.now(), 0) : 0;
    next ??= setTimeout(() => {
      next = undefined;
      // Not `check`: a timer may be a little early, and then what was found before would be taken for the answer.
      void checkAnew();
    }, wait).unref();
  }

  function note(found: Found): void {
    if (isClosed) return;
    const faults = failing(found);
    if (isWell !== (faults.length === 0)) tell(faults);
    isWell = faults.length === 0;
    if (!isWell) suspect();
  }

  return {
    check,
    suspect,
    close: () => {
      isClosed = true;
      clearTimeout(next);
    },
  };
}

/** Makes all checks, one after another, each whatever became of the others. */
async function lookAt(storage: Storage, onLost: () => void): Promise<Found> {
  const { checking, stableInstant } = storage[engine];
  const found: Partial<Record<Check, string | null>> = {};
  let underWay: Check = 'database';

  /** Makes a check. Throws only when the connection broke: nothing can be asked any more. */
  const attempt = async (check: Check, reasonOf: () => Promise<string | null>): Promise<void> => {
    underWay = check;
    try {
      found[check] ??= await reasonOf();
    } catch (error) {
      if (brokeUnderWay(error) || neverSent(error)) throw error;
      found[check] = reasonOfError(error);
      if (codeOf(error) === FORBIDDEN) found.privileges ??= 'the role of the service lacks a privilege';
      if (codeOf(error) === READ_ONLY) found.read_only ??= 'the database takes no writes';
      if (codeOf(error) === CLOCK_STEPPED_BACK) found.clock ??= 'the clock of the database has stepped back';
    }
  };

  try {
    await checking(async (sql) => {
      const session = await readSession(sql);
      found.database = null;
      found.privileges = session.missing && `the role of the service lacks ${session.missing}`;
      found.read_only = readOnlyReason(session);
      await attempt('schema', async () => schemaReason(await readApplied(sql), (await readVersion()).version));
      await attempt('read', async () => {
        await readSmallNow(sql, [{ id: NIL, fields: null }]);
        await readSmallThen(sql, [{ id: NIL, fields: null, point: { tick: 1 } }]);
        return null;
      });
      await attempt('stable', async () => {
        const look = await readClearLook(() => stableInstant.lookBy(sql));
        found.clock = clockReason(look);
        return look.at === null ? whyNotStable(look) : null;
      });
      await attempt('write', () => stableInstant.stamped((latest) => rehearse(sql, latest)));
      // A session keeps defaults that it began with, and the next check must not find what is over.
      return failing(found).length === 0;
    }, onLost);
  } catch (error) {
    found[underWay] = reasonOfError(error);
    if (brokeUnderWay(error) && codeOf(error) !== 'CHECK_TIMEOUT') found.database = reasonOfError(error);
  }
  return found;
}

/** What can be said of an error: its code, for its message may tell where the database is, or what is kept in it. */
function reasonOfError(error: unknown): string {
  const code = codeOf(error);
  if (code === 'CHECK_TIMEOUT') return 'does not answer in time';
  if (neverSent(error) || brokeUnderWay(error)) return `does not answer (${code})`;
  if (code === '55P03' || code === '57014') return `takes too long (${code})`;
  return code === '' ? 'fails' : `fails (${code})`;
}

/** What the role of the service needs (drizzle/sql/grants.sql): to read these, and to call these. All that it changes it changes by them. */
const READ = [
  'entity',
  'tick',
  'property_history',
  'property_range',
  'open_value',
  'item_history',
  'activity',
  'definition',
];
const CALLED = [
  'write_changes',
  'lock_entity',
  'lock_entities',
  'lock_definition',
  'record_activity',
  'keep_promise',
  'stable_instant',
];

/** What the database says of sessions of this role. */
type Session = { recovering: boolean; readOnly: boolean; willBeReadOnly: boolean | null; missing: string | null };

/**
 * Asks only the catalogue, so that it is answered whatever is wrong with the tables. A default that was set for the role or the
 * database meanwhile holds for sessions that begin later: the narrowest counts, as PostgreSQL has it.
 */
async function readSession(sql: postgres.Sql): Promise<Session> {
  const [session] = await sql<Session[]>`
    SELECT pg_is_in_recovery() AS recovering, current_setting('transaction_read_only')::boolean AS "readOnly",
           (SELECT o.option_value::boolean
              FROM pg_catalog.pg_db_role_setting s CROSS JOIN pg_options_to_table(s.setconfig) o
             WHERE o.option_name = 'default_transaction_read_only'
               AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))
               AND s.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = session_user))
             ORDER BY s.setrole = 0, s.setdatabase = 0 LIMIT 1) AS "willBeReadOnly",
           (SELECT string_agg(lacks.what, ', ' ORDER BY lacks.what)
              FROM (SELECT 'USAGE on the schema' AS what
                      FROM pg_catalog.pg_namespace n WHERE n.nspname = 'clocktick' AND NOT has_schema_privilege(n.oid, 'USAGE')
                    UNION ALL
                    SELECT format('SELECT on %s', c.relname)
                      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'clocktick'
                     WHERE c.relname = ANY (${arrayText(READ)}::text::name[]) AND NOT has_table_privilege(c.oid, 'SELECT')
                    UNION ALL
                    SELECT format('EXECUTE on %s', p.proname)
                      FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace AND n.nspname = 'clocktick'
                     WHERE p.proname = ANY (${arrayText(CALLED)}::text::name[]) AND NOT has_function_privilege(p.oid, 'EXECUTE')
                   ) lacks) AS missing`;
  if (!session) throw new Error('the database says nothing of its session');
  return session;
}

function readOnlyReason({ recovering, readOnly, willBeReadOnly }: Session): string | null {
  if (recovering) return 'the database is a standby (pg_is_in_recovery)';
  return readOnly || willBeReadOnly ? 'the database was made read-only (default_transaction_read_only)' : null;
}

/** The version of the schema that the database was brought up to date with; null: none. */
async function readApplied(sql: postgres.Sql): Promise<number | null> {
  const [applied] = await sql<{ version: number | null }[]>`
    SELECT max(d.version) AS version FROM clocktick.definition d`;
  return applied?.version ?? null;
}

function schemaReason(applied: number | null, known: number): string | null {
  if (applied === known) return null;
  const which = applied === null ? 'none' : applied > known ? `the newer ${applied}` : `the older ${applied}`;
  return `of its versions the database has ${which}, and this program needs ${known}`;
}

/** Looks until nothing hides which instants are stable, but not for long. */
async function readClearLook(lookNow: () => Promise<Look>): Promise<Look> {
  const until = performance.now() + UNCLEAR_MS;
  for (;;) {
    const look = await lookNow();
    if (look.at !== null || look.recovering || look.ahead > 0 || performance.now() > until) return look;
    await sleep(PAUSE_MS);
  }
}

/** Whether writes would be refused as `clock_stepped_back`, or `clock_jumped_ahead`. */
function clockReason({ clock, promised, ahead }: Look): string | null {
  if (ahead > 0) return whyNotBelieved(ahead);
  if (promised === null || isBefore(promised, clock)) return null;
  const behind = Math.max(Math.ceil(millisecondsBetween(clock, promised) / 1000), 1);
  return `the clock of the database is ${behind} s behind what was promised to be stable`;
}

/**
 * Writes as every write does, and takes it back. The transaction owns an id meanwhile, and holds back the stable instant for its
 * milliseconds.
 */
async function rehearse(sql: postgres.Sql, latest: string): Promise<string | null> {
  const change = {
    id: newId(),
    // One that nobody can define.
    type: `${RESERVED_PREFIX}health`,
    key: null,
    expected: 0,
    op: 'created' as const,
    set: { check: ['write'] },
    clear: [],
    activity: { id: newId(), details: { actor: 'health' } },
  };
  await sql`BEGIN`;
  try {
    const { end } = await applyAlone(sql, written(change, undefined, null), latest);
    return end === 'written' ? null : `ends ${end}`;
  } finally {
    await sql`ROLLBACK`;
  }
}

/** By how many seconds the newest stable instant lies behind the database's clock; NaN: nobody knows. */
export const stableLag = (storage: Storage): Promise<number> =>
  storage[engine].stableInstant.lag().catch(() => Number.NaN);

/** What goes on between requests and database right now, and how often it did. */
export const activityOf = (storage: Storage) => {
  const { lanes, tallies, counts } = storage[engine];
  return { lanes, sharing: Object.entries(tallies).map(([kind, tally]) => ({ kind, ...tally() })), ...counts };
};
