import {
  ClocktickProblem,
  clocktick,
  type Entity,
  type Outcome,
  type Point,
  type Tick,
  type WrittenEntity,
} from 'clocktick/client';

/* Calls that must not compile. Nothing of this is ever run. */

// @ts-expect-error: where is the service?
clocktick({});
// @ts-expect-error: it is baseUrl
clocktick({ baseURL: 'http://localhost:3000' });

const service = clocktick({ baseUrl: 'http://localhost:3000' });
const { entities, types, activities, batch, at } = service;
const RACHEL = 'friend:rachel';
const friend = { type: 'friend', properties: {} };

/* Reads */

// @ts-expect-error: which entity?
entities.get();
// @ts-expect-error: an id is a text
entities.get(7);
// @ts-expect-error: it is asOf
entities.get(RACHEL, { asof: 1 });
// @ts-expect-error: no Date: it has no microseconds
entities.get(RACHEL, { asOf: new Date() });
// @ts-expect-error: it is provenance
entities.get(RACHEL, { include: 'provenence' });
// @ts-expect-error: a signal is an AbortSignal
entities.get(RACHEL, {}, { signal: 'stop' });
// @ts-expect-error: where it is known already, there is no entity
entities.get(RACHEL, {}, { ifNoneMatch: 3 }).then((entity) => entity.tick);
// @ts-expect-error: a limit is a number
entities.list({ type: 'friend', limit: 'ten' });
// @ts-expect-error: entities by their ids are many()
entities.list({ ids: [RACHEL] });
// @ts-expect-error: a collection is as of an instant
entities.list({ type: 'friend', asOf: 3 });
// @ts-expect-error: there is no such operator
entities.list({ type: 'friend', where: { age: { greater: 3 } } });
// @ts-expect-error: two instants
entities.list({ type: 'friend', changedBetween: ['2016-01-08T00:00:00Z'] });
// @ts-expect-error: a list is read item by item, asynchronously
for (const _ of entities.list({ type: 'friend' })) break;
// @ts-expect-error: a list is no promise of a page
entities.list({ type: 'friend' }).then(({ items }) => items);
// @ts-expect-error: asc or desc
entities.history(RACHEL, { order: 'up' });
// @ts-expect-error: from when?
entities.diff(RACHEL, { to: 2 });
// @ts-expect-error: at which moments?
entities.compare(RACHEL, {});
// @ts-expect-error: counts are at instants
types.counts('friend', 'location', { at: 3 });
// @ts-expect-error: it is actor
activities.search({ actors: 'monica' });

/* As of a point */

// @ts-expect-error: a tick is of one entity
at(3).entities.list({ type: 'friend' });
// @ts-expect-error: … and of no export
at(3).export();
declare const point: Point;
// @ts-expect-error: it may be a tick
at(point).entities.list({ type: 'friend' });
// @ts-expect-error: nobody changes the past
at('2016-01-08T00:00:00Z').entities.put(RACHEL, friend);

/* Writes */

// @ts-expect-error: which properties?
entities.create({ type: 'friend' });
// @ts-expect-error: what is not a field belongs into properties
entities.create({ type: 'friend', properties: {}, name: 'Rachel' });
// @ts-expect-error: a condition names a tick
entities.put(RACHEL, friend, { ifMatch: '"3"' });
// @ts-expect-error: it is ifMatch
entities.put(RACHEL, friend, { ifmatch: 3 });
// @ts-expect-error: one condition
entities.delete(RACHEL, { ifMatch: 3, ifNoneMatch: '*' });
declare const maybe: number | undefined;
// @ts-expect-error: whether there is a condition decides what the call answers
entities.delete(RACHEL, { ifMatch: maybe });
// @ts-expect-error: a definition may not refuse what is new
entities.patch(RACHEL, { properties: {} }, { evenIfInvalid: true });
// @ts-expect-error: there is no such operation
entities.patch(RACHEL, [{ op: 'set', path: '/properties/name', value: 1 }]);
// @ts-expect-error: an operation has a path
entities.patch(RACHEL, [{ op: 'remove' }]);
// @ts-expect-error: to which point?
entities.revert(RACHEL, {});
// @ts-expect-error: the API makes no create of one that has an id
batch({ operations: [{ op: 'create', id: RACHEL, ...friend }] });
// @ts-expect-error: what does it change?
batch({ operations: [{ op: 'patch', id: RACHEL }] });
// @ts-expect-error: one of the two
batch({ operations: [{ op: 'patch', id: RACHEL, properties: {}, patch: [] }] });
// @ts-expect-error: conditions stand in the operations
batch({ operations: [] }, { ifMatch: 3 });
// @ts-expect-error: refuse, skip or force
activities.revert('01a1fbba-b75f-7646-92a3-d4a3c62ecb9b', { onConflict: 'ignore' });
// @ts-expect-error: a definition has a schema
types.put('friend', { properties: {} });

/* What they answer */

// @ts-expect-error: an outcome is no entity
const entity: WrittenEntity = await entities.put(RACHEL, friend, { ifMatch: 3 });
// @ts-expect-error: without a condition it is no outcome
const outcome: Outcome<WrittenEntity> = await entities.patch(RACHEL, { properties: {} });
const moved = await entities.patch(RACHEL, { properties: {} }, { ifMatch: 3 });
// @ts-expect-error: is it done?
moved.entity.tick;
// @ts-expect-error: it is not done, so there is no entity
if (!moved.done) moved.entity;
declare const read: Entity;
// @ts-expect-error: a value is any JSON
read.properties.name?.length;
// @ts-expect-error: it is provenance
read.provenence;
declare const tick: Tick;
// @ts-expect-error: created, updated, deleted or restored
tick.op === 'changed';
declare const error: unknown;
// @ts-expect-error: there is no such code
error instanceof ClocktickProblem && error.code === 'entity_not_fund';

/* Lines */

// @ts-expect-error: under which name?
service.import([], {});
// @ts-expect-error: a line has a key or an id
service.import([friend], { source: 'crm' });
// @ts-expect-error: only one of them
service.import([{ ...friend, key: 'rachel', id: 'd41c5940-486f-5b3d-aa97-33d61a8749b5' }], { source: 'crm' });
// @ts-expect-error: tables are bytes
service.export({ type: 'friend', format: 'csv' });

void [entity, outcome];
