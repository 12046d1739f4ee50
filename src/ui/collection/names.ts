type Named = { properties: Record<string, unknown>; untracked?: readonly string[] };

/** The names of all properties that some entities have, or had without that they were kept, in the order in which they are first met. */
export const namesIn = (entities: readonly Named[]): string[] => [
  ...new Set(entities.flatMap(({ properties, untracked = [] }) => [...Object.keys(properties), ...untracked])),
];

/** Of some properties the one whose values are worth counting: with few values, but more than one. */
export function mostTelling(entities: readonly Named[], names: readonly string[]): string | undefined {
  const kinds = names.map((name) => {
    const values = new Set(
      entities.map(({ properties }) => Object.hasOwn(properties, name) && JSON.stringify(properties[name])),
    );
    return { name, count: values.size > 1 ? values.size : Number.POSITIVE_INFINITY };
  });
  return kinds.reduce(
    (best, kind) => (kind.count < best.count ? kind : best),
    kinds[0] ?? { name: undefined, count: 0 },
  ).name;
}
