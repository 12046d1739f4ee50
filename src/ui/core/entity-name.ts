/** What people call an entity, and calls as well: `type:key`, or its UUID where it has no key. */
export const entityName = ({ id, type, key }: { id: string; type: string; key?: string | undefined }): string =>
  key === undefined ? id : `${type}:${key}`;
