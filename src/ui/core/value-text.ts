import { isObject } from '../../temporal/json.js';
import { MAX_NAME_LENGTH } from '../../temporal/limits.js';

/*
 * Values and names of properties in a line: bounded, whatever they are, and without characters that would make a reader see something else
 * than what is there.
 */

/** How long a value may be in a line, in UTF-16 code units. */
const MOST = 40;

/**
 * Characters that nobody sees, or that turn others around (Unicode: Default_Ignorable_Code_Point, format and control characters); those that
 * join emoji and letters, and choose how they look, are left.
 */
const UNSEEN = /(?!\u200c|\u200d|\ufe0e|\ufe0f)[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\u2028\u2029]/gu;

/**
 * A value as JSON in a line of at most `most` UTF-16 code units; `…` stands for the rest. It looks at no more of the value than it shows.
 * @param value any JSON; undefined (not set) is ''
 */
export function valueText(value: unknown, most = MOST): string {
  let text = '';
  const isFull = () => text.length > most;
  const write = (one: unknown): void => {
    if (typeof one === 'string') text += quoted(one, most);
    else if (Array.isArray(one)) {
      text += '[';
      for (let n = 0; n < one.length && !isFull(); n++) {
        if (n > 0) text += ', ';
        write(one[n]);
      }
      text += ']';
    } else if (isObject(one)) {
      text += '{';
      let separator = '';
      for (const name in one) {
        if (isFull()) break;
        text += `${separator}${quoted(name, most)}: `;
        separator = ', ';
        write(one[name]);
      }
      text += '}';
    } else if (one !== undefined) text += String(one);
  };
  write(value);
  return cut(text, most);
}

/** How long a property's name is told where all of it is: as it may be, with what is written for characters that nobody sees. */
export const WHOLE_NAME = 2 + 12 * MAX_NAME_LENGTH;

/** The name of a property in a line: in quotes, unless it is made of letters, digits and what joins them. */
export const nameText = (name: string, most = 60): string => {
  const isPlain = /^[\p{L}\p{N}_$][\p{L}\p{N}_$.:/@-]*$/u.test(name) && name.search(UNSEEN) === -1;
  return cut(isPlain ? name : quoted(name, most), most);
};

/** A text of at most so many UTF-16 code units, which ends in `…` where it was longer. No character is cut in two. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  const end = (text.codePointAt(most - 2) ?? 0) > 0xffff ? most - 2 : most - 1;
  return `${text.slice(0, end)}…`;
}

/** A text as JSON, of what a line of `most` has room for. */
const quoted = (text: string, most: number): string =>
  JSON.stringify(text.slice(0, most + 2)).replace(UNSEEN, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
