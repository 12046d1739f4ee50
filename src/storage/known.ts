import { type Known, knownPoint, type Point } from '../temporal/point.js';
import { arrayText } from './engine/pools.js';
import { engine, type Storage } from './storage.js';

/**
 * What had been recorded of some entities by an instant, by id; one of which nothing had is left out. None of an entity's ticks is
 * recorded before an earlier one, so that is its first ticks, and nothing changes it any more.
 *
 * Nothing is recorded before it happens, so no tick after the instant counts. The last one before it does, unless it was imported since:
 * then the ticks before are halved until one is left, so an import of any length takes a few look-ups and no index of its own.
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function readKnown(
  storage: Storage,
  ids: readonly string[],
  recordedAsOf: string,
  signal?: AbortSignal,
): Promise<Map<string, Known>> {
  const { reading, stableInstant } = storage[engine];
  await stableInstant.waitFor(recordedAsOf, signal);
  return reading(async (sql) => {
    const rows = await sql<(Known & { id: string })[]>`
      WITH RECURSIVE search (id, tick, at, unknown) AS (
        -- The last tick of each that is known (0: none), and the first that is not; all that lies between is still to be looked at.
        SELECT q.id, CASE WHEN last.is_known THEN last.tick ELSE 0 END, last.at, CASE WHEN last.is_known THEN last.tick + 1 ELSE last.tick END
          FROM unnest(${arrayText(ids)}::text::uuid[]) q (id)
         CROSS JOIN LATERAL (
           SELECT t.tick, t.at, t.recorded_at <= ${recordedAsOf}::timestamptz AS is_known FROM clocktick.tick t
            WHERE t.entity_id = q.id AND t.at <= ${recordedAsOf}::timestamptz
            ORDER BY t.at DESC LIMIT 1) last
        UNION ALL
        SELECT s.id, CASE WHEN middle.is_known THEN middle.tick ELSE s.tick END, CASE WHEN middle.is_known THEN middle.at ELSE s.at END,
               CASE WHEN middle.is_known THEN s.unknown ELSE middle.tick END
          FROM search s
         CROSS JOIN LATERAL (
           SELECT t.tick, t.at, t.recorded_at <= ${recordedAsOf}::timestamptz AS is_known FROM clocktick.tick t
            WHERE t.entity_id = s.id AND t.tick = s.tick + (s.unknown - s.tick) / 2 LIMIT 1) middle
         WHERE s.unknown > s.tick + 1
      )
      SELECT s.id, s.tick, s.at FROM search s WHERE s.unknown = s.tick + 1 AND s.tick > 0`;
    return new Map(rows.map(({ id, tick, at }) => [id, { tick, at }]));
  }, signal);
}

/**
 * Where to read an entity that is asked for as of a point (null: now), of which all may be seen (`known` null) or only what is known.
 * @throws Refusal `as_of_in_future`, `as_of_not_stable_yet`
 */
export async function pointFor<Asked extends Point | null>(
  storage: Storage,
  asked: Asked,
  known: Known | null,
  signal?: AbortSignal,
): Promise<Asked | Point> {
  if (asked && 'instant' in asked) await storage[engine].stableInstant.waitFor(asked.instant, signal);
  return known ? knownPoint(asked, known) : asked;
}
