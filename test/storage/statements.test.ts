import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import postgres from 'postgres';
import t, { type Test } from 'tap';
import { readActivity, recordActivity, requireActivity } from '../../src/storage/activities.js';
import { type ActivitySearch, searchActivities } from '../../src/storage/activity-search.js';
import { writeBatch } from '../../src/storage/batch.js';
import { written } from '../../src/storage/changes.js';
import { type Collection, readPage } from '../../src/storage/collections.js';
import { readComparedPage, readComparison } from '../../src/storage/compare.js';
import { countValues } from '../../src/storage/counts.js';
import { readDefinitions } from '../../src/storage/definitions.js';
import { readDiff } from '../../src/storage/diff.js';
import { listEntities } from '../../src/storage/entities-by-id.js';
import { type Export, exportPages } from '../../src/storage/exports/exports.js';
import { readTickLines } from '../../src/storage/exports/ticks.js';
import { healthOf } from '../../src/storage/health.js';
import { impactOf, impactSince } from '../../src/storage/impact.js';
import { readKnown } from '../../src/storage/known.js';
import { readMementos } from '../../src/storage/mementos.js';
import { readNested } from '../../src/storage/nested.js';
import { readNewest, readOldest } from '../../src/storage/pins.js';
import { readProvenance } from '../../src/storage/provenance.js';
import { readRangeAsOf, readRanges } from '../../src/storage/ranges.js';
import { engine, type Storage } from '../../src/storage/storage.js';
import { readTicks } from '../../src/storage/ticks.js';
import { readTypeRanges } from '../../src/storage/type-history.js';
import { readTypes } from '../../src/storage/types.js';
import { undoActivity } from '../../src/storage/undo.js';
import type { Operation } from '../../src/temporal/batch.js';
import { newActivity, update } from '../../src/temporal/change.js';
import type { Change } from '../../src/temporal/entity.js';
import type { Operator, Predicate } from '../../src/temporal/filter.js';
import type { Json, JsonObject } from '../../src/temporal/json.js';
import { testDatabase } from '../helper/database.js';
import { activityOf, endOfDay, instantOf, person, writePast } from '../helper/past.js';
import { explain, watchedStorage } from '../helper/plans.js';
import { planText, readPlan, statementText } from '../helper/statements.js';

/*
 * Every statement that the storage sends to read, and the one that writes, stands in a file as it is sent, ready for psql,
 * with its plan. Whoever changes one sees in the file what became of it: UPDATE_STATEMENTS=1 writes the files anew.
 */
const FOLDER = new URL('../fixtures/statements/', import.meta.url);
const SOURCE = new URL('../../src/storage/', import.meta.url);
/** Other servers plan otherwise. */
const PLANNED_BY = 18;

const id = person(7);
const later = person(100);
const afterLater = { type: 'person', key: 'p100', id: later };
const middle = endOfDay(6);
const early = endOfDay(2);
/** Nothing in the past comes after it, nor was anything recorded later. */
const end = '2100-01-01T00:00:00.000000Z';
const pin = { asOf: end, recordedAsOf: end };
const then = { asOf: middle, recordedAsOf: end };

const is = (property: string, operator: Operator, operand: Json): Predicate => ({ property, operator, operand });
const people: Collection = {
  type: 'person',
  keyPrefix: null,
  deleted: 'exclude',
  where: [],
  everHad: [],
  changedAfter: null,
};
const everything = { from: null, to: null };
const first = { until: null, after: null, order: 'asc', limit: 5 } as const;
const ticks = { id, properties: null, ...everything, withChanges: true };
const page = { after: null, limit: 5, fields: null, withChanges: false };
const history = { after: null, limit: 5 };
const activities: ActivitySearch = {
  actor: null,
  actorPrefix: null,
  reason: null,
  from: null,
  to: null,
  importId: null,
  type: null,
  entityId: null,
  properties: null,
};
const newest = { after: null, limit: 5 };
/** A definition that takes anything. */
const ANYTHING = { check: () => [], withDefaults: (properties: JsonObject) => properties };
const within = { from: early, to: middle };

/** A batch that changes two people, and goes back with one of them. */
const operations = [
  batched(id, (current) => (current ? update(current, { city: 'city 0' }, null) : null)),
  { ...batched(later, () => null), needs: { tick: 3 } },
];

function batched(id: string, decide: Operation['decide']): Operation {
  return { id, type: 'person', ifMatch: null, label: 'thing', size: () => 0, needs: null, isReturn: false, decide };
}

const inTheDryRun = { evenIfInvalid: false, dryRun: true };
const undoing = {
  ...inTheDryRun,
  id: activityOf(3),
  activity: newActivity({ actor: 'Ross' }),
  onConflict: 'refuse',
} as const;

/** A person before a change, and the change. */
const before = {
  id,
  type: 'person',
  key: 'p007',
  tick: 12,
  deleted: false,
  createdAt: instantOf(7, 1),
  updatedAt: instantOf(7, 12),
  properties: '{}',
  untracked: null,
};
const moved = {
  id,
  type: 'person',
  key: 'p007',
  expected: 12,
  op: 'updated',
  activity: null,
  set: { city: 'city 0', nick: 'seven' },
  clear: ['age'],
} as const satisfies Change;

/** Reads the first page of an export after a place, or all of them. */
async function exported(db: Storage, asked: Export, at = pin, after: string[] | null = null): Promise<void> {
  for await (const _ of exportPages(db, asked, at, after)) if (after) return;
}
const table = { type: 'person', of: 'states', cells: true, fields: ['city', 'tags'] } as const;
const allRanges = { type: 'person', of: 'ranges', cells: false, fields: null } as const;
const someRanges = { type: 'person', of: 'ranges', cells: true, fields: ['age'] } as const;

/**
 * Which file, what the statement answers, which function of which file of src/storage sends it, and a call that does: the
 * file shows the first statement of the call that no file above it shows. Statements of the same text have one file.
 */
const cases: [name: string, answers: string, by: string, call: (db: Storage) => Promise<unknown>][] = [
  [
    'stable-instant',
    'How far the clock is settled.',
    'stableInstantOf of engine/stable-instant.ts',
    (db) => db[engine].stableInstant.newest(),
  ],
  [
    'schema-version',
    'Which version of the schema the database was brought up to date with.',
    'readApplied of health.ts',
    (db) => healthOf(db, () => {}).check(),
  ],
  [
    'entity-now',
    'Entities as they are now, as many as were asked for at the same time.',
    'readEntitiesNow of entities.ts',
    (db) => Promise.all([7, 8, 9].map((n) => db[engine].entityNow({ id: person(n), fields: null }))),
  ],
  [
    'entity-now-fields',
    'Entities as they are now, of some of them only some properties.',
    'readEntitiesNow of entities.ts',
    (db) =>
      Promise.all([
        db[engine].entityNow({ id, fields: ['city', 'name'] }),
        db[engine].entityNow({ id: later, fields: null }),
      ]),
  ],
  [
    'entity-then',
    'Entities each as of a tick or an instant, of some of them only some properties.',
    'readEntitiesThen of entities.ts',
    (db) =>
      Promise.all([
        db[engine].entityThen({ id, fields: null, point: { tick: 3 } }),
        db[engine].entityThen({ id: later, fields: ['city'], point: { instant: middle } }),
      ]),
  ],
  [
    'known',
    'The last ticks of entities that had been recorded by an instant. (All of the past was imported later.)',
    'readKnown of known.ts',
    (db) => readKnown(db, [later, id], middle),
  ],
  [
    'list-now',
    'Many entities as they are now, in the order in which they were asked for.',
    'listEntities of entities-by-id.ts',
    (db) => listEntities(db, [later, id], null, { fields: ['city'], recordedAsOf: null }),
  ],
  [
    'list-then',
    'Many entities as of an instant, in the order in which they were asked for.',
    'listEntities of entities-by-id.ts',
    (db) => listEntities(db, [later, id], { instant: middle }, { fields: null, recordedAsOf: null }),
  ],
  [
    'list-known',
    'Many entities as of an instant, in the order in which they were asked for, each no later than what was recorded of it by another.',
    'listEntities of entities-by-id.ts',
    (db) => listEntities(db, [later, id], { instant: middle }, { fields: null, recordedAsOf: early }),
  ],
  [
    'list-provenance',
    'Many entities as they are now, each with who set what of it, in the order in which they were asked for.',
    'listEntities of entities-by-id.ts',
    (db) => listEntities(db, [later, id], null, { fields: null, withProvenance: true, recordedAsOf: null }),
  ],
  [
    'list-provenance-then',
    'Many entities as of an instant, each with who set some properties, in the order in which they were asked for.',
    'listEntities of entities-by-id.ts',
    (db) =>
      listEntities(
        db,
        [later, id],
        { instant: middle },
        { fields: ['city', 'name'], withProvenance: true, recordedAsOf: null },
      ),
  ],
  [
    'provenance',
    'An entity, with who set what of it.',
    'readProvenance of provenance.ts',
    (db) => readProvenance(db, { id, fields: null }, null),
  ],
  [
    'provenance-then',
    'An entity as of an instant, with who had set some of its properties.',
    'readProvenance of provenance.ts',
    (db) => readProvenance(db, { id, fields: ['city', 'age', 'name'] }, { instant: middle }),
  ],
  [
    'mementos-around',
    'Of states the mementos around them: the first, the last, and those before and after.',
    'readMementosAround of mementos.ts',
    (db) => db[engine].mementosAround({ id, tick: 6, until: 12 }),
  ],
  [
    'mementos',
    'A page of the mementos of an entity: a TimeMap.',
    'readMementos of mementos.ts',
    (db) => readMementos(db, id, { after: 2, until: null, limit: 5 }),
  ],
  [
    'mementos-known',
    'A page of the mementos of an entity that were recorded by an instant.',
    'readMementos of mementos.ts',
    (db) => readMementos(db, id, { after: 2, until: 9, limit: 5 }),
  ],
  [
    'ranges',
    'The first page of the ranges of a property, oldest first.',
    'readRanges of ranges.ts',
    (db) => readRanges(db, id, 'city', everything, first),
  ],
  [
    'ranges-next',
    'The next page of the ranges of a property.',
    'readRanges of ranges.ts',
    (db) => readRanges(db, id, 'city', everything, { ...first, until: 12, after: 5 }),
  ],
  [
    'ranges-newest-first',
    'The next page of the ranges of a property, newest first.',
    'readRanges of ranges.ts',
    (db) => readRanges(db, id, 'city', everything, { ...first, order: 'desc', until: 12, after: 8 }),
  ],
  [
    'ranges-between-ticks',
    'The ranges of a property that overlap a window of ticks.',
    'readRanges of ranges.ts',
    (db) => readRanges(db, id, 'age', { from: { tick: 4 }, to: { tick: 8 } }, first),
  ],
  [
    'ranges-between-instants',
    'The ranges of a property that overlap a window of instants.',
    'readRanges of ranges.ts',
    (db) => readRanges(db, id, 'age', { from: { instant: early }, to: { instant: middle } }, first),
  ],
  [
    'range-at-tick',
    'The range of a property that contains a tick.',
    'readRangeAsOf of ranges.ts',
    (db) => readRangeAsOf(db, id, 'age', { tick: 4 }, null),
  ],
  [
    'range-at-instant',
    'The range of a property that contains an instant.',
    'readRangeAsOf of ranges.ts',
    (db) => readRangeAsOf(db, id, 'age', { instant: middle }, null),
  ],
  [
    'ticks',
    'The first page of the ticks of an entity, with what each changed.',
    'readTicks of ticks.ts',
    (db) => readTicks(db, ticks, first),
  ],
  [
    'ticks-without-changes',
    'The first page of the ticks of an entity, without what each changed: no range is read.',
    'readTicks of ticks.ts',
    (db) => readTicks(db, { ...ticks, withChanges: false }, first),
  ],
  [
    'ticks-newest-first',
    'The next page of the ticks of an entity, newest first.',
    'readTicks of ticks.ts',
    (db) => readTicks(db, ticks, { ...first, order: 'desc', until: 12, after: 8 }),
  ],
  [
    'ticks-between-instants',
    'The ticks of an entity in a window of instants.',
    'readTicks of ticks.ts',
    (db) => readTicks(db, { ...ticks, from: { instant: early }, to: { instant: middle } }, first),
  ],
  [
    'ticks-touching',
    'The ticks of an entity that touched some properties, from a tick on.',
    'readTicks of ticks.ts',
    (db) => readTicks(db, { ...ticks, properties: ['age', 'tags'], from: { tick: 3 } }, first),
  ],
  [
    'ticks-touching-without-changes',
    'The ticks of an entity that touched some properties, without what each changed.',
    'readTicks of ticks.ts',
    (db) => readTicks(db, { ...ticks, properties: ['age', 'tags'], withChanges: false }, first),
  ],
  [
    'ticks-touching-newest-first',
    'The next page of the ticks of an entity that touched some properties, newest first.',
    'readTicks of ticks.ts',
    (db) => readTicks(db, { ...ticks, properties: ['age', 'tags'] }, { ...first, order: 'desc', until: 12, after: 9 }),
  ],
  [
    'diff-of-ticks',
    'What differs between two ticks of an entity.',
    'readDiff of diff.ts',
    (db) => readDiff(db, id, { from: { tick: 2 }, to: { tick: 7 } }, null),
  ],
  [
    'diff-of-instants',
    'What differs between two instants of an entity.',
    'readDiff of diff.ts',
    (db) => readDiff(db, id, { from: { instant: early }, to: { instant: middle } }, null),
  ],
  [
    'diff-until-now',
    'What differs between an instant of an entity and now.',
    'readDiff of diff.ts',
    (db) => readDiff(db, id, { from: { instant: middle }, to: null }, null),
  ],
  [
    'comparison',
    'Several states of an entity, side by side: at ticks, an instant and now.',
    'readComparison of compare.ts',
    (db) =>
      readComparison(
        db,
        id,
        { at: [{ tick: 7 }, { instant: early }, null, { tick: 7 }], fields: null, isDiffering: false },
        null,
      ),
  ],
  [
    'comparison-differing',
    'Of several states of an entity, only what differs, and only of some properties.',
    'readComparison of compare.ts',
    (db) =>
      readComparison(db, id, { at: [{ tick: 2 }, { tick: 7 }], fields: ['city', 'name'], isDiffering: true }, null),
  ],
  [
    'nested',
    'An entity with the newest ranges of some of its properties.',
    'readNested of nested.ts',
    (db) => readNested(db, { id, fields: ['name'], of: ['city', 'age'] }, null),
  ],
  [
    'nested-all',
    'An entity as of an instant, with the newest ranges of all properties that it had had by then.',
    'readNested of nested.ts',
    // One that was deleted and is back, so that some of its properties have only closed ranges.
    (db) => readNested(db, { id: person(20), fields: null, of: null }, { instant: endOfDay(11) }),
  ],
  [
    'nested-provenance',
    'An entity as of an instant, with the newest ranges of a property, and with who had set what.',
    'readNested of nested.ts',
    (db) => readNested(db, { id, fields: null, of: ['city'], withProvenance: true }, { instant: middle }),
  ],
  [
    'page',
    'The first page of the entities of a type.',
    'readPage of collections.ts',
    (db) => readPage(db, people, pin, page),
  ],
  [
    'page-next',
    'The next page of the entities of a type, as of an instant.',
    'readPage of collections.ts',
    (db) => readPage(db, people, then, { ...page, after: afterLater }),
  ],
  [
    'page-key-prefix',
    'The first page of the entities of a type whose keys begin so.',
    'readPage of collections.ts',
    (db) => readPage(db, { ...people, keyPrefix: 'p10' }, pin, { ...page, fields: ['city'] }),
  ],
  [
    'page-all-types',
    'The first page of all deleted entities.',
    'readPage of collections.ts',
    (db) => readPage(db, { ...people, type: null, deleted: 'only' }, pin, page),
  ],
  [
    'page-all-types-next',
    'The next page of the entities of all types.',
    'readPage of collections.ts',
    (db) => readPage(db, { ...people, type: null, deleted: 'include' }, pin, { ...page, after: afterLater }),
  ],
  [
    'page-where',
    'The first page of the entities of a type of which conditions hold as of an instant.',
    'readPage of collections.ts',
    (db) => {
      const where = [
        is('city', 'eq', 'city 4'),
        is('city', 'in', ['city 3', 'city 4']),
        is('name', 'ne', 'name 1'),
        is('age', 'gte', 21),
        is('name', 'lt', 'name 99'),
        is('tags', 'has', 'late'),
        is('prices', 'hasKey', 'EUR'),
        is('nick', 'exists', false),
      ];
      return readPage(db, { ...people, where }, then, page);
    },
  ],
  [
    'page-where-next',
    'The next page of the entities of a type of which a condition holds.',
    'readPage of collections.ts',
    (db) => readPage(db, { ...people, where: [is('age', 'gt', 60)] }, pin, { ...page, after: afterLater }),
  ],
  [
    'page-where-all-types',
    'The first page of the entities of all types of which a condition holds.',
    'readPage of collections.ts',
    (db) => readPage(db, { ...people, type: null, where: [is('name', 'eq', 'name 7')] }, pin, page),
  ],
  [
    'page-ever-had',
    'The first page of the entities of a type of which conditions have ever held.',
    'readPage of collections.ts',
    (db) => readPage(db, { ...people, everHad: [is('tags', 'has', 'early'), is('city', 'eq', 'city 4')] }, pin, page),
  ],
  [
    'page-changed-between',
    'The first page of the entities of a type that changed after an instant and until another, each with what differs.',
    'readPage of collections.ts',
    (db) => readPage(db, { ...people, changedAfter: early }, then, { ...page, withChanges: true }),
  ],
  [
    'page-provenance',
    'The first page of the entities of a type as of an instant, each with who had set what.',
    'readPage of collections.ts',
    (db) => readPage(db, people, then, { ...page, withProvenance: true }),
  ],
  [
    'page-filtered',
    'The first page of the entities of a type that pass a filter of every kind.',
    'readPage of collections.ts',
    (db) => {
      const filter = { where: [is('city', 'eq', 'city 4')], everHad: [is('tags', 'has', 'early')] };
      return readPage(db, { ...people, ...filter, changedAfter: early }, then, page);
    },
  ],
  [
    'page-compared',
    'The first page of the entities of a type, each as of several instants.',
    'readComparedPage of compare.ts',
    (db) =>
      readComparedPage(
        db,
        { ...people, type: 'person' },
        { at: [early, middle, null], fields: null, isDiffering: false },
        pin,
        { after: null, limit: 5 },
      ),
  ],
  [
    'page-compared-where',
    'The next page of the entities of a type that passed a filter at the last of several instants: of each what differs.',
    'readComparedPage of compare.ts',
    (db) =>
      readComparedPage(
        db,
        { ...people, type: 'person', where: [is('city', 'eq', 'city 4')] },
        { at: [null, middle], fields: null, isDiffering: true },
        pin,
        { after: afterLater, limit: 5 },
      ),
  ],
  [
    'type-history',
    'The first page of the ranges of a property of the entities of a type.',
    'readTypeRanges of type-history.ts',
    (db) => readTypeRanges(db, { ...people, type: 'person' }, 'city', everything, pin, history),
  ],
  [
    'type-history-next',
    'The next page of the ranges of a property of the entities of a type.',
    'readTypeRanges of type-history.ts',
    (db) =>
      readTypeRanges(db, { ...people, type: 'person' }, 'city', everything, pin, {
        ...history,
        after: { key: 'p100', id: later, from: 4 },
      }),
  ],
  [
    'type-history-between',
    'The ranges of a property of the entities of a type that overlap a window of instants.',
    'readTypeRanges of type-history.ts',
    (db) => readTypeRanges(db, { ...people, type: 'person' }, 'age', within, pin, history),
  ],
  [
    'type-history-where',
    'The ranges of a property of the entities of a type of which a condition holds.',
    'readTypeRanges of type-history.ts',
    (db) =>
      readTypeRanges(
        db,
        { ...people, type: 'person', where: [is('city', 'eq', 'city 4')] },
        'age',
        everything,
        then,
        history,
      ),
  ],
  [
    'counts-at-few-instants',
    'How many entities of a type held each value of a property, at few instants: the state of each is looked up.',
    'countValues of counts.ts',
    (db) => countValues(db, { type: 'person', property: 'city', most: 5 }, [early, middle], end),
  ],
  [
    'counts-at-many-instants',
    'How many entities of a type held each value of a property, at many instants: each range is read once.',
    'countValues of counts.ts',
    (db) => countValues(db, { type: 'person', property: 'city', most: 5 }, [2, 4, 6, 8, 10].map(endOfDay), end),
  ],
  [
    'newest',
    'The newest change that a snapshot of a type shows.',
    'readNewest of pins.ts',
    (db) => readNewest(db, 'person', then),
  ],
  [
    'newest-of-all-types',
    'The newest change that a snapshot of all types shows.',
    'readNewest of pins.ts',
    (db) => readNewest(db, null, then),
  ],
  [
    'oldest',
    'The instant of the first change of the entities of a type.',
    'readOldest of pins.ts',
    (db) => readOldest(db, 'person', end),
  ],
  [
    'oldest-of-all-types',
    'The instant of the first change of all entities.',
    'readOldest of pins.ts',
    (db) => readOldest(db, null),
  ],
  [
    'activity-known',
    'Whether an activity is recorded.',
    'requireActivity of activities.ts',
    (db) => requireActivity(db, activityOf(3)),
  ],
  [
    'activity',
    'An activity.',
    'readActivity of activities.ts',
    (db) => readActivity(db, activityOf(3), { after: null, limit: 5 }),
  ],
  [
    'activity-ticks',
    'The first page of the ticks that an activity made.',
    'readActivity of activities.ts',
    (db) => readActivity(db, activityOf(3), { after: null, limit: 5 }),
  ],
  [
    'activity-ticks-next',
    'The next page of the ticks that an activity made.',
    'readActivity of activities.ts',
    (db) => readActivity(db, activityOf(3), { after: id, limit: 5 }),
  ],
  [
    'activity-changes',
    'The next page of the ticks that an activity made, with what each changed.',
    'readChanges of activities.ts',
    (db) => readActivity(db, activityOf(3), { after: id, limit: 5, withChanges: true }),
  ],
  [
    'activities',
    'The first page of all activities, newest first.',
    'searchActivities of activity-search.ts',
    (db) => searchActivities(db, activities, newest),
  ],
  [
    'activities-of-actor',
    'The next page of the activities of an actor since an instant.',
    'searchActivities of activity-search.ts',
    (db) =>
      searchActivities(
        db,
        { ...activities, actor: 'mover 3', from: early },
        { after: { recordedAt: end, id: activityOf(3) }, limit: 5 },
      ),
  ],
  [
    'activities-of-actors',
    'The first page of the activities of all actors whose names begin so, recorded in a window of instants.',
    'searchActivities of activity-search.ts',
    (db) => searchActivities(db, { ...activities, actorPrefix: 'mover 99', from: early, to: end }, newest),
  ],
  [
    'activities-with-words',
    'The first page of the activities whose reasons have all words.',
    'searchActivities of activity-search.ts',
    (db) => searchActivities(db, { ...activities, reason: 'Day 7' }, newest),
  ],
  [
    'activities-of-entity',
    'The first page of the activities that ticked an entity, and changed one of two properties by that.',
    'searchActivities of activity-search.ts',
    (db) => searchActivities(db, { ...activities, entityId: id, properties: ['age', 'tags'] }, newest),
  ],
  [
    'activities-of-type',
    'The first page of the activities of an import that ticked an entity of a type.',
    'searchActivities of activity-search.ts',
    (db) => searchActivities(db, { ...activities, type: 'person', importId: activityOf(1) }, newest),
  ],
  [
    'activities-by-all',
    'The first page of the activities that all of it is asked of.',
    'searchActivities of activity-search.ts',
    (db) =>
      searchActivities(
        db,
        {
          ...activities,
          actorPrefix: 'mover',
          reason: 'day',
          from: early,
          to: end,
          type: 'person',
          entityId: id,
          properties: ['city'],
        },
        newest,
      ),
  ],
  [
    'export-types',
    'The types that an export of all of them shows.',
    'readTypes of exports/exports.ts',
    (db) => exported(db, { type: null, of: 'ticks' }, pin, ['zzz']),
  ],
  [
    'export-states',
    'A page of the states of a type, as lines of an import.',
    'readLightPage of collections.ts',
    (db) => exported(db, { type: 'person', of: 'states', cells: false }, then),
  ],
  [
    'export-table',
    'The next page of some properties of a type, as a table.',
    'readLightPage of collections.ts',
    (db) => exported(db, table, then, ['person', 'p100', later]),
  ],
  [
    'export-found-ticks',
    'The first ticks of a type, in the order of time.',
    'findTicks of exports/ticks.ts',
    (db) => exported(db, { type: 'person', of: 'ticks' }, then),
  ],
  [
    'export-found-ticks-next',
    'The next ticks of a type, in the order of time.',
    'findTicks of exports/ticks.ts',
    (db) => exported(db, { type: 'person', of: 'ticks' }, then, ['person', early, later]),
  ],
  [
    'export-ticks',
    'Ticks with what they set and clear, as lines of an import.',
    'readTickLines of exports/ticks.ts',
    (db) =>
      readTickLines(
        db,
        [1, 2, 6, 11].map((day) => ({ at: instantOf(100, day), id: later, tick: day })),
      ),
  ],
  [
    'export-ranges',
    'A page of the ranges of a type.',
    'readRangesPage of exports/ranges.ts',
    (db) => exported(db, allRanges, then),
  ],
  [
    'export-ranges-next',
    'The next page of the ranges of a type, which begins in the middle of an entity.',
    'readRangesPage of exports/ranges.ts',
    (db) => exported(db, allRanges, then, ['person', 'p100', later, 'city', '2']),
  ],
  [
    'export-ranges-table',
    'The next page of the ranges of some properties of a type, as a table.',
    'readRangesPage of exports/ranges.ts',
    (db) => exported(db, someRanges, then, ['person', 'p100', later]),
  ],
  [
    'types',
    'A page of the types that there are, with how many entities each has had.',
    'readTypes of types.ts',
    (db) => readTypes(db, { after: 'movie', limit: 5 }),
  ],
  [
    'definitions',
    'The definitions of all types, if they are not too many.',
    'readDefinitions of definitions.ts',
    (db) => readDefinitions(db, { most: 10, bytes: 100_000 }),
  ],
  [
    'impact',
    'A page of the living entities of a type, to be checked by a definition.',
    'readPage of impact.ts',
    (db) => impactOf(db, 'person', ANYTHING, undefined),
  ],
  [
    'impact-since',
    'The entities of a type that were written since all of it was checked.',
    'impactSince of impact.ts',
    (db) =>
      db[engine].exporting((sql) =>
        impactSince(sql, 'person', ANYTHING, { checked: 0, invalid: 0, examples: [], until: instantOf(7, 11) }),
      ),
  ],
  [
    'batch-states',
    'The entities of a batch as they are now, as many as are read at once.',
    'readStates of batch.ts',
    (db) => writeBatch(db, { ...inTheDryRun, operations, activity: null }),
  ],
  [
    'batch-past',
    'States that a batch goes back to.',
    'readPast of batch.ts',
    (db) => writeBatch(db, { ...inTheDryRun, operations, activity: null }),
  ],
  [
    'undo-count',
    'How many ticks an activity made, of those that can be undone at once.',
    'refuseTooMany of undo.ts',
    (db) => undoActivity(db, undoing),
  ],
  [
    'undo-ticks',
    'Ticks of an activity with what each changed, and which tick changed that last.',
    'readSome of undo.ts',
    (db) => undoActivity(db, undoing),
  ],
  [
    'write',
    'Applies changes: one of an entity that is at the tick it must be at. Those of a batch go by the same statement, together.',
    'applyChanges of changes.ts',
    (db) => db[engine].applyChange(written(moved, before, null)),
  ],
];

/** How PostgreSQL reads its own catalogue depends on what it has counted there, which is other tests' doing, too. */
const withoutCatalogue = (nodes: string): string =>
  nodes
    .split('\n')
    .filter((node) => !/ (?:Only )?Scan pg_/.test(node))
    .join('\n');

t.test('the statements are those of the files, with their plans, and run as they stand', async (t) => {
  const { url, serviceUrl, storage, sql } = await testDatabase(t);
  const [server] = await sql<{ major: number }[]>`SELECT current_setting('server_version_num')::int / 10000 AS major`;
  const isPlanned = server?.major === PLANNED_BY;
  const isUpdate = process.env.UPDATE_STATEMENTS !== undefined;
  if (isUpdate && !isPlanned) throw new Error(`the plans in the files are those of PostgreSQL ${PLANNED_BY}`);

  // Asked while nothing is there: what is sent does not depend on that, and the write finds nothing to change.
  await recordActivity(storage, activityOf(3), {});
  const statements = await statementsOf(t, serviceUrl);
  t.same(new Set(statements.map(({ name }) => name)).size, cases.length, 'each call sends a statement of its own');
  for (const [name, , by] of cases) {
    const [, sender = '', file = ''] = /^(\w+) of (\S+)$/.exec(by) ?? [];
    const source = await readFile(new URL(file, SOURCE), 'utf8');
    t.ok(source.includes(`function ${sender}(`), `${name}: ${by}`);
  }

  const functions = (
    await sql<{ name: string }[]>`
      SELECT p.proname AS name FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
       WHERE p.pronamespace = 'clocktick'::regnamespace AND p.proretset AND l.lanname = 'sql'`
  ).map(({ name }) => name);
  t.ok(functions.length > 10);

  await writePast(sql);
  const plain = postgres(url, { max: 1, onnotice: () => {} });
  t.teardown(() => plain.end());
  for (const { name, text, sent } of statements) {
    const file = new URL(`${name}.sql`, FOLDER);
    const plan = await explain(sql, sent, 'force_generic_plan', sent.settings);
    if (isUpdate) await writeFile(file, text + planText(plan));
    const kept = await readFile(file, 'utf8').catch(() => '');
    const told = readPlan(kept);
    t.equal(told.statement, text, `${name}: as it is sent`);
    if (isPlanned) {
      const { nodes } = readPlan(planText(plan));
      t.equal(withoutCatalogue(told.nodes), withoutCatalogue(nodes), `${name}: the same plan`);
      for (const one of functions)
        t.notMatch(nodes, new RegExp(`Function Scan ${one}$`, 'm'), `${name}: ${one} is put in the place of its call`);
      // A wrong plan takes hundreds. How many a right one takes varies with where rows have come to lie.
      const most = 3 * told.buffers + 100;
      t.ok(plan.buffers <= most, `${name}: ${plan.buffers} buffers, at most ${most}`);
    }
    await t.resolves(plain.unsafe(kept), `${name}: runs as it stands`);
  }

  const files = (await readdir(FOLDER)).toSorted();
  const known = statements.map(({ name }) => `${name}.sql`).toSorted();
  if (isUpdate) for (const file of files.filter((file) => !known.includes(file))) await rm(new URL(file, FOLDER));
  else t.same(files, known, 'no file without a statement');
});

/** The statements of all cases, in the order in which they were first sent; each must be shown by a case. */
async function statementsOf(t: Test, url: string) {
  const watched = await watchedStorage(url);
  const nameOf = new Map<string, string>();
  const unshown = new Set<string>();
  const statements = [];
  for (const [name, answers, by, call] of cases) {
    const sent = (await watched.sentBy(call)).filter(({ text }) => !nameOf.has(text));
    for (const { text } of sent) unshown.add(text);
    const [shown] = sent;
    if (!shown) continue;
    nameOf.set(shown.text, name);
    unshown.delete(shown.text);
    statements.push({
      name,
      sent: shown,
      text: statementText(name, [answers, `Sent by ${by.replace(' of ', ' of src/storage/')}.`], shown),
    });
  }
  await watched.close();
  t.same([...unshown], [], 'no statement without a file');
  return statements;
}
