/** How many entities held what at an instant, as the API counts. */
export type CountsAt = {
  at: string;
  entities: number;
  values: readonly { value?: unknown; entities: number }[];
  others: number;
};

/** The numbers of one value, or of all others together (`others`), at each instant; `id` tells it from the other layers. */
export type Layer = { id: string; value: unknown; others: boolean; entities: number[] };

/**
 * The layers of a drawing: the values that most entities held over all instants, largest first, and all others together, where there are any.
 * Where a value is not among the most frequent of an instant, the API has counted it among the others.
 */
export function layersOf(counts: readonly CountsAt[], most: number): Layer[] {
  const sums = new Map<string, { value: unknown; sum: number; entities: number[] }>();
  for (const [n, { values }] of counts.entries())
    for (const { value, entities } of values) {
      const text = JSON.stringify(value ?? null);
      const known = sums.get(text) ?? { value, sum: 0, entities: counts.map(() => 0) };
      sums.set(text, known);
      known.sum += entities;
      known.entities[n] = entities;
    }
  const layers = [...sums]
    .sort(([, a], [, b]) => b.sum - a.sum)
    .slice(0, most)
    .map(([id, { value, entities }]): Layer => ({ id, value, others: false, entities }));
  const others = counts.map(({ entities }, n) =>
    layers.reduce((rest, layer) => rest - (layer.entities[n] ?? 0), entities),
  );
  if (others.some((entities) => entities > 0))
    layers.push({ id: 'others', value: undefined, others: true, entities: others });
  return layers;
}

/** A layer with the sums below it and with it, at each instant. */
export type Stacked = { layer: Layer; lower: number[]; upper: number[] };

/** Layers one upon the other, the first lowest. */
export function stacked(layers: readonly Layer[]): Stacked[] {
  let below = layers[0]?.entities.map(() => 0) ?? [];
  return layers.map((layer) => {
    const lower = below;
    const upper = lower.map((sum, n) => sum + (layer.entities[n] ?? 0));
    below = upper;
    return { layer, lower, upper };
  });
}

/** The outline of an area as the data of an SVG path: along its upper edge, and back along its lower one. */
export function areaPath({ lower, upper }: Stacked, x: (n: number) => number, y: (entities: number) => number): string {
  const points = [
    ...upper.map((entities, n) => `${rounded(x(n))} ${rounded(y(entities))}`),
    ...lower.map((entities, n) => `${rounded(x(n))} ${rounded(y(entities))}`).reverse(),
  ];
  return `M${points.join('L')}Z`;
}

const rounded = (coordinate: number): number => Math.round(coordinate * 100) / 100;

/** Where an area is thickest, in the middle of the longest stretch of it: there its name is written. */
export function thickest({ layer: { entities } }: Stacked): number {
  const most = Math.max(...entities);
  let best = { from: 0, length: 0 };
  for (let from = 0; from < entities.length; from++) {
    let to = from;
    while (to < entities.length && entities[to] === most) to++;
    if (to - from > best.length) best = { from, length: to - from };
    from = Math.max(from, to);
  }
  return best.from + Math.floor((best.length - 1) / 2);
}

/** Round numbers from 0 up to a largest one, for an axis: at most some. */
export function roundNumbers(largest: number, most: number): number[] {
  if (largest <= 0) return [0];
  const rough = largest / most;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, ten * ([1, 2, 5, 10].find((n) => n * ten >= rough) ?? 10));
  return Array.from({ length: Math.floor(largest / step) + 1 }, (_, n) => n * step);
}
