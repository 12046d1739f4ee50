import type { EntityRow } from '../storage/entities.js';
import type { ChangeRow } from '../storage/history.js';
import { objectText, scalarText } from './text.js';

/** An entity as JSON text. */
export const entityText = (row: EntityRow): string =>
  objectText([
    ['id', scalarText(row.id)],
    ['type', scalarText(row.type)],
    ['key', row.key === null ? undefined : scalarText(row.key)],
    ['tick', scalarText(row.tick)],
    ['deleted', scalarText(row.deleted)],
    ['createdAt', scalarText(row.createdAt)],
    ['updatedAt', scalarText(row.updatedAt)],
    ['properties', row.properties],
  ]);

/** What changed, by property; the side on which it is not set is left out. */
export const changesText = (changes: readonly ChangeRow[]): string =>
  objectText(
    changes.map(({ property, from, to }) => [
      property,
      objectText([
        ['from', from ?? undefined],
        ['to', to ?? undefined],
      ]),
    ]),
  );
