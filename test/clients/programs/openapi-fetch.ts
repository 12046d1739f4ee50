import createClient from 'openapi-fetch';
import type { components, paths } from './openapi-typescript.js';

/* A caller whose types openapi-typescript makes of openapi.yaml, and whose requests openapi-fetch sends. */

type Entity = components['schemas']['Entity'];
type Code = components['schemas']['ProblemCode'];

const client = createClient<paths>({ baseUrl: process.argv[2] ?? '' });
const told: Record<string, unknown> = {};

const path = { id: 'friend:rachel' };
const made = await client.POST('/entities', {
  body: { type: 'friend', key: 'rachel', properties: { name: 'Rachel', location: 'New York' } },
});
const created: Entity | undefined = made.data;
told.created = [made.response.status, created?.tick, created?.properties];

const merged = await client.PATCH('/entities/{id}', {
  params: { path, header: { 'if-match': made.response.headers.get('etag') ?? '' } },
  body: { properties: { location: 'San Francisco' }, activity: { actor: 'monica' } },
});
told.merged = [merged.response.status, merged.data?.properties.location];

const patched = await client.PATCH('/entities/{id}', {
  params: { path },
  body: [{ op: 'replace', path: '/properties/location', value: 'Oakland' }],
});
told.patched = [patched.response.status, patched.data?.properties.location];

const dry = await client.PATCH('/entities/{id}', {
  params: { path, query: { dryRun: true } },
  body: { properties: { location: 'Tucson' } },
});
const foretold = dry.data;
told.dry = [dry.response.status, foretold?.preview?.op, foretold?.properties.location, foretold?.tick];

const then = await client.GET('/entities/{id}', { params: { path, query: { asOf: 1, fields: ['location', 'a,b'] } } });
told.asOf = [then.response.status, then.data?.properties];
const byInstant = await client.GET('/entities/{id}', { params: { path, query: { asOf: created?.createdAt ?? '' } } });
told.asOfInstant = [byInstant.response.status, byInstant.data?.tick];

const known = await client.GET('/entities/{id}', { params: { path, header: { 'if-none-match': '"3"' } } });
told.known = known.response.status;

for (const key of ['will', 'carlton'])
  await client.PUT('/entities/{id}', {
    params: { path: { id: `friend:${key}` } },
    body: { type: 'friend', properties: {} },
  });
const keys: (string | undefined)[] = [];
for (let cursor: string | null | undefined = ''; typeof cursor === 'string'; ) {
  const query: { type: string; limit: number; cursor?: string } = { type: 'friend', limit: 2 };
  const page: { data?: components['schemas']['SnapshotPage'] | components['schemas']['EntityList'] } = await client.GET(
    '/entities',
    { params: { query: cursor === '' ? query : { ...query, cursor } } },
  );
  if (!page.data || 'missing' in page.data) break;
  keys.push(...page.data.items.map(({ key }) => key));
  cursor = page.data.next;
}
told.pages = keys;

const ranges = await client.GET('/entities/{id}/history/{property}', {
  params: { path: { ...path, property: 'location' }, query: { order: 'desc', limit: 1 } },
});
told.range = ranges.data?.items.map(({ value, vclock, activity }) => [value, vclock.from, activity?.actor ?? null]);
const ticks = await client.GET('/entities/{id}/history', { params: { path, query: { from: 2, to: 3 } } });
told.changes = ticks.data?.items.map(({ op, changes }) => [op, changes?.location?.from, changes?.location?.to]);

const codeOf = (error: { code: Code } | undefined): Code | undefined => error?.code;
const taken = await client.POST('/entities', { body: { type: 'friend', key: 'rachel', properties: {} } });
told.taken = [taken.response.status, codeOf(taken.error)];
const stale = await client.DELETE('/entities/{id}', { params: { path, header: { 'if-match': '"1"' } } });
told.stale = [stale.response.status, codeOf(stale.error)];
const deleted = await client.DELETE('/entities/{id}', { params: { path } });
told.deleted = deleted.response.status;
const gone = await client.GET('/entities/{id}', { params: { path } });
told.gone = [gone.response.status, codeOf(gone.error), gone.error?.tick];
const restored = await client.POST('/entities/{id}/restore', { params: { path } });
told.restored = [restored.response.status, restored.data?.properties.location];

const batched = await client.POST('/batch', {
  body: {
    activity: { actor: 'joey' },
    operations: [
      { op: 'patch', id: 'friend:rachel', properties: { location: 'Paris' }, ifMatch: restored.data?.tick ?? 0 },
      { op: 'patch', id: 'friend:will', patch: [{ op: 'add', path: '/properties/location', value: 'Paris' }] },
      { op: 'create', type: 'friend', key: 'ross', properties: {} },
      { op: 'delete', id: 'friend:carlton' },
    ],
  },
});
told.batched = [batched.response.status, batched.data?.items.map(({ op, entity }) => [op, entity?.tick])];
const undone = await client.POST('/activities/{id}/revert', {
  params: { path: { id: batched.data?.activity?.id ?? '' } },
  body: { onConflict: 'skip' },
});
told.undone = [undone.response.status, undone.data?.conflictCount, undone.data?.items.length];
const refused = await client.POST('/batch', { body: { operations: [{ op: 'restore', id: 'friend:nobody' }] } });
told.refused = [refused.response.status, codeOf(refused.error), refused.error?.errors?.[0]?.path];

process.stdout.write(JSON.stringify(told));
