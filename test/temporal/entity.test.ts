import t from 'tap';
import { begun, existing, living } from '../../src/temporal/entity.js';
import type { Point } from '../../src/temporal/point.js';
import type { RefusalCode } from '../../src/temporal/refusal.js';
import { buried, RACHEL, rachel } from '../helper/rachel.js';
import { refused } from '../helper/refused.js';

const NEVER = { code: 'entity_not_found', message: 'There is no entity friend:😀.', notes: {} };

t.test('existing: the entity itself, dead or alive', async (t) => {
  for (const entity of [rachel(), buried(), { more: 'of a row' }]) t.equal(existing(entity, 'x'), entity);
  t.strictSame(
    refused(() => existing(undefined, 'friend:😀')),
    NEVER,
  );
});

t.test('living: the entity itself, if it is there now', async (t) => {
  const here = rachel();
  t.equal(living(here, 'x'), here);
  const row = { deleted: false, tick: 1, more: 'of a row' };
  t.equal(living(row, 'x'), row);
  t.strictSame(
    refused(() => living(undefined, 'friend:😀')),
    NEVER,
  );
  for (const gone of [{ deleted: true, tick: 5 }, buried({ tick: 5 })]) {
    t.strictSame(
      refused(() => living(gone, RACHEL)),
      { code: 'entity_deleted', message: `Entity ${RACHEL} was deleted at tick 5.`, notes: { members: { tick: 5 } } },
    );
  }
});

t.test('begun: the entity as of a point, dead or alive, even where the point says otherwise', async (t) => {
  for (const past of [rachel(), rachel({ tick: 1 }), buried(), { id: RACHEL, tick: 7, more: 'of a row' }]) {
    for (const point of [{ tick: 3 }, { instant: '2016-08-19T00:00:00Z' }]) t.equal(begun(past, 'x', point), past);
  }
});

t.test('begun: what is said of an absence is what was so then, whatever came later', async (t) => {
  const instant = '2016-08-19T02:00:00.5+02:00';
  const notYet = { id: RACHEL, tick: null };
  const rows: [past: typeof notYet | undefined, point: Point, code: RefusalCode, message: string][] = [
    [undefined, { tick: 1 }, 'entity_not_found', 'There was no entity friend:rachel as of 1.'],
    [undefined, { instant }, 'entity_not_found', `There was no entity friend:rachel as of ${instant}.`],
    // An instant before creation: that the entity came later must not be told.
    [notYet, { instant }, 'entity_not_found', `There was no entity friend:rachel as of ${instant}.`],
    [notYet, { tick: 4 }, 'tick_not_found', 'Entity friend:rachel has no tick 4 yet.'],
    [notYet, { tick: 2 ** 31 - 1 }, 'tick_not_found', 'Entity friend:rachel has no tick 2147483647 yet.'],
  ];
  for (const [past, point, code, message] of rows) {
    t.strictSame(
      refused(() => begun(past, 'friend:rachel', point)),
      { code, message, notes: {} },
      message,
    );
  }
});
