import fc from 'fast-check';
import t from 'tap';
import { historyCursor, historyPosition, readCursor, writeCursor } from '../../../src/http/protocol/pages.js';
import type { Order } from '../../../src/storage/ranges.js';
import { invalidCursor, Refusal } from '../../../src/temporal/refusal.js';
import { type Refused, refused } from '../../helper/refused.js';

const because = (message: string): Refused => ({
  code: 'invalid_cursor',
  message: `cursor ${message}.`,
  notes: { errors: [{ path: 'cursor', message }] },
});
const OTHER_WALK = because('is not one of this walk: send it with the parameters it came with');
const NOT_OURS = because('is not one that this service gave');

const ORDERS: Order[] = ['asc', 'desc'];

const WALK = 'history 017f22e2-79b0-7cc3-98c4-dc0c0c07398f';
const ENTITY = '919108f7-52d1-4320-9bac-f847db4148a8';

t.test('what is wrong with a cursor is told of the parameter', async (t) => {
  t.strictSame(
    refused(() => {
      throw invalidCursor('is too old');
    }),
    because('is too old'),
  );
});

t.test('a cursor brings its position back, on its own walk only', async (t) => {
  const walks = [WALK, 'activity x', '', '😀', JSON.stringify(['ranges', ENTITY, 'a.b', { from: null, to: null }])];
  const positions: (string | number)[][] = [[], [1], [7, 3], [ENTITY], [2 ** 31 - 1, 1], ['a', '', 'b']];
  for (const walk of walks) {
    for (const position of positions) {
      const cursor = writeCursor(walk, position);
      t.match(cursor, /^[A-Za-z0-9_-]+$/, 'fit for a URL as it is');
      t.strictSame(readCursor(cursor, walk), position.map(String));
      for (const other of [...walks.filter((other) => other !== walk), `${walk} `, walk.toUpperCase() || 'x']) {
        if (other === walk) continue;
        t.strictSame(
          refused(() => readCursor(cursor, other)),
          OTHER_WALK,
          `${JSON.stringify(walk)} as ${JSON.stringify(other)}`,
        );
      }
    }
  }
  // While one release replaces another, both serve the same walks: a cursor changes on purpose or not at all.
  t.equal(writeCursor('history 017f22e2-79b0-7cc3-98c4-dc0c0c073914 asc', [7, 3]), 'LTFyaGpQNnguNy4z');
});

t.test('the first page begins without a position, a later one where its cursor says', async (t) => {
  for (const order of ORDERS) {
    for (const limit of [1, 100, 1000]) {
      const first = { order, limit, until: null, after: null };
      t.strictSame(historyPosition({ order, limit }, WALK), first);
      t.strictSame(historyPosition({ order, limit, cursor: undefined }, WALK), first);
      const ends: [until: number, after: number][] = [
        [1, 1],
        [20, 10],
        [2 ** 31 - 1, 2 ** 31 - 2],
      ];
      for (const [until, after] of ends) {
        const cursor = historyCursor(WALK, order, until, after);
        t.strictSame(historyPosition({ order, limit, cursor }, WALK), { order, limit, until, after });
      }
    }
  }
});

t.test('a cursor of another history, order or kind is refused', async (t) => {
  const read = (cursor: string) => () => historyPosition({ order: 'asc', limit: 10, cursor }, WALK);
  const rows: [why: string, cursor: string][] = [
    ['of another entity', historyCursor(`history ${ENTITY}`, 'asc', 20, 10)],
    ['in the other order', historyCursor(WALK, 'desc', 20, 10)],
    ['of a walk without order', writeCursor(WALK, [20, 10])],
    ['of an activity', writeCursor(`activity ${ENTITY}`, [ENTITY])],
    ['of the ranges of a property', historyCursor(JSON.stringify(['ranges', ENTITY, 'a', {}]), 'asc', 20, 10)],
  ];
  for (const [why, cursor] of rows) t.strictSame(refused(read(cursor)), OTHER_WALK, why);
});

t.test('a position that no page ends at is refused', async (t) => {
  const rows: (string | number)[][] = [
    [],
    [20],
    [20, 10, 5],
    [20, 10, ''],
    ['', ''],
    [20, ''],
    ['', 10],
    [0, 10],
    [20, 0],
    [-20, 10],
    [20, -1],
    [20, '1.5'],
    [2 ** 31, 10],
    [20, 2 ** 31],
    ['Infinity', 10],
    [20, 'NaN'],
    [20, 'ten'],
    [20, '10; DROP TABLE clocktick.tick'],
    [ENTITY],
    [ENTITY, 10],
    [20, '1\0'],
  ];
  for (const position of rows) {
    const cursor = writeCursor(`${WALK} asc`, position);
    t.strictSame(
      refused(() => historyPosition({ order: 'asc', limit: 10, cursor }, WALK)),
      NOT_OURS,
      JSON.stringify(position),
    );
  }
});

t.test('garbage is no cursor', async (t) => {
  const garbage = ['', ' ', '.', '..', '0', 'null', '%00', '\0', '😀', '\ud83d', '====', '-_-_', 'x'.repeat(100_000)];
  // As a caller without base64url would write it.
  for (const cursor of [...garbage, '20.10', Buffer.from('20.10').toString('base64url')]) {
    for (const read of [
      () => readCursor(cursor, WALK),
      () => historyPosition({ order: 'asc', limit: 10, cursor }, WALK),
      () => historyPosition({ order: 'desc', limit: 10, cursor }, ''),
    ]) {
      t.strictSame(refused(read), OTHER_WALK, JSON.stringify(cursor.slice(0, 20)));
    }
  }
});

const order = fc.constantFrom(...ORDERS);
const tick = fc.oneof(fc.integer({ min: 1, max: 2 ** 31 - 1 }), fc.integer({ min: 1, max: 20 }));

t.test('property: the page a cursor was made for is the page that is read, whatever the walk is called', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), order, tick, tick, (walk, order, until, after) => {
      const cursor = historyCursor(walk, order, until, after);
      t.strictSame(historyPosition({ order, limit: 5, cursor }, walk), { order, limit: 5, until, after });
      t.equal(encodeURIComponent(cursor), cursor);
    }),
  );
});

t.test('property: no text does anything but give a sound page or be refused', async (t) => {
  const seen = { read: 0, refused: 0 };
  // Nearly cursors: cut, changed in one place, made longer, or with another position.
  const nearly = fc
    .tuple(tick, tick, fc.nat(60), fc.constantFrom('', 'A', '_', '=', '%', '.', ' ', '\0', '😀'), fc.nat(3))
    .map(([until, after, at, piece, cut]) => {
      const cursor = historyCursor(WALK, 'asc', until, after);
      return cursor.slice(0, at) + piece + cursor.slice(at + cut);
    });
  const position = fc.oneof(fc.string(), fc.double().map(String), fc.integer().map(String));
  const crafted = fc.array(position, { maxLength: 3 }).map((position) => writeCursor(`${WALK} asc`, position));
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.base64String(), nearly, crafted), (cursor) => {
      try {
        const page = historyPosition({ order: 'asc', limit: 5, cursor }, WALK);
        seen.read += 1;
        return [page.until, page.after].every(
          (tick) => tick !== null && Number.isInteger(tick) && tick > 0 && tick < 2 ** 31,
        );
      } catch (error) {
        seen.refused += 1;
        return error instanceof Refusal && error.code === 'invalid_cursor';
      }
    }),
    { numRuns: 5000 },
  );
  t.ok(Math.min(seen.read, seen.refused) > 200, JSON.stringify(seen));
});
