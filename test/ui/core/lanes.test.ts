import fc from 'fast-check';
import t from 'tap';
import type { Entity, Json, Tick } from '../../../src/client/types.js';
import { instantToMicros, microsToInstant } from '../../../src/ui/core/instants.js';
import { type Lane, type LaneRange, lanesOf, mergeForPixels } from '../../../src/ui/core/lanes.js';
import { axisOf, scaleOf } from '../../../src/ui/core/scale.js';

const NAMES = ['plan', 'city', '__proto__', 'constructor', '😀'];

/** The properties of an entity at a tick, each with the tick since when it has its value. */
type State = ReadonlyMap<string, { value: Json; since: number }>;
const NOTHING: State = new Map();

const atOf = (tick: number): string => microsToInstant(BigInt(tick) * 1_000_000n);
const activityOf = (tick: number) =>
  tick % 3 === 0 ? null : { id: `0199d3c0-7c3e-7a51-9d4e-${String(tick).padStart(12, '0')}` };

/** What a random step does: deletes (or restores), or sets and removes some properties. */
type Move = { deletes: boolean; set: Record<string, number>; removed: string[] };

/** The state after each tick of a history; [0] is that before the first. Steps that change nothing make no tick. */
function statesOf(moves: readonly Move[]): State[] {
  const states: State[] = [NOTHING];
  for (const { deletes, set, removed } of moves) {
    const tick = states.length;
    const before = states[tick - 1] ?? NOTHING;
    if (deletes) {
      if (before.size > 0) states.push(NOTHING);
      continue;
    }
    const after = new Map(before);
    for (const [name, value] of Object.entries(set))
      if (before.get(name)?.value !== value) after.set(name, { value, since: tick });
    for (const name of removed) if (!Object.hasOwn(set, name)) after.delete(name);
    const isSame = after.size === before.size && [...after].every(([name, held]) => before.get(name) === held);
    if (!isSame) states.push(after);
  }
  return states;
}

/** The ticks between states, as the API answers them. */
const ticksOf = (states: readonly State[]): Tick[] =>
  states.slice(1).map((after, n) => {
    const before = states[n] ?? NOTHING;
    const names = new Set([...before.keys(), ...after.keys()]);
    const changes = [...names].flatMap((name): [string, { from?: Json; to?: Json }][] => {
      const [was, is] = [before.get(name), after.get(name)];
      if (was === is) return [];
      return [[name, { ...(was && { from: was.value }), ...(is && { to: is.value }) }]];
    });
    const op = n === 0 ? 'created' : after.size === 0 ? 'deleted' : before.size === 0 ? 'restored' : 'updated';
    return { tick: n + 1, at: atOf(n + 1), op, activity: activityOf(n + 1), changes: Object.fromEntries(changes) };
  });

/** The state as the API answers it, with who set what. */
const startOf = (states: readonly State[], tick: number): Pick<Entity, 'properties' | 'provenance'> | null => {
  const state = states[tick];
  if (!state || state.size === 0) return null;
  return {
    properties: Object.fromEntries([...state].map(([name, { value }]) => [name, value])),
    provenance: Object.fromEntries(
      [...state].map(([name, { since }]) => [
        name,
        {
          vclock: { from: since, to: null },
          effective: { from: atOf(since), to: null },
          activity: activityOf(since),
        },
      ]),
    ),
  };
};

const move: fc.Arbitrary<Move> = fc.record({
  deletes: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  set: fc
    .array(fc.tuple(fc.constantFrom(...NAMES), fc.integer({ min: 0, max: 2 })), { maxLength: 3 })
    .map((members) => Object.fromEntries(members)),
  removed: fc.array(fc.constantFrom(...NAMES), { maxLength: 2 }),
});
const history = fc.array(move, { maxLength: 60 }).map(statesOf);

t.test('lanes say of every tick in the window what each property was, and who had set it', async () => {
  fc.assert(
    fc.property(history, fc.nat(), fc.nat(), (states, one, other) => {
      const last = states.length - 1;
      const [before, until] = [one % states.length, other % states.length].sort((a, b) => a - b);
      if (before === undefined || until === undefined) return false;
      const ticks = ticksOf(states).slice(before, until);
      const lanes = lanesOf(startOf(states, before), ticks);
      const names = lanes.map(({ property }) => property);
      if (JSON.stringify(names) !== JSON.stringify([...new Set(names)].sort())) return false;

      for (const { property, ranges } of lanes) {
        if (ranges.length === 0) return false;
        for (const range of ranges) if (!isAsRecorded(range)) return false;
        for (const [n, range] of ranges.entries()) {
          const next = ranges[n + 1];
          if (next && (range.to === null || (next.from ?? 0) < range.to)) return false;
          // No range ends where the same value goes on: each begins with a change.
          const held = states[range.from ?? 0]?.get(property);
          if (held?.since !== range.from || held.value !== range.value) return false;
        }
      }
      for (let tick = before; tick <= until && tick <= last; tick++)
        for (const name of NAMES) {
          const held = states[tick]?.get(name);
          const lane = lanes.find(({ property }) => property === name);
          const ranges = lane?.ranges.filter(({ from, to }) => (from ?? 0) <= tick && (to === null || to > tick)) ?? [];
          if (ranges.length !== (held ? 1 : 0)) return false;
          if (held && (ranges[0]?.value !== held.value || ranges[0].from !== held.since)) return false;
        }
      return true;
    }),
    { numRuns: 300 },
  );

  function isAsRecorded({ from, to, fromAt, toAt, fromMicros, toMicros, activity }: LaneRange): boolean {
    if (from === null || fromAt !== atOf(from) || fromMicros !== instantToMicros(fromAt)) return false;
    if (JSON.stringify(activity) !== JSON.stringify(activityOf(from))) return false;
    return to === null
      ? toAt === null && toMicros === null
      : toAt === atOf(to) && toMicros === instantToMicros(atOf(to));
  }
});

t.test('a value of which nobody knows since when it holds begins before the window', async (t) => {
  const start = { properties: { plan: null, notes: 'long' }, provenance: {}, provenanceTruncated: ['notes'] };
  const ticks: Tick[] = [
    { tick: 8, at: atOf(8), op: 'updated', activity: null, changes: { plan: { from: null } } },
    // Changes of the others were not asked for.
    { tick: 9, at: atOf(9), op: 'deleted', activity: null, changes: {} },
  ];
  t.match(lanesOf(start, ticks), [
    {
      property: 'notes',
      ranges: [{ value: 'long', from: null, fromAt: null, fromMicros: null, to: 9, toAt: atOf(9) }],
    },
    { property: 'plan', ranges: [{ value: null, from: null, to: 8 }] },
  ]);
  t.strictSame(lanesOf(null, []), []);
});

t.test('a lane has at most two bars for every three pixels, and all its ranges are in one', async () => {
  const gaps = fc.array(fc.oneof(fc.bigInt(1n, 1_000n), fc.bigInt(1n, 10_000_000n)), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(gaps, fc.integer({ min: 10, max: 300 }), fc.array(fc.boolean()), fc.nat(), (gaps, width, unset, n) => {
      const instants = [0n];
      for (const gap of gaps) instants.push((instants.at(-1) ?? 0n) + gap);
      const ticks = instants.map((micros, n): Tick => {
        const change = unset[n] && n > 0 ? { from: n } : { to: n };
        return { tick: n + 1, at: microsToInstant(micros), op: 'updated', activity: null, changes: { a: change } };
      });
      const [lane]: Lane[] = lanesOf(null, ticks);
      if (!lane) return false;
      const axis = axisOf(instants);
      const scale = scaleOf(axis, { from: instants[n % instants.length], to: axis.to, width });
      const bars = mergeForPixels(lane.ranges, scale);
      const shown = lane.ranges.filter(({ toMicros }) => toMicros === null || toMicros > scale.from);
      return (
        bars.length <= (2 * width) / 3 + 2 &&
        bars.reduce((sum, { count }) => sum + count, 0) === shown.length &&
        bars.every(({ x, width: wide, count, first, last }, n) => {
          const next = bars[n + 1];
          const end = last.toMicros === null ? width : scale.xOf(last.toMicros);
          return (
            Math.abs(x - scale.xOf(first.fromMicros ?? 0n)) < 1e-9 &&
            Math.abs(x + wide - end) < 1e-9 &&
            (next === undefined || next.x > x + wide - 1e-9) &&
            (count === 1 ? first === last : wide < 6)
          );
        })
      );
    }),
    { numRuns: 200 },
  );
});
