import { v5, v7, validate, version } from 'uuid';
import { characters } from './json.js';
import { MAX_KEY_LENGTH, TYPE_PATTERN } from './limits.js';
import { Refusal } from './refusal.js';

/** The namespace of ids made from (type, key). It can never change: every keyed entity's id follows from it. */
const KEY_NAMESPACE = '3f0ac0bb-6a3c-5d0c-9f57-2f7d2c1e4b10';

const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The id of an entity or activity without a key: a UUID of version 7 (RFC 9562 section 5.7), ordered by time. */
export const newId = (): string => v7();

/**
 * The id of the entity with this key: a UUID of version 5 (RFC 9562 section 5.5), so a key never has to be looked up.
 * A type holds no colon, so no two pairs give the same name.
 */
export const idOfKey = (type: string, key: string): string => v5(`${type}:${key}`, KEY_NAMESPACE);

/** Whether a caller may create an entity under this id: one of version 5 may belong to a key that is yet to be born. */
export const isFreshId = (id: string): boolean => validate(id) && [4, 7].includes(version(id));

/** How a caller named an entity: its id, the words to speak of it, and the key it was named by (null: by its id). */
export type Address = { id: string; label: string; named: { type: string; key: string } | null };

/**
 * Reads an address: a UUID, or `type:key`, everything after the first colon being the key.
 * @param parameter where it stands, for the refusal
 * @throws Refusal `invalid_id`
 */
export function parseAddress(text: string, parameter = 'id'): Address {
  const refuse = (message: string) => Refusal.at('invalid_id', parameter, message, message);

  if (isUuid(text)) return { id: text.toLowerCase(), label: text.toLowerCase(), named: null };
  const colon = text.indexOf(':');
  const type = text.slice(0, Math.max(colon, 0));
  const key = text.slice(colon + 1);
  if (!TYPE_PATTERN.test(type)) throw refuse('An entity is addressed by its UUID or as type:key.');
  if (!isKey(key)) {
    throw refuse(`A key has 1 to ${MAX_KEY_LENGTH} characters, none of them U+0000 or half a surrogate pair.`);
  }
  return { id: idOfKey(type, key), label: `${type}:${key}`, named: { type, key } };
}

/** Whether a text is a UUID of any version, however it is written. */
export const isUuid = (text: string): boolean => UUID_PATTERN.test(text);

/** Whether a text can be a key: 1 to 512 characters that PostgreSQL can keep. */
export const isKey = (text: string): boolean =>
  text.length > 0 && characters(text) <= MAX_KEY_LENGTH && !text.includes('\0') && text.isWellFormed();
