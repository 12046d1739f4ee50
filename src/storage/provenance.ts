import type { Past } from '../temporal/entity.js';
import type { Point } from '../temporal/point.js';
import type { Sql } from './engine/pools.js';
import { entitiesNow, entitiesThen, lookups } from './entities.js';
import { type EntityLookup, type EntityRow, LARGE_BYTES, PROVENANCE_BYTES, type Provenance } from './rows.js';
import { engine, type Storage } from './storage.js';

/** An entity with who set what of it; without properties where they were more than the statement was to read. */
type ToldRow = Past<Omit<EntityRow, 'properties'> & Provenance & { properties: string | null }>;

/**
 * An entity with who set what of it, now (`point` null) or as of a point: one statement, so that both are of one moment.
 *
 * Nearly always that is little, and read among what is small. Where it turns out to be more, it is read anew among what is large: an
 * entity may have 8 MiB, and as much is told of who set it.
 * @returns undefined: no such entity
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function readProvenance(
  storage: Storage,
  question: EntityLookup,
  point: Point | null,
  signal?: AbortSignal,
): Promise<Past<EntityRow & Provenance> | undefined> {
  const { reading, readingLarge, stableInstant } = storage[engine];
  if (point && 'instant' in point) await stableInstant.waitFor(point.instant, signal);
  const read = async (sql: Sql, most: number | null) => {
    const extent = { most, provenance: most ?? PROVENANCE_BYTES };
    const relation = lookups(sql, [point ? { ...question, point } : question]);
    const [row] = await sql<
      ToldRow[]
    >`${point ? entitiesThen(sql, relation, extent) : entitiesNow(sql, relation, extent)}`;
    return row;
  };
  const small = await reading((sql) => read(sql, LARGE_BYTES), signal);
  if (!small) return undefined;
  if (small.tick === null) return small;
  if (isWhole(small) && small.provenanceTruncated === null) return small;
  const whole = await readingLarge((sql) => read(sql, null), signal);
  if (!whole || whole.tick === null) return whole;
  if (isWhole(whole)) return whole;
  throw new Error('a whole entity has no properties');
}

const isWhole = <Row extends { properties: string | null }>(row: Row): row is Row & { properties: string } =>
  row.properties !== null;
