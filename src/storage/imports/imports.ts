import { newId } from '../../temporal/identity.js';
import {
  type ImportMode,
  type ImportWrite,
  type Last,
  type LineFault,
  type Skew,
  shifted,
} from '../../temporal/import.js';
import { Refusal } from '../../temporal/refusal.js';
import { codeOf, writeFailure } from '../engine/failures.js';
import type { OneConnection } from '../engine/transactions.js';
import { engine, type Storage } from '../storage.js';
import { type Batch, batchesOf, learn, newPace, type Pace, type ReadLine, type SentLine } from './batches.js';
import { beginDeleting, deleteSome, mayDelete, type Named, nameAll, type Resting } from './rest.js';
import { beginImport, endImport, forgetSeen, type ImportRow, namedBy, sumOfRows, unwritten } from './rows.js';
import { stopped, takeTurn } from './turns.js';
import { type Written, writeBatch } from './writes.js';

/** What to import: under which name of its own, how, and whether lines that are refused are left out. */
export type Import = {
  source: string;
  mode: ImportMode;
  skew: Skew;
  onError: 'stop' | 'skip';
  /** Takes states that the definitions of their types refuse, too. */
  evenIfInvalid: boolean;
  /** Writes nothing, and tells what would have been written; each batch as if the ones before it had not been. */
  dryRun: boolean;
  /** For how many seconds it waits for its turn. */
  wait: number;
  /** Aborted when the service stops: the batch under way is the last one. */
  signal?: AbortSignal | undefined;
  /** Aborted when the caller has gone: nobody waits any more. */
  caller?: AbortSignal | undefined;
};

/** A step of an import: how far it is, and the lines that were refused since the last step, with the reasons. */
export type ImportStep = { row: ImportRow; faults: LineFault[] };

/** The code of advance_import: another import of this source has begun. */
const TAKEN_OVER = 'CT004';

/**
 * Imports lines, a batch a transaction. Gives how far it is at the beginning, after each batch, and at the end.
 * @throws Refusal `import_running`, `overloaded`, before the first step; then what refused the import: where a line did, its number is
 * the member `line`. What the steps before told is kept.
 */
export async function* importLines(
  storage: Storage,
  wanted: Import,
  lines: AsyncIterable<readonly SentLine[]>,
): AsyncGenerator<ImportStep> {
  const connection = await translated(takeTurn(storage, wanted));
  try {
    yield* run(storage, connection, wanted, lines);
  } finally {
    // The server would notice only a moment later that the session is over, and refuse the next import until then.
    await connection.during((sql) => sql`SELECT pg_advisory_unlock_all()`).catch(() => {});
    await connection.end();
  }
}

async function* run(
  storage: Storage,
  connection: OneConnection,
  wanted: Import,
  lines: AsyncIterable<readonly SentLine[]>,
): AsyncGenerator<ImportStep> {
  const { source, mode, skew, dryRun, signal } = wanted;
  const id = newId();
  const { stableInstant } = storage[engine];
  const begin = stableInstant.stamped((latest) => beginImport(connection, { ...wanted, id }, latest));
  let row = await translated(unwritten(begin));
  const named: Named = { types: new Set(), ids: new Set() };
  let last: Last = { activity: null, at: null, isRecorded: false };
  let isDone = false;
  try {
    yield { row, faults: [] };
    const pace = newPace(() => questionsTo(storage));
    for await (const batch of batchesOf(skew === 'shift' ? inOrder(lines) : lines, pace)) {
      for (let rest: Batch | null = batch; rest !== null; ) {
        if (signal?.aborted) throw stopped();
        const began = performance.now();
        const done: Written = await translated(writeBatch(storage, connection, { ...wanted, batch: rest, id, last }));
        learn(pace, rest.lines - (done.rest?.lines ?? 0), performance.now() - began);
        if (dryRun && mode === 'replace-all') nameAll(named, takenOf(rest, done));
        ({ last, rest } = done);
        row = dryRun ? sumOfRows(row, done.row) : done.row;
        yield { row, faults: done.faults };
      }
    }
    // The lines have ended because nobody reads on.
    if (signal?.aborted) throw stopped();
    const isWhole = mayDelete(row);
    if (isWhole) {
      const rest = deleteRest(storage, connection, { ...wanted, id, row, named }, pace);
      for await (row of rest) yield { row, faults: [] };
    }
    const before = row;
    row = dryRun
      ? { ...row, status: 'done', unfinishedSince: isWhole ? null : row.unfinishedSince }
      : await translated(endImport(connection, { source, id, status: 'done', isWhole }));
    isDone = true;
    if (!dryRun) yield* forget(connection, before);
  } finally {
    // Also when the caller has gone: nobody is there to be told, and readers of its source are.
    if (!isDone && !dryRun) await endImport(connection, { source, id, status: 'failed' }).catch(() => {});
  }
  yield { row, faults: [] };
}

/** How much the service has been asked of entities so far, by all but imports, which have statements of their own. */
const questionsTo = (storage: Storage): number =>
  Object.values(storage[engine].tallies).reduce((sum, tally) => sum + tally().questions, 0);

/** The lines, with instants that go on from one to the next. */
async function* inOrder(lines: AsyncIterable<readonly SentLine[]>): AsyncGenerator<SentLine[]> {
  const shift = shifted();
  const read = (line: SentLine): ReadLine => {
    const said = line.read();
    return said.op === 'fault' || said.op === 'watermark' ? said : shift(said);
  };
  for await (const some of lines) yield some.map((line) => ({ ...line, read: () => read(line) }));
}

/** The lines of a batch that name an entity and were taken. */
const takenOf = ({ writes }: Batch, { rest, faults }: Written): readonly ImportWrite[] =>
  namedBy(writes.slice(0, writes.length - (rest?.writes.length ?? 0)), faults);

/** Deletes the rest, a batch a transaction. Gives how far the import is after each, and after each look that found nothing. */
async function* deleteRest(
  storage: Storage,
  connection: OneConnection,
  resting: Resting & Pick<Import, 'signal'>,
  pace: Pace,
): AsyncGenerator<ImportRow> {
  let { row } = resting;
  for (let deleting = beginDeleting(resting, pace); deleting.place !== null; ) {
    if (resting.signal?.aborted) throw stopped();
    ({ row, deleting } = await translated(deleteSome(storage, connection, { ...resting, row }, deleting)));
    yield row;
  }
}

/** Forgets what was seen, which may take as long as a million rows do. All else is kept by then: the next import forgets what this leaves. */
async function* forget(connection: OneConnection, row: ImportRow): AsyncGenerator<ImportStep> {
  while (await forgetSeen(connection, row.source).catch(() => false)) yield { row, faults: [] };
}

/** What the work gives, or what its error means to a caller. */
const translated = <T>(work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => {
    if (codeOf(error) === TAKEN_OVER)
      throw new Refusal('import_running', 'Another import of this source has begun: this one can keep nothing more.', {
        cause: error,
      });
    throw writeFailure(error);
  });
