import { isObject, type Json } from '../temporal/json.js';
import type { Meter } from './work.js';

/*
 * What keywords ask of values. ajv compares values by their own `constructor`, `valueOf` and `toString`, which are data here.
 */

/**
 * A text that equal values share, and no others (JSON Schema Core section 4.2.2): the order of members does not matter, 1.0 is 1.
 * It costs as much as the text is long.
 */
function keyOf(value: Json, meter: Meter): string {
  meter.spend(10);
  if (typeof value === 'string') {
    meter.spend(value.length >> 3);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item) => keyOf(item, meter)).join()}]`;
  if (!isObject(value)) return String(value === 0 ? 0 : value);
  const names = Object.keys(value).sort();
  meter.spend(names.length * 20);
  return `{${names.map((name) => `${JSON.stringify(name)}:${keyOf(value[name] ?? null, meter)}`).join()}}`;
}

/** Whether a value is a scalar, which `===` compares as the standard does. */
const isScalar = (value: Json): boolean => typeof value !== 'object' || value === null;

/** `enum`, and `const` with one value (Validation sections 6.1.2 and 6.1.3). */
export function isAmong(values: readonly Json[], meter: Meter): (value: Json) => boolean {
  const scalars = new Set(values.filter(isScalar));
  const unlimited = { left: 0, spend: () => undefined };
  const others = values.filter((value) => !isScalar(value));
  const keys = new Set(others.map((value) => keyOf(value, unlimited)));
  // A value with more items or members than any allowed one needs no key.
  const sizes = new Set(others.map(sizeOf));
  return (value) => {
    if (isScalar(value)) return scalars.has(value);
    return sizes.has(sizeOf(value)) && keys.has(keyOf(value, meter));
  };
}

const sizeOf = (value: Json): number =>
  Array.isArray(value) ? value.length : -1 - (isObject(value) ? Object.keys(value).length : 0);

/** `uniqueItems` (Validation section 6.4.3): two equal items, or null. */
export function isDistinct(meter: Meter): (items: Json[]) => boolean {
  return (items) => {
    // A large set takes longer for each item, because it does not fit into a cache.
    meter.spend(items.length * (items.length > 50_000 ? 50 : 8));
    const scalars = new Set<Json>();
    const keys = new Set<string>();
    for (const item of items) {
      if (isScalar(item)) {
        if (scalars.has(item)) return false;
        scalars.add(item);
      } else {
        const key = keyOf(item, meter);
        if (keys.has(key)) return false;
        keys.add(key);
      }
    }
    return true;
  };
}

/** A decimal number as an integer and a power of ten. */
type Decimal = { digits: bigint; exponent: number };

function decimalOf(value: number): Decimal {
  const [mantissa = '', power = '0'] = String(Math.abs(value)).split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  return { digits: BigInt(whole + fraction), exponent: Number(power) - fraction.length };
}

/**
 * `multipleOf` (Validation section 6.2.1), of the decimals that the numbers stand for: 19.99 is a multiple of 0.01, although 19.99 / 0.01 is
 * 1998.9999999999998 in doubles.
 */
export function isMultipleOf(divisor: number): (value: number) => boolean {
  const by = decimalOf(divisor);
  const integers = Number.isSafeInteger(divisor);
  return (value) => {
    if (integers && Number.isSafeInteger(value)) return value % divisor === 0;
    const of = decimalOf(value);
    const shift = of.exponent - by.exponent;
    if (of.digits === 0n) return true;
    if (shift >= 0) {
      // (digits * 10^shift) mod by, without a number of hundreds of digits.
      return (of.digits * powerOfTen(shift, by.digits)) % by.digits === 0n;
    }
    return of.digits % (by.digits * 10n ** BigInt(-shift)) === 0n;
  };
}

/** 10^exponent modulo a number, by squaring. */
function powerOfTen(exponent: number, modulus: bigint): bigint {
  let result = 1n;
  let square = 10n % modulus;
  for (let left = exponent; left > 0; left >>= 1) {
    if (left & 1) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

/** `minLength` and `maxLength` (Validation section 6.3), in code points. The length in UTF-16 code units says most of it. */
export function isLong(min: number, max: number, meter: Meter): (text: string) => boolean {
  return (text) => {
    const units = text.length;
    // A text has at most as many characters as code units, and at least half as many.
    if (units < min || units > 2 * max) return false;
    if (units >= 2 * min && units <= max) return true;
    meter.spend(units >> 4);
    let count = units;
    for (let at = 0; at < units; at += 1) {
      const code = text.charCodeAt(at);
      if (code >= 0xd800 && code < 0xdc00) {
        count -= 1;
        at += 1;
      }
    }
    return count >= min && count <= max;
  };
}
