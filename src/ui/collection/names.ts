/** What people call an entity, and calls as well: `type:key`, or its UUID where it has no key. */
export const entityName = ({ id, type, key }: { id: string; type: string; key?: string | undefined }): string =>
  key === undefined ? id : `${type}:${key}`;

/** The names of all properties that some entities have, in the order in which they are first met. */
export const namesIn = (entities: readonly { properties: Record<string, unknown> }[]): string[] => [
  ...new Set(entities.flatMap(({ properties }) => Object.keys(properties))),
];
