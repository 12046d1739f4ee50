import { createClient } from './hey-api/client/index.js';
import {
  createEntity,
  deleteEntity,
  type EntityList,
  type ProblemCode,
  patchEntity,
  putEntity,
  type ReadEntitiesData,
  readEntities,
  readEntity,
  readHistory,
  readPropertyHistory,
  restoreEntity,
  revertActivity,
  type SnapshotPage,
  type WrittenEntity,
  writeBatch,
} from './hey-api/index.js';

/* A caller whose types and functions @hey-api/openapi-ts makes of openapi.yaml. */

const client = createClient({ baseUrl: process.argv[2] ?? '' });
const told: Record<string, unknown> = {};

const path = { id: 'friend:rachel' };
const made = await createEntity({
  client,
  body: { type: 'friend', key: 'rachel', properties: { name: 'Rachel', location: 'New York' } },
});
/** Without a body where the caller prefers that. */
const created: WrittenEntity | undefined = made.data || undefined;
told.created = [made.response?.status, created?.tick, created?.properties];

const merged = await patchEntity({
  client,
  path,
  headers: { 'if-match': made.response?.headers.get('etag') ?? '' },
  body: { properties: { location: 'San Francisco' }, activity: { actor: 'monica' } },
});
told.merged = [merged.response?.status, (merged.data || undefined)?.properties.location];

const patched = await patchEntity({
  client,
  path,
  body: [{ op: 'replace', path: '/properties/location', value: 'Oakland' }],
});
told.patched = [patched.response?.status, (patched.data || undefined)?.properties.location];

const dry = await patchEntity({ client, path, query: { dryRun: true }, body: { properties: { location: 'Tucson' } } });
const foretold = dry.data || undefined;
told.dry = [dry.response?.status, foretold?.preview?.op, foretold?.properties.location, foretold?.tick];

const then = await readEntity({ client, path, query: { asOf: 1, fields: ['location', 'a,b'] } });
told.asOf = [then.response?.status, then.data?.properties];
const byInstant = await readEntity({ client, path, query: { asOf: created?.createdAt ?? '' } });
told.asOfInstant = [byInstant.response?.status, byInstant.data?.tick];

const known = await readEntity({ client, path, headers: { 'if-none-match': '"3"' } });
told.known = known.response?.status;

for (const key of ['will', 'carlton'])
  await putEntity({ client, path: { id: `friend:${key}` }, body: { type: 'friend', properties: {} } });
const keys: (string | undefined)[] = [];
for (let cursor: string | null | undefined = ''; typeof cursor === 'string'; ) {
  const query: ReadEntitiesData['query'] = { type: 'friend', limit: 2, ...(cursor === '' ? {} : { cursor }) };
  const data: SnapshotPage | EntityList | undefined = (await readEntities({ client, query })).data;
  if (!data || 'missing' in data) break;
  keys.push(...data.items.map(({ key }) => key));
  cursor = data.next;
}
told.pages = keys;

const ranges = await readPropertyHistory({
  client,
  path: { ...path, property: 'location' },
  query: { order: 'desc', limit: 1 },
});
told.range = ranges.data?.items.map(({ value, vclock, activity }) => [value, vclock.from, activity?.actor ?? null]);
const ticks = await readHistory({ client, path, query: { from: 2, to: 3 } });
told.changes = ticks.data?.items.map(({ op, changes }) => [op, changes?.location?.from, changes?.location?.to]);

const codeOf = (error: { code: ProblemCode } | undefined): ProblemCode | undefined => error?.code;
const taken = await createEntity({ client, body: { type: 'friend', key: 'rachel', properties: {} } });
told.taken = [taken.response?.status, codeOf(taken.error)];
const stale = await deleteEntity({ client, path, headers: { 'if-match': '"1"' } });
told.stale = [stale.response?.status, codeOf(stale.error)];
const deleted = await deleteEntity({ client, path });
told.deleted = deleted.response?.status;
const gone = await readEntity({ client, path });
told.gone = [gone.response?.status, codeOf(gone.error), gone.error?.tick];
const restored = await restoreEntity({ client, path });
told.restored = [restored.response?.status, (restored.data || undefined)?.properties.location];

const batched = await writeBatch({
  client,
  body: {
    activity: { actor: 'joey' },
    operations: [
      {
        op: 'patch',
        id: 'friend:rachel',
        properties: { location: 'Paris' },
        ifMatch: (restored.data || undefined)?.tick ?? 0,
      },
      { op: 'patch', id: 'friend:will', patch: [{ op: 'add', path: '/properties/location', value: 'Paris' }] },
      { op: 'create', type: 'friend', key: 'ross', properties: {} },
      { op: 'delete', id: 'friend:carlton' },
    ],
  },
});
told.batched = [batched.response?.status, batched.data?.items.map(({ op, entity }) => [op, entity?.tick])];
const undone = await revertActivity({
  client,
  path: { id: batched.data?.activity?.id ?? '' },
  body: { onConflict: 'skip' },
});
told.undone = [undone.response?.status, undone.data?.conflictCount, undone.data?.items.length];
const refused = await writeBatch({ client, body: { operations: [{ op: 'restore', id: 'friend:nobody' }] } });
told.refused = [refused.response?.status, codeOf(refused.error), refused.error?.errors?.[0]?.path];

process.stdout.write(JSON.stringify(told));
