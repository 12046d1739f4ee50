import { checkerOf } from '../definitions/checker.js';
import { definitionOf } from '../definitions/definition.js';
import type { Change, Entity } from '../temporal/entity.js';
import { type Json, type JsonObject, jsonEqual } from '../temporal/json.js';
import { replaced } from '../temporal/patch.js';
import { Refusal } from '../temporal/refusal.js';
import { type Applied, applyAlone, written } from './changes.js';
import { type Doing, decideOn, type Outcome } from './deciding.js';
import { lostRace } from './engine/failures.js';
import type { Sql } from './engine/pools.js';
import { catchUp, type Impact, impactOf, impactSince } from './impact.js';
import { engine, type Storage } from './storage.js';

/** How often a change of a definition is tried that somebody else comes before. */
const TRIES = 3;

/**
 * Writes a definition. Unless the caller wants it whatever it makes invalid, all entities of the type are checked first, while others write
 * on; those that were written meanwhile once more, when nobody can write any of the type until the definition is kept.
 * @throws Refusal `entities_not_valid`
 */
export async function define(storage: Storage, write: Doing): Promise<Outcome> {
  const { knownTypes, entityNow, transaction, stableInstant } = storage[engine];
  for (let tries = 0; tries < TRIES; tries++) {
    const row = await entityNow({ id: write.id, fields: null }, write.signal);
    const { before, allowed } = await decideOn(storage, write, row);
    if (!allowed) {
      if (!row) throw new Error('what does not exist cannot stay unchanged');
      return { row, change: null, before };
    }
    const { change } = allowed;
    const type = change.key ?? '';
    const schema = write.evenIfInvalid && !write.dryRun ? null : newSchema(change, before);
    const checker = schema === null ? null : checkerOf(schema);
    const impact = checker && (await impactOf(storage, type, checker, write.signal));
    if (checker && impact) await catchUp(storage, type, checker, impact, write.signal);
    const refuseInvalid = () => {
      if (impact && impact.invalid > 0 && !write.evenIfInvalid) throw entitiesNotValid(type, impact);
    };
    refuseInvalid();
    /** What was written since can only make a difference where there was nothing wrong. */
    const checkAgain = async (sql: Sql) => {
      if (checker && impact?.invalid === 0) await impactSince(sql, type, checker, impact);
      refuseInvalid();
    };
    const attempt = (latest: string) =>
      transaction(
        write.dryRun ? 'ROLLBACK' : 'COMMIT',
        async (sql) => {
          await sql`SELECT clocktick.lock_definition(${type})`;
          await checkAgain(sql);
          return applyAlone(sql, written(change, row, null), latest);
        },
        write.signal,
      );
    const applied = await settled(stableInstant.stamped(attempt));
    knownTypes.delete(type);
    if (applied?.end === 'written') return { row: applied.row, change, before, ...(impact ? { impact } : {}) };
    storage[engine].counts.retriedWrites++;
  }
  throw new Refusal('too_many_writers', 'Others changed this definition first every time. Nothing was written.');
}

/** The schema of a definition after a change; null: it is as it was, or there is none any more. */
function newSchema(change: Change, before: Entity | undefined): boolean | JsonObject | null {
  if (change.op === 'deleted') return null;
  const was: Json | undefined = before?.properties.schema;
  // It was compiled when it was let be recorded.
  const { schema } = definitionOf(replaced(before?.properties ?? {}, change), () => {});
  return was !== undefined && jsonEqual(was, schema) ? null : schema;
}

const entitiesNotValid = (type: string, { checked, invalid, examples }: Impact): Refusal =>
  new Refusal(
    'entities_not_valid',
    `The definition refuses ${invalid} of the ${checked} entities of type ${type}, as they are now. With evenIfInvalid=true it is kept all the same.`,
    {
      members: {
        checked,
        invalid,
        examples: examples.map((one) => ({ ...one, errors: one.errors.map((e) => ({ ...e })) })),
      },
    },
  );

/** What became of a change; undefined: somebody else came first. */
async function settled(applying: Promise<Applied>): Promise<Applied | undefined> {
  try {
    return await applying;
  } catch (error) {
    if (lostRace(error)) return undefined;
    throw error;
  }
}
