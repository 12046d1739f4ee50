import { createHash } from 'node:crypto';
import Negotiator from 'negotiator';
import { REVALIDATE } from '../answers/reads.js';
import type { App } from '../app-type.js';
import { noParameters } from '../contract/parameters.js';
import { sendJson } from '../contract/responses.js';

/** Where to go from here: what, path, and for people what is there. */
const PLACES: readonly [name: string, path: string, says: string][] = [
  ['ui', '/ui/', 'A page to look at entities and their whole history'],
  ['guide', '/docs/guide/', 'Guides: a tour with its answers, calling, time, filters, operating'],
  ['docs', '/docs/', 'The API, to read and to try'],
  ['openapi', '/openapi.yaml', 'The API as an OpenAPI 3.1 document, to generate clients from'],
  ['entities', '/entities', 'The entities'],
  ['types', '/types', 'The types that they have, and which are defined'],
  ['activities', '/activities', 'Who changed them, when and why'],
  ['health', '/health/ready', 'Whether the service can do its work'],
  ['metrics', '/metrics', 'Figures for Prometheus'],
];

/** For programs that know nothing of the service but its address (RFC 8631). */
const LINKS = [
  '</openapi.yaml>; rel="service-desc"; type="application/yaml"',
  '</docs/guide/>; rel="service-doc"; type="text/html"',
  '</health/ready>; rel="status"; type="application/json"',
].join(', ');

const JSON_TEXT = JSON.stringify({
  name: 'clocktick',
  summary: 'Entities that remember',
  links: Object.fromEntries(PLACES.map(([name, path]) => [name, path])),
});

const STYLE =
  'body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}';
const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; frame-ancestors 'none'`;
/** Its links are relative, so that they hold behind a proxy that adds a path. */
const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>clocktick</title>
<style>${STYLE}</style>
<h1>clocktick</h1>
<p>A REST service that remembers: entities, now and as they were at any past tick or instant.</p>
<ul>
${PLACES.map(([, path, says]) => `<li><a href=".${path}">${path}</a>: ${says}`).join('\n')}
</ul>
</html>
`;

/** The address that the start prints: where to go from there, as a page for browsers and as links for programs. */
export function rootRoute(app: App): void {
  app.get('/', { schema: { hide: true, querystring: noParameters } }, async ({ headers }, reply) => {
    reply.headers({ 'cache-control': REVALIDATE, vary: 'accept', link: LINKS });
    const accept = headers.accept?.trim() || '*/*';
    const [wanted] = new Negotiator({ headers: { accept } }).mediaTypes(['application/json', 'text/html']);
    if (wanted !== 'text/html') return sendJson(reply, JSON_TEXT);
    reply.headers({ 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff' });
    return reply.type('text/html; charset=utf-8').send(PAGE);
  });
}
