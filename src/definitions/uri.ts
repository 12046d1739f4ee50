/*
 * References of URIs, RFC 3986. Only what resolving needs: a schema may be named by any URI, also by a URN, which the WHATWG's URL does not
 * resolve against.
 */

/** A URI without its fragment, and the fragment, decoded; null where there is none. */
export type Target = { uri: string; fragment: string | null };

/** RFC 3986, appendix B. */
const PARTS = /^(?:([^:/?#]+):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s;

/** Resolves a reference against a base (RFC 3986 section 5.2.2), and takes its fragment off. Null if the fragment is not percent-encoded UTF-8. */
export function resolve(base: string, reference: string): Target | null {
  const [, scheme, authority, path = '', query, fragment] = PARTS.exec(reference) ?? [];
  const [, baseScheme, baseAuthority, basePath = '', baseQuery] = PARTS.exec(base) ?? [];
  let uri: string;
  if (scheme !== undefined) uri = compose(scheme, authority, withoutDots(path), query);
  else if (authority !== undefined) uri = compose(baseScheme, authority, withoutDots(path), query);
  else if (path === '') uri = compose(baseScheme, baseAuthority, basePath, query ?? baseQuery);
  else if (path.startsWith('/')) uri = compose(baseScheme, baseAuthority, withoutDots(path), query);
  else uri = compose(baseScheme, baseAuthority, withoutDots(merge(baseAuthority, basePath, path)), query);
  if (fragment === undefined) return { uri, fragment: null };
  try {
    return { uri, fragment: decodeURIComponent(fragment) };
  } catch {
    return null;
  }
}

function compose(scheme: string | undefined, authority: string | undefined, path: string, query: string | undefined) {
  const parts = [scheme === undefined ? '' : `${scheme}:`, authority === undefined ? '' : `//${authority}`, path];
  return `${parts.join('')}${query === undefined ? '' : `?${query}`}`;
}

/** RFC 3986 section 5.2.3. */
function merge(baseAuthority: string | undefined, basePath: string, path: string): string {
  if (baseAuthority !== undefined && basePath === '') return `/${path}`;
  return `${basePath.slice(0, basePath.lastIndexOf('/') + 1)}${path}`;
}

/** RFC 3986 section 5.2.4. A path that does not begin with a slash, as a URN's, stays as it is. */
function withoutDots(path: string): string {
  if (!path.startsWith('/')) return path;
  const kept: string[] = [];
  const segments = path.slice(1).split('/');
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '.') kept.push(segment);
  }
  if (/^\.\.?$/.test(segments.at(-1) ?? '')) kept.push('');
  return `/${kept.join('/')}`;
}
