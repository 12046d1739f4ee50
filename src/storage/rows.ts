import type { Entity, Past } from '../temporal/entity.js';
import { objectIn } from '../temporal/json.js';
import { MAX_ENTITY_BYTES } from '../temporal/limits.js';
import type { Point } from '../temporal/point.js';

/* What statements are asked and what they answer, where more than one file speaks of it. */

/**
 * How much JSON one answer may hold, in bytes: a list ends before the item that would pass this. So no answer comes near what
 * one string of V8 holds (512 MB), however short the URL that asks for it. Its first item comes whatever its size, which an
 * entity's own bound limits.
 */
export const ANSWER_BYTES = 16 * 2 ** 20;

/** How much of that may tell who set what of one entity: beside it, its properties surely fit. */
export const PROVENANCE_BYTES = ANSWER_BYTES - MAX_ENTITY_BYTES;

/** From how many bytes of JSON text on an entity is large: it is read and written alone, apart from those that share statements. */
export const LARGE_BYTES = 2 ** 16;

/**
 * An entity's row, now or as it was; `properties` is JSON text as PostgreSQL wrote it, to be passed through unparsed. So is `untracked`: the
 * names of the properties whose values are not kept, which a row of now has and one of the past leaves out; null: none.
 */
export type EntityRow = Omit<Entity, 'properties' | 'untracked'> & { properties: string; untracked: string | null };

/** The entity that a row is. */
export const entityOf = (row: EntityRow): Entity => ({
  ...row,
  properties: objectIn(row.properties),
  untracked: namesIn(row.untracked),
});
/**
 * Who set what an entity shows, and when: by property, as JSON text. `provenanceTruncated`: the names of the properties that it has no room
 * for, as JSON text; null: there are none.
 */
export type Provenance = { provenance: string; provenanceTruncated: string | null };

/** The names in an array of texts, as JSON text; null: none. */
export function namesIn(text: string | null): string[] {
  const names: unknown = text === null ? [] : JSON.parse(text);
  if (!Array.isArray(names)) throw new Error('names are no array');
  return names.map(String);
}

/** … as of a point; `latest` is the tick it is at now. */
export type PastEntityRow = Past<EntityRow & { latest?: number }>;

/** What a statement says of an entity that it would have to read alone, because it is large. */
export type TooLarge = { id: string; tick: number; properties: null };

export const isTooLarge = (row: PastEntityRow | TooLarge | undefined): row is TooLarge =>
  row !== undefined && row.tick !== null && row.properties === null;

/** Which entity to read, and which of its properties (null: all). */
export type EntityLookup = { id: string; fields: readonly string[] | null };

/** … as of a tick or an instant. */
export type PastLookup = EntityLookup & { point: Point };

/** A state of an entity that can be had for ever: its tick and the instant of it. A tombstone is none. */
export type Memento = { tick: number; at: string };

/** A memento by what it is to another one. */
export type RelatedMemento = Memento & { rel: 'first' | 'prev' | 'next' | 'last' };

/** Around which state of which entity, and until which of its ticks. */
export type Around = { id: string; tick: number; until: number };

/** An activity as JSON text `{"id", "actor", "reason", "metadata"}`, only what was given; null: none. */
export type ActivityText = string | null;

/** One range of a property: [from, to) in ticks and instants, `to` null while it holds; `value` is JSON text. */
export type RangeRow = {
  value: string;
  from: number;
  to: number | null;
  fromAt: string;
  toAt: string | null;
  activity: ActivityText;
};

/** What one tick did to one property, as JSON text; null: not set on that side. */
export type ChangeRow = { property: string; from: string | null; to: string | null };
