/** A JSON value, as JSON.parse makes it. */
export type Json = null | boolean | number | string | Json[] | JsonObject;

export type JsonObject = { [name: string]: Json };

/**
 * Where and why a text is not JSON that the service can keep exactly.
 *
 * `path` is an RFC 6901 JSON Pointer ('' = the whole document) to the value at fault. For a name that cannot be stored it is the
 * object that holds the name, so a path is always text that can itself be stored and sent. `detail` is one short sentence that
 * repeats little or nothing of the input.
 */
type JsonFault = {
  code: 'malformed_json' | 'number_not_exact' | 'text_not_storable' | 'duplicate_name' | 'nested_too_deep';
  path: string;
  detail: string;
};

/**
 * How many levels of objects and arrays a text may have. What comes after readJson recurses: JSON.stringify gives up at some
 * thousand levels, and so does PostgreSQL's parser, at its max_stack_depth. No real entity has a hundred levels. With this bound
 * nothing behind readJson has to defend its stack.
 */
export const MAX_DEPTH = 100;

/**
 * Reads a JSON text (RFC 8259). It refuses what the service could not give back exactly as it was written. It never throws,
 * takes time in proportion to the text, and does not recurse.
 *
 * The value is what JSON.parse makes; `__proto__` and `constructor` are names like any other. A text that is not JSON has the
 * fault `malformed_json`: its path is '', and its detail says the line and column. Otherwise the fault is the first in the
 * document of
 * - `number_not_exact`: a number whose decimal value is not that of `String(Number(token))`, such as 1e400 or 2^53+1,
 * - `text_not_storable`: a string or name with U+0000 or a lone surrogate, which PostgreSQL's text and jsonb refuse
 *   (and RFC 7493, I-JSON, section 2.1 forbids the latter),
 * - `duplicate_name`: a name twice in one object (RFC 7493, section 2.3), compared after unescaping,
 * - `nested_too_deep`: more than MAX_DEPTH levels.
 */
export function readJson(text: string): { value: Json } | { fault: JsonFault } {
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { fault: { code: 'malformed_json', path: '', detail: whyMalformed(text) } };
  }
  const fault = firstFault(text);
  return fault === undefined ? { value } : { fault };
}

/** The RFC 6901 JSON Pointer of reference tokens: names, not yet escaped, and indexes of arrays. */
export function pointer(tokens: readonly (string | number)[]): string {
  return tokens.map((token) => `/${String(token).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

/** Whether a value is a plain object: not null, not an array, not an instance of some class. */
export function isObject(value: unknown): value is JsonObject {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The object that a text of our own is: what the database or an export has written. @throws Error when it is none, which is a fault here */
export function objectIn(text: string): JsonObject {
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error('what was written as an object is none');
  return value;
}

/**
 * Equality as PostgreSQL's jsonb sees it: the order of members does not matter, 1.0 = 1, -0 = 0. Only own members count, so
 * `__proto__` and `constructor` are data. `undefined` stands for no value, and equals only itself.
 */
export function jsonEqual(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => jsonEqual(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => Object.hasOwn(b, name) && jsonEqual(a[name], b[name]));
}

/** The length of a text in code points, as PostgreSQL's char_length counts; `length` counts UTF-16 code units. */
export function characters(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    if ((text.codePointAt(at) ?? 0) > 0xffff) at += 1;
    count += 1;
  }
  return count;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LETTER_E = 0x65;
const LETTER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** An open object, with the names seen in it, or an open array. `token` is the reference token of what is being read inside. */
type Level = { names: Set<string> | undefined; token: string | number };

/**
 * The first fault of a text. JSON.parse has accepted the text before, so the grammar needs no check here.
 *
 * Why not lossless-json 4.3, which parses only once: it lets a duplicate name pass when the values are equal, gives its
 * callbacks no path, and overflows the stack at some thousand levels. Even without these checks it took longer than readJson
 * (src/guide/figures.md).
 */
function firstFault(text: string): JsonFault | undefined {
  const levels: Level[] = [];
  let level: Level | undefined;
  let nameIsNext = false;
  // A lone surrogate stands in a string raw or as a \u escape. Only strings with one of these have to be looked into.
  const rawSurrogates = !text.isWellFormed();
  const path = () => pointer(levels.map(({ token }) => token));

  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const start = at;
      let escapes = false;
      let unicodeEscapes = false;
      for (at += 1; at < text.length; at += 1) {
        const inside = text.charCodeAt(at);
        if (inside === QUOTE) break;
        if (inside === BACKSLASH) {
          escapes = true;
          at += 1;
          if (text.charCodeAt(at) === LETTER_U) unicodeEscapes = true;
        }
      }
      const suspect = unicodeEscapes || rawSurrogates;
      if (!nameIsNext && !suspect) continue;
      const string: string = escapes ? JSON.parse(text.slice(start, at + 1)) : text.slice(start + 1, at);
      if (nameIsNext) {
        nameIsNext = false;
        const why = suspect ? notStorable(string) : undefined;
        if (why !== undefined) {
          levels.pop();
          return { code: 'text_not_storable', path: path(), detail: `a name in this object holds ${why}` };
        }
        if (level?.names === undefined) continue;
        level.token = string;
        if (level.names.has(string)) {
          return { code: 'duplicate_name', path: path(), detail: 'the same name is written twice in one object' };
        }
        level.names.add(string);
      } else {
        const why = notStorable(string);
        if (why !== undefined) return { code: 'text_not_storable', path: path(), detail: `the string holds ${why}` };
      }
    } else if (code === COMMA) {
      if (typeof level?.token === 'number') level.token += 1;
      else nameIsNext = true;
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      if (levels.length === MAX_DEPTH) {
        return { code: 'nested_too_deep', path: path(), detail: `more than ${MAX_DEPTH} levels of nesting` };
      }
      nameIsNext = code === OPEN_OBJECT;
      level = nameIsNext ? { names: new Set(), token: '' } : { names: undefined, token: 0 };
      levels.push(level);
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      levels.pop();
      level = levels.at(-1);
      nameIsNext = false;
    } else if (code === MINUS || (code >= DIGIT_0 && code <= DIGIT_9)) {
      const start = at;
      let exponent = false;
      // The | 0x20 turns E into e. The loop stops before what may follow a number: white space, a comma, a closing bracket.
      for (; at + 1 < text.length; at += 1) {
        const next = text.charCodeAt(at + 1);
        if (next <= 0x20 || next === COMMA || next === CLOSE_ARRAY || next === CLOSE_OBJECT) break;
        if ((next | 0x20) === LETTER_E) exponent = true;
      }
      // A double keeps any 15 digits exactly, and a token of at most 15 characters without an exponent is never out of its range.
      if (!exponent && at - start < 15) continue;
      const token = text.slice(start, at + 1);
      if (!isExact(token)) return { code: 'number_not_exact', path: path(), detail: notExact(token) };
    }
  }
  return undefined;
}

/** What PostgreSQL cannot keep of a string, if anything: neither text nor jsonb holds U+0000, and UTF-8 has no surrogates. */
function notStorable(string: string): string | undefined {
  if (string.includes('\0')) return 'U+0000, which cannot be stored';
  if (!string.isWellFormed()) return 'half of a surrogate pair, which cannot be stored';
  return undefined;
}

function notExact(token: string): string {
  const shown = token.length > 32 ? `${token.slice(0, 32)}…` : token;
  const kept = Number(token);
  if (!Number.isFinite(kept)) return `the number ${shown} is larger than any that can be kept`;
  return `the number ${shown} would be rounded to ${kept}`;
}

/**
 * Whether the double nearest to a token has the decimal value of the token. It is enough to compare the significant digits:
 * rounding to a double that is neither 0 nor Infinity never moves a value tenfold, so equal digits imply equal exponents. So an
 * exponent of a million digits need not be read.
 */
function isExact(token: string): boolean {
  const kept = Number(token);
  return Number.isFinite(kept) && significantDigits(token) === significantDigits(String(kept));
}

/** The digits from the first to the last that is not 0; none for zero. Loops, because /0+$/ takes quadratic time on 1000…0001. */
function significantDigits(token: string): string {
  const e = token.search(/e/i);
  const digits = token.slice(token.startsWith('-') ? 1 : 0, e === -1 ? undefined : e).replace('.', '');
  let start = 0;
  while (digits.charCodeAt(start) === DIGIT_0) start += 1;
  let end = digits.length;
  while (end > start && digits.charCodeAt(end - 1) === DIGIT_0) end -= 1;
  return digits.slice(start, end);
}

/** What the grammar expects next, in the words of the message. */
type Due = 'a value' | 'a value or ]' | 'a name' | 'a name or }' | ':' | ', or ]' | ', or }' | 'the end of the text';

/**
 * Where a text stops being JSON that JSON.parse has refused. The messages of V8 will not do: they differ between versions, do not
 * always say where, and quote the body.
 */
function whyMalformed(text: string): string {
  const closings: (']' | '}')[] = [];
  let due: Due = 'a value';
  let at = 0;
  for (;;) {
    while (isSpace(text.charCodeAt(at))) at += 1;
    const char = text[at];
    if ((char === ']' || char === '}') && due.endsWith(char)) {
      closings.pop();
      due = afterValue(closings.at(-1));
      at += 1;
    } else if (char === ',' && due.startsWith(',')) {
      due = closings.at(-1) === '}' ? 'a name' : 'a value';
      at += 1;
    } else if (char === ':' && due === ':') {
      due = 'a value';
      at += 1;
    } else if (char === '[' && due.startsWith('a value')) {
      closings.push(']');
      due = 'a value or ]';
      at += 1;
    } else if (char === '{' && due.startsWith('a value')) {
      closings.push('}');
      due = 'a name or }';
      at += 1;
    } else if (due.startsWith('a value') || (due.startsWith('a name') && char === '"')) {
      const token = readToken(text, at);
      if ('bad' in token) return describe(text, token.bad, token.bad === at ? due : undefined);
      due = due.startsWith('a name') ? ':' : afterValue(closings.at(-1));
      at = token.end;
    } else {
      return describe(text, at, due);
    }
  }
}

function afterValue(closing: ']' | '}' | undefined): Due {
  return closing === undefined ? 'the end of the text' : `, or ${closing}`;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const WHOLE_NUMBER = new RegExp(`^(?:${NUMBER.source})$`);

/** Where the string, number, true, false or null at this place ends, or which character of it is wrong. */
function readToken(text: string, at: number): { end: number } | { bad: number } {
  const char = text[at] ?? '';
  if (char === '"') return readString(text, at);
  const word = ['true', 'false', 'null'].find((literal) => literal.startsWith(char));
  if (word !== undefined && char !== '') {
    let same = 1;
    while (same < word.length && text[at + same] === word[same]) same += 1;
    return same === word.length ? { end: at + same } : { bad: at + same };
  }
  NUMBER.lastIndex = at;
  const end = NUMBER.test(text) ? NUMBER.lastIndex : at;
  // A text that was cut off after the sign, the point or the e of a number becomes a number by one more digit. What is left over
  // then is at most two characters (`e-`).
  if (text.length - end <= 2 && WHOLE_NUMBER.test(`${text.slice(at)}0`)) return { bad: text.length };
  return end === at ? { bad: at } : { end };
}

function readString(text: string, start: number): { end: number } | { bad: number } {
  for (let at = start + 1; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return { end: at + 1 };
    if (code < 0x20) return { bad: at };
    if (code !== BACKSLASH) continue;
    at += 1;
    if (text.charCodeAt(at) === LETTER_U) {
      for (const last = at + 4; at < last; at += 1) {
        if (!/^[0-9a-fA-F]$/.test(text.charAt(at + 1))) return { bad: at + 1 };
      }
    } else if (!/^["\\/bfnrt]$/.test(text.charAt(at))) {
      return { bad: at };
    }
  }
  return { bad: text.length };
}

function describe(text: string, at: number, due: Due | undefined): string {
  const before = text.slice(0, at);
  const column = characters(before.slice(before.lastIndexOf('\n') + 1)) + 1;
  const place = `at line ${before.split('\n').length}, column ${column}`;
  const code = text.codePointAt(at);
  if (code === undefined) return /[^ \n\r\t]/.test(text) ? `the text ends too early, ${place}` : 'the body is empty';
  const char = String.fromCodePoint(code);
  const visible = /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(char);
  const shown = visible ? `'${char}'` : `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
  return `unexpected ${shown} ${place}${due === undefined ? '' : `, where ${due} is due`}`;
}
