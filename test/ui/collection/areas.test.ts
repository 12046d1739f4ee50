import t from 'tap';
import { areaPath, layersOf, roundNumbers, stacked, thickest } from '../../../src/ui/collection/areas.js';

const COUNTS = [
  {
    at: '2012-06-06T00:00:00Z',
    entities: 10,
    values: [
      { value: 'a', entities: 5 },
      { value: { b: 1 }, entities: 3 },
    ],
    others: 2,
  },
  {
    at: '2013-06-06T00:00:00Z',
    entities: 9,
    values: [
      { value: { b: 1 }, entities: 6 },
      { value: null, entities: 2 },
      { value: 'a', entities: 1 },
    ],
    others: 0,
  },
];

t.test(
  'Each value has its numbers at each instant, the most frequent first, and all others together the rest',
  async (t) => {
    const layers = layersOf(COUNTS, 2);
    t.same(
      layers.map(({ value, others, entities }) => ({ value, others, entities })),
      [
        { value: { b: 1 }, others: false, entities: [3, 6] },
        { value: 'a', others: false, entities: [5, 1] },
        { value: undefined, others: true, entities: [2, 2] },
      ],
    );
    for (const [n, { entities }] of COUNTS.entries())
      t.equal(
        layers.reduce((sum, layer) => sum + (layer.entities[n] ?? 0), 0),
        entities,
        'none is lost',
      );
  },
);

t.test('Where no value is left over, there are no others; values of other types are other values', async (t) => {
  const [first] = layersOf(
    [
      {
        at: '',
        entities: 3,
        values: [
          { value: '4', entities: 2 },
          { value: 4, entities: 1 },
        ],
        others: 0,
      },
    ],
    6,
  );
  t.same(first, { id: '"4"', value: '4', others: false, entities: [2] });
});

t.test('Of nothing there is nothing to draw', async (t) => {
  t.same(layersOf([], 6), []);
  t.same(layersOf([{ at: '', entities: 0, values: [], others: 0 }], 6), []);
  t.same(stacked([]), []);
});

t.test('Areas stand one upon the other, each as thick as its numbers', async (t) => {
  const areas = stacked(layersOf(COUNTS, 2));
  t.same(
    areas.map(({ lower, upper }) => [lower, upper]),
    [
      [
        [0, 0],
        [3, 6],
      ],
      [
        [3, 6],
        [8, 7],
      ],
      [
        [8, 7],
        [10, 9],
      ],
    ],
  );
  t.same(areas.map(thickest), [1, 0, 0]);
  const [, middle] = areas;
  if (!middle) throw new Error('no area');
  t.equal(
    areaPath(
      middle,
      (n) => n * 100,
      (entities) => 100 - entities,
    ),
    'M0 92L100 93L100 94L0 97Z',
  );
});

t.test('A name stands in the middle of the longest stretch in which its area is thickest', async (t) => {
  const middleOf = (entities: number[]) =>
    thickest({ layer: { id: '', value: '', others: false, entities }, lower: [], upper: [] });
  for (const [entities, middle] of [
    [[5], 0],
    [[0, 5, 5, 5, 0], 2],
    [[5, 5, 1, 5, 5, 5, 5], 4],
    [[5, 5, 5, 1, 5], 1],
    [[1, 2, 3], 2],
    [[0, 0], 0],
  ] as const)
    t.equal(middleOf([...entities]), middle, entities.join(' '));
});

t.test('An axis has round numbers, whole ones, up to the largest', async (t) => {
  for (const [largest, expected] of [
    [250, [0, 50, 100, 150, 200, 250]],
    [7, [0, 2, 4, 6]],
    [1, [0, 1]],
    [3, [0, 1, 2, 3]],
    [0, [0]],
    [12_345, [0, 5_000, 10_000]],
  ] as const)
    t.same(roundNumbers(largest, 5), expected, `up to ${largest}`);
});
