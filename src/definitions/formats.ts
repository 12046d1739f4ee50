import { RegExpParser } from '@eslint-community/regexpp';

/*
 * The formats of Validation section 7.3, asserted. Those of ajv-formats 3 will not do: it takes "1985-04-12 23:20Z" for a date-time, no quoted
 * e-mail address, a port of letters for one of a URI, `urn:uuid:` for a UUID, and P1Y2D for a duration.
 *
 * A format that the standard does not know is an annotation. One that it knows and that is not here is refused by name.
 *
 * The patterns below take time in proportion to the text: at each character, there is one way to go on.
 */

/** What the standard knows and nobody checks here: each needs the rules of Unicode for host names or IRIs. */
const NOT_CHECKED: readonly string[] = ['idn-email', 'idn-hostname', 'iri', 'iri-reference'];

/** What is wrong with the name of a format; null when nothing is. */
export const formatFault = (name: string): string | null =>
  NOT_CHECKED.includes(name) ? `is not supported: the format ${name} is not checked here` : null;

/** The check of a format; undefined when the format is an annotation. */
export const formatOf = (name: string): ((text: string) => boolean) | undefined => FORMATS.get(name);

const DATE = /^(\d{4})-(\d\d)-(\d\d)$/;
const TIME = /^(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):(\d\d))$/i;

/** RFC 3339 section 5.6, full-date. */
function isDate(text: string): boolean {
  const [, year = 0, month = 0, day = 0] = (DATE.exec(text) ?? []).map(Number);
  return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** RFC 3339 section 5.6, full-time. A leap second ends a day of UTC (section 5.7). */
function isTime(text: string): boolean {
  const match = TIME.exec(text);
  if (!match) return false;
  const [hour = 0, minute = 0, second = 0] = match.slice(1, 4).map(Number);
  const offset = Number(match[5] ?? 0) * 60 + Number(match[6] ?? 0);
  if (hour > 23 || minute > 59 || second > 60 || Number(match[5] ?? 0) > 23 || Number(match[6] ?? 0) > 59) return false;
  if (second < 60) return true;
  const utc = hour * 60 + minute - (match[4] === '-' ? -offset : offset);
  return (utc + 1) % (24 * 60) === 0;
}

const isDateTime = (text: string): boolean =>
  /^t$/i.test(text.charAt(10)) && isDate(text.slice(0, 10)) && isTime(text.slice(11));

/** RFC 3339, appendix A. */
const DURATION =
  /^P(?:\d+W|(?:\d+Y(?:\d+M(?:\d+D)?)?|\d+M(?:\d+D)?|\d+D)(?:T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))?|T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S))$/;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** RFC 3986 section 3.2.2, dec-octet. */
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';
const IPV4 = new RegExp(`^(?:${OCTET}\\.){3}${OCTET}$`);

/** RFC 4291 section 2.2. */
function isIpv6(text: string): boolean {
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')));
  let count = groups.length;
  if (count > 0 && groups.at(-1)?.includes('.')) {
    // An IPv4 address stands for the last two groups, and ends the text.
    if (!IPV4.test(groups.pop() ?? '') || text.endsWith(':')) return false;
    count += 1;
  }
  return groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group)) && (halves.length === 2 ? count <= 7 : count === 8);
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/** RFC 1123 section 2.1, RFC 952, RFC 1034 section 3.1. Of a label that begins with xn-- only this form is checked, not what it encodes. */
const isHostname = (text: string): boolean => text.length <= 253 && text.split('.').every((label) => LABEL.test(label));

const ATEXT = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
const LOCAL = new RegExp(`^(?:${ATEXT}+(?:\\.${ATEXT}+)*|"(?:[ !#-\\[\\]-~]|\\\\[ -~])*")$`);

/** RFC 5321 section 4.1.2, Mailbox. */
function isEmail(text: string): boolean {
  const at = text.lastIndexOf('@');
  const local = text.slice(0, Math.max(at, 0));
  const domain = text.slice(at + 1);
  if (!LOCAL.test(local)) return false;
  const literal = /^\[(?:(IPv6:)(.*)|(.*))\]$/i.exec(domain);
  if (!literal) return isHostname(domain);
  return literal[1] ? isIpv6(literal[2] ?? '') : IPV4.test(literal[3] ?? '');
}

const UNRESERVED = "A-Za-z0-9._~!$&'()*+,;=\\-";
const PCT = '%[0-9A-Fa-f]{2}';
const USERINFO = new RegExp(`^(?:[${UNRESERVED}:]|${PCT})*$`);
const REG_NAME = new RegExp(`^(?:[${UNRESERVED}]|${PCT})*$`);
const PATH = new RegExp(`^(?:[${UNRESERVED}:@/]|${PCT})*$`);
const QUERY = new RegExp(`^(?:[${UNRESERVED}:@/?]|${PCT})*$`);
const IP_FUTURE = new RegExp(`^v[0-9a-f]+\\.[${UNRESERVED}:]+$`, 'i');
const URI_PARTS = /^(?:([a-z][a-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/is;

/** RFC 3986, appendix A: URI-reference, or URI, which has a scheme. */
function isUri(text: string, withScheme: boolean): boolean {
  const match = URI_PARTS.exec(text);
  if (!match) return false;
  const [, scheme, authority, path = '', query = '', fragment = ''] = match;
  if (withScheme && scheme === undefined) return false;
  if (authority !== undefined && !isAuthority(authority)) return false;
  // path-abempty after an authority begins with a slash by the parts above; path-noscheme has no colon in its first segment.
  if (scheme === undefined && authority === undefined && /^[^/]*:/.test(path)) return false;
  return PATH.test(path) && QUERY.test(query) && QUERY.test(fragment);
}

function isAuthority(text: string): boolean {
  const at = text.lastIndexOf('@');
  if (at !== -1 && !USERINFO.test(text.slice(0, at))) return false;
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::\d*)?$/.exec(text.slice(at + 1));
  if (!match) return false;
  const [, literal, name = ''] = match;
  return literal === undefined ? REG_NAME.test(name) : isIpv6(literal) || IP_FUTURE.test(literal);
}

const VARCHAR = '(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})';
const VARSPEC = `${VARCHAR}+(?:\\.${VARCHAR}+)*(?::[1-9]\\d{0,3}|\\*)?`;
/** RFC 6570 section 2, with its erratum 6937 on the apostrophe. */
const URI_TEMPLATE = new RegExp(
  `^(?:[^\\x00-\\x20\\x7f"%<>\\\\^\`{|}]|%[0-9A-Fa-f]{2}|\\{[+#./;?&=,!@|]?${VARSPEC}(?:,${VARSPEC})*\\})*$`,
  'u',
);

/** RFC 6901 section 3, and the draft of relative JSON pointers. */
const JSON_POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/;
const RELATIVE_JSON_POINTER = /^(?:0|[1-9]\d*)(?:#|(?:\/(?:[^~/]|~[01])*)*)$/;

/** ECMA-262 with the flag u. */
function isRegex(text: string): boolean {
  try {
    new RegExpParser({ ecmaVersion: 2025 }).parsePattern(text, 0, text.length, { unicode: true });
    return true;
  } catch {
    return false;
  }
}

const FORMATS: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ['date-time', isDateTime],
  ['date', isDate],
  ['time', isTime],
  ['duration', (text) => DURATION.test(text)],
  ['email', isEmail],
  ['hostname', isHostname],
  ['ipv4', (text) => IPV4.test(text)],
  ['ipv6', isIpv6],
  ['uri', (text) => isUri(text, true)],
  ['uri-reference', (text) => isUri(text, false)],
  ['uri-template', (text) => URI_TEMPLATE.test(text)],
  ['uuid', (text) => UUID.test(text)],
  ['json-pointer', (text) => JSON_POINTER.test(text)],
  ['relative-json-pointer', (text) => RELATIVE_JSON_POINTER.test(text)],
  ['regex', isRegex],
]);
