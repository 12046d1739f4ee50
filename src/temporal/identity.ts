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
 * The id of the entity with this key: a UUID of version 5 (RFC 9562 section 5.5), so nobody ever has to look a key up. A type
 * holds no colon, so two pairs of type and key never make the same text.
 */
export const idOfKey = (type: string, key: string): string => v5(`${type}:${key}`, KEY_NAMESPACE);

/** Whether a caller may create an entity under this id. A UUID of version 5 may belong to a key that nobody has used yet. */
export const isFreshId = (id: string): boolean => validate(id) && [4, 7].includes(version(id));

/**
 * How a caller named an entity: its id; the `label` that messages call it by; and its type and key in `named`, which is null when
 * the caller named it by its UUID.
 */
export type Address = { id: string; label: string; named: { type: string; key: string } | null };

/**
 * Reads an address: a UUID, or `type:key`. Everything after the first colon is the key.
 * @param parameter the name of the parameter that holds it, for the refusal
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

/** Whether a text is a UUID of any version, in small or capital letters. */
export const isUuid = (text: string): boolean => UUID_PATTERN.test(text);

/** Whether a text can be a key: 1 to MAX_KEY_LENGTH characters that PostgreSQL can keep. */
export const isKey = (text: string): boolean =>
  text.length > 0 && characters(text) <= MAX_KEY_LENGTH && !text.includes('\0') && text.isWellFormed();
