import { admitted, type Rules } from '../../definitions/admission.js';
import type { Change, Entity } from '../../temporal/entity.js';
import { type BatchPlan, type Facts, type Last, type LineFault, type Planned, planOf } from '../../temporal/import.js';
import { DEFINITION_TYPE } from '../../temporal/limits.js';
import { Refusal } from '../../temporal/refusal.js';
import { lockEntities } from '../changes.js';
import { type Definitions, definitionsOf } from '../definitions.js';
import { lostRace, refusedRow, writeFailure } from '../engine/failures.js';
import type { Sql } from '../engine/pools.js';
import { type OneConnection, transactOn } from '../engine/transactions.js';
import { each, inSlices } from '../slices.js';
import { engine, type Storage } from '../storage.js';
import type { Batch } from './batches.js';
import { readFacts } from './facts.js';
import { type Advance, advanceImport, type Begun, dryRow, type ImportRow, namedBy, unwritten } from './rows.js';

/* One batch of an import: read what its lines name, decide, and write it with how far the import is, all in one transaction. */

/** How often a batch is tried that other writers came before. */
export const TRIES = 5;
/** How often it is tried before it locks its entities first. After that hardly more than the birth of one can be lost. */
export const OPTIMISTIC_TRIES = 2;

type Writing = Begun & { batch: Batch; last: Last; onError: 'stop' | 'skip'; evenIfInvalid: boolean };
/** `rest`: what of the batch belongs into the next transaction; null: nothing. */
export type Written = { row: ImportRow; faults: LineFault[]; last: Last; rest: Batch | null };

/** Writes a batch, and with it how far the import is. Other writers may come first: then it is decided anew. */
export async function writeBatch(storage: Storage, connection: OneConnection, writing: Writing): Promise<Written> {
  let { last, batch } = writing;
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(storage, connection, { ...writing, batch, last }, tries > OPTIMISTIC_TRIES);
    } catch (error) {
      const faults = error instanceof Undone ? error.faults : [];
      const [first] = faults;
      if (first && writing.onError === 'stop') throw atLine(first);
      // The last batch ticked some entity under the activity with which this one goes on.
      const isTicked = refusalOf(error) === 'activity_already_ticked' && last.activity !== null;
      const isLost = lostRace(error) || (error instanceof Undone && !first);
      if (first) {
        batch = without(batch, faults);
        tries = 0;
      } else if (isTicked && tries < TRIES) last = { activity: null, at: null, isRecorded: false };
      else if (!isLost) throw error;
      else if (tries === TRIES)
        throw new Refusal(
          'too_many_writers',
          'Other writers came first every time. Nothing of this batch was written.',
        );
      else storage[engine].counts.retriedWrites++;
    }
  }
}

/** A batch without lines that were refused. */
function without({ writes, ...batch }: Batch, faults: readonly LineFault[]): Batch {
  const refused = new Set(faults.map(({ line }) => line));
  return { ...batch, writes: writes.filter(({ line }) => !refused.has(line)), faults: [...batch.faults, ...faults] };
}

/**
 * A batch that was rolled back: by the lines of an entity, or of an activity, that the database refused; or, without faults, because some
 * entity was no longer in the state that the batch was decided on.
 */
export class Undone extends Error {
  readonly faults: LineFault[];
  constructor(faults: LineFault[], cause?: unknown) {
    super('the batch was rolled back', { cause });
    this.faults = faults;
  }
}

/** A batch as it is decided: what of it is written now, on which states, and what is told of that. */
type Decided = Omit<Written, 'row'> & {
  plan: BatchPlan;
  states: Facts['current'];
  definitions: Definitions;
  told: Advance;
};

/** Decides and writes a batch. `isLocking`: nobody else changes its entities from before they are read. */
async function attempt(
  storage: Storage,
  connection: OneConnection,
  writing: Writing,
  isLocking: boolean,
): Promise<Written> {
  const { batch, id, dryRun } = writing;
  const early = isLocking ? null : await unwritten(connection.during((sql) => decided(storage, sql, writing)));
  const apply = (latest: string) =>
    transactOn(connection, dryRun ? 'ROLLBACK' : 'COMMIT', async (sql) => {
      if (isLocking) {
        const writes = batch.writes.slice(0, endOfKind(batch.writes));
        await lockEntities(
          sql,
          writes.map(({ type, address: { id, named } }) => ({ id, type, key: named?.key ?? null })),
        );
      }
      const { plan, states, definitions, told, ...done } = early ?? (await decided(storage, sql, writing));
      await applyRounds(sql, plan.rounds, { states, definitions, latest, id }).catch((error: unknown) => {
        throw undoneBy(error, plan) ?? error;
      });
      return { ...done, row: dryRun ? dryRow(writing, told) : await advanceImport(sql, told) };
    });
  return storage[engine].stableInstant.stamped(apply);
}

async function decided(
  storage: Storage,
  sql: Sql,
  { batch, id, source, mode, onError, evenIfInvalid, last }: Writing,
): Promise<Decided> {
  const writes = batch.writes.slice(0, endOfKind(batch.writes));
  const { count, ...recorded } = await readFacts(sql, writes);
  const definitions = await definitionsOf(
    storage,
    writes.map(({ type }) => type),
  );
  const admit: Facts['admit'] = (change, current, who) =>
    admitted(change, current, definitions.get(change.type) ?? null, { who, isReturn: false, evenIfInvalid });
  const facts = { ...recorded, admit };
  const plan = await inSlices(planOf(writes.slice(0, count), facts, { mode, before: last }));
  const { now, rest } = split(batch, plan.taken);
  const faults = [...now.faults, ...plan.faults].sort((a, b) => a.line - b.line);
  const [first] = faults;
  if (first && onError === 'stop') throw atLine(first);
  const told: Advance = {
    source,
    id,
    status: 'running',
    lines: now.lines,
    changed: plan.changed,
    unchanged: plan.unchanged,
    skipped: faults.length,
    ticks: plan.rounds.reduce((sum, round) => sum + round.length, 0),
    named: mode === 'replace-all' ? namedBy(now.writes, faults) : [],
    ...(now.watermark === undefined ? {} : { watermark: JSON.stringify(now.watermark) }),
  };
  return { plan, states: facts.current, definitions, told, faults, last: plan.last, rest };
}

/**
 * How many of the first lines are of one kind: definitions, or entities. What a definition says holds from its instant on, and all that one
 * transaction writes has the same.
 */
function endOfKind(writes: Batch['writes']): number {
  const isDefinition = writes[0]?.type === DEFINITION_TYPE;
  const end = writes.findIndex(({ type }) => (type === DEFINITION_TYPE) !== isDefinition);
  return end === -1 ? writes.length : end;
}

/** The first lines of a batch, up to so many writes, and the rest of it: to that belongs the watermark. */
function split(batch: Batch, count: number): { now: Batch; rest: Batch | null } {
  const next = batch.writes[count];
  if (!next) return { now: batch, rest: null };
  const isNow = ({ line }: LineFault) => line < next.line;
  const faults = batch.faults.filter(isNow);
  const lines = count + faults.length;
  return {
    now: { writes: batch.writes.slice(0, count), faults, lines, watermark: undefined },
    rest: {
      writes: batch.writes.slice(count),
      faults: batch.faults.filter((fault) => !isNow(fault)),
      lines: batch.lines - lines,
      watermark: batch.watermark,
    },
  };
}

type Applying = { states: ReadonlyMap<string, Entity>; definitions: Definitions; latest: string; id: string };

/** Applies rounds one after the other, by the write function of drizzle/sql/write.sql. */
export async function applyRounds(
  sql: Sql,
  rounds: readonly Planned[][],
  { states, definitions, latest, id }: Applying,
): Promise<void> {
  const seen = new Map<string, string>();
  for (const entity of states.values()) seen.set(entity.id, entity.updatedAt);
  for (const round of rounds) {
    const texts = each(round, ({ change }) =>
      textOf(change, { seen: seen.get(change.id), rules: definitions.get(change.type), id }),
    );
    const text = `[${(await inSlices(texts)).join(',')}]`;
    const rows = await sql<{ id: string; outcome: string; updatedAt: string | null }[]>`
      SELECT w.id, w.outcome, w.updated_at AS "updatedAt"
        FROM clocktick.write_changes(${text}::text::jsonb, true, not_after => ${latest}::timestamptz) w`;
    if (rows.length < round.length || rows.some(({ outcome }) => outcome !== 'written')) throw new Undone([]);
    for (const row of rows) if (row.updatedAt !== null) seen.set(row.id, row.updatedAt);
  }
}

const textOf = (
  { activity, clear, whole: _whole, ...change }: Change,
  { seen, rules, id }: { seen: string | undefined; rules: Rules | undefined; id: string },
): string =>
  JSON.stringify({
    ...change,
    seen,
    definition: rules?.tick,
    defined_at: rules?.at,
    clear: clear.length > 0 ? clear : null,
    activity_id: activity?.id,
    activity: activity?.details ? { ...activity.details, import_id: id } : null,
  });

/** The lines whose entity, or whose activity, is larger than the database keeps; null: the error is another one. */
function undoneBy(error: unknown, { rounds }: BatchPlan): Undone | null {
  const refusal = writeFailure(error);
  if (!(refusal instanceof Refusal) || !['entity_too_large', 'activity_too_large'].includes(refusal.code)) return null;
  const row = refusedRow(error);
  const refused = rounds.flat().filter(({ change: { id, activity } }) => id === row || activity?.id === row);
  const lines = refused.flatMap(({ lines }) => lines).sort((a, b) => a - b);
  return lines.length === 0
    ? null
    : new Undone(
        lines.map((line) => ({ line, refusal })),
        error,
      );
}

/** The refusal of an import by one of its lines. */
function atLine({ line, refusal }: LineFault): Refusal {
  const { errors, members, cause } = refusal.notes;
  return new Refusal(refusal.code, `Line ${line}: ${refusal.message}`, {
    ...(errors ? { errors } : {}),
    members: { ...members, line },
    cause,
  });
}

const refusalOf = (error: unknown): string => {
  const failure = writeFailure(error);
  return failure instanceof Refusal ? failure.code : '';
};
