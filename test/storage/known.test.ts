import t from 'tap';
import { readKnown } from '../../src/storage/known.js';
import { idOfKey, newId } from '../../src/temporal/identity.js';
import { testDatabase } from '../helper/database.js';
import { importTicks } from '../helper/imported.js';
import { change } from '../helper/write.js';

t.test('what was known of entities by an instant is what looking at every tick says', async (t) => {
  const { sql, storage } = await testDatabase(t);
  const day = (n: number) => new Date(Date.UTC(2016, 0, n)).toISOString();
  const entities = Array.from({ length: 9 }, (_, n) => ({
    id: idOfKey('thing', `k${n}`),
    type: 'thing',
    key: `k${n}`,
  }));
  // Import by import, each of other entities: so each has imports of one tick and of many, by other instants than its neighbours.
  for (let n = 1; n <= 24; n++) {
    for (const [index, entity] of entities.entries()) {
      const [row] = await sql<{ tick: number }[]>`SELECT tick FROM clocktick.entity WHERE id = ${entity.id}`;
      const tick = row?.tick ?? 0;
      if (n % (index + 1) !== 0 && tick > 0) continue;
      await importTicks(sql, [{ ...entity, at: day(tick + 1), op: tick === 0 ? 'created' : 'updated', set: { n } }]);
    }
  }
  const [first] = entities;
  for (let n = 0; n < 3; n++) await change(storage, first?.id ?? '', { live: n });
  const ids = [...entities.map(({ id }) => id), newId()];
  const ticks = await sql<{ id: string; tick: number; at: string; recorded: string }[]>`
    SELECT entity_id AS id, tick, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
           to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS recorded
      FROM clocktick.tick ORDER BY entity_id, tick`;
  const instants = [
    '2001-01-01T00:00:00.000000Z',
    '2016-01-05T00:00:00.000000Z',
    ...ticks.map(({ recorded }) => recorded),
  ];
  t.ok(instants.length > 50);
  for (const instant of instants) {
    // Written alike, instants are in the order of their texts.
    const known = ticks.filter(({ recorded }) => recorded <= instant);
    const last = new Map(known.map(({ id, tick, at }) => [id, { tick, at }]));
    t.same(await readKnown(storage, ids, instant), last, instant);
  }
  t.same(await readKnown(storage, [], day(1)), new Map());
});
