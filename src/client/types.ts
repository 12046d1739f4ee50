import type { components, operations } from './generated.js';

/*
 * Names for the types that openapi-typescript makes of openapi.yaml (generated.ts), and what these cannot say: that values are JSON, that
 * options may be undefined, and what stands in a parameter that the API takes as text.
 */

type Schemas = components['schemas'];

/** A JSON value, as JSON.parse makes it. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [name: string]: Json };

/** What an answer holds: where the contract says "any value", it is JSON. */
type Answered<T> = unknown extends T ? Json : T extends object ? { [K in keyof T]: Answered<T[K]> } : T;

/** What may be left out may be undefined as well. */
type Given<T> = { [K in keyof T]: Record<never, never> extends Pick<T, K> ? T[K] | undefined : T[K] };

/** A point in the past: a tick (from 1), or an RFC 3339 instant with its offset, up to microseconds. */
export type Point = number | string;
/** An RFC 3339 instant, as all answers write it: in UTC, with microseconds. Date has only milliseconds, so instants stay texts. */
export type Instant = string;

/* What answers hold. */

/** An entity, as it is or was; `history` and `provenance` if they were asked for. */
export type Entity = Answered<Schemas['NestedEntity']>;
/** An entity of a page; `changes` and `patch` if they were asked for. */
export type EntityOfPage = Answered<Schemas['SnapshotItem']>;
export type EntityPage = Answered<Schemas['SnapshotPage']>;
/** Entities by their ids, and which of them are missing. */
export type EntityList = Answered<Schemas['EntityList']>;
export type Op = Schemas['Op'];
export type Tick = Answered<Schemas['Tick']>;
export type TickPage = Answered<Schemas['TickPage']>;
/** A value of a property, and from when to when it held. */
export type Range = Answered<Schemas['Range']>;
export type RangePage = Answered<Schemas['RangePage']>;
export type Provenance = Answered<Schemas['Provenance']>;
/** What a property was on both sides; what is left out was not set. */
export type Change = Answered<Schemas['Change']>;
export type Diff = Answered<Schemas['Diff']>;
export type Comparison = Answered<Schemas['Comparison']>;
export type Moment = Answered<Schemas['Moment']>;
export type ValueThen = Answered<Schemas['ValueThen']>;
export type Preview = Answered<Schemas['Preview']>;
export type WrittenEntity = Answered<Schemas['WrittenEntity']>;

export type Type = Answered<Schemas['Type']>;
export type TypePage = Answered<Schemas['TypePage']>;
export type TypeDefinition = Omit<Answered<Schemas['TypeDefinition']>, 'definition'> & { definition: Definition };
export type DefinitionVersion = Omit<Answered<Schemas['DefinitionVersion']>, 'definition'> & {
  definition: Definition | null;
};
export type DefinitionVersionPage = { items: DefinitionVersion[]; next: string | null };
/** A range of one entity of a type. */
export type TypeRange = Answered<Schemas['TypeRange']>;
export type TypeRangePage = Answered<Schemas['TypeRangePage']>;
export type ValueCounts = Answered<Schemas['ValueCounts']>;
export type CountsAt = Answered<Schemas['CountsAt']>;
export type ComparedEntity = Answered<Schemas['ComparedEntity']>;
export type ComparedPage = Answered<Schemas['ComparedPage']>;

/** An activity, as others refer to it. */
export type ActivityRef = Answered<Schemas['ActivityRef']>;
export type Activity = Answered<Schemas['Activity']>;
export type FoundActivity = Answered<Schemas['FoundActivity']>;
export type FoundActivityPage = Answered<Schemas['ActivitiesPage']>;
/** An activity with a page of the ticks that it made. */
export type ActivityPage = Answered<Schemas['ActivityPage']>;
export type ActivityTick = Answered<Schemas['ActivityTick']>;
export type WrittenUndo = Answered<Schemas['WrittenUndo']>;
export type UndoConflict = Answered<Schemas['UndoConflict']>;

export type WrittenBatch = Answered<Schemas['WrittenBatch']>;
export type WrittenItem = Answered<Schemas['WrittenItem']>;
/** How far an import is, or came. */
export type Import = Answered<Schemas['Import']>;
/** A line that an import has left out, and why. */
export type LineFault = Answered<Schemas['LineFault']>;
/** How an import ended, with the first thousand lines that it left out. */
export type ImportSummary = Answered<Schemas['ImportSummary']>;
/** A line of an export: a state, a tick, a range, or a watermark. */
export type ExportLine = Answered<Schemas['ExportLine']>;
export type Ready = Answered<operations['isReady']['responses'][200]['content']['application/json']>;

/** An RFC 9457 problem. */
export type Problem = Answered<Schemas['Problem']>;
/** What a problem is about. It never changes what a code means; a later service may have further ones. */
export type ProblemCode = Schemas['ProblemCode'];
export type Fault = Answered<Schemas['Fault']>;

/* What calls take. */

/** The properties of an entity. Values are JSON; interfaces of yours fit. */
export type Properties = { readonly [name: string]: unknown };
/** Who makes a change, and why: at least one of the three. */
export type GivenActivity = Given<Schemas['GivenActivity']>;
type Said = { activity?: GivenActivity | undefined };

export type EntityToCreate = Said & { type: string; key?: string | undefined; properties: Properties };
export type EntityToPut = Said & { type: string; properties: Properties };
/** A merge patch (RFC 7396) of properties: null removes. */
export type MergePatch = Said & { properties: Properties };
/** A JSON Patch (RFC 6902) whose paths begin with `/properties/`. */
export type JsonPatch = readonly Given<Schemas['JsonPatchOperation']>[];
export type Restoration = Said;
/** What to bring back: the state as of `to`, whole or some properties of it. */
export type Reversion = Said & { to: Point; properties?: readonly string[] | undefined };
export type Undo = Said & { onConflict?: 'refuse' | 'skip' | 'force' | undefined };

type Aimed = { id: string; ifMatch?: number | undefined };
export type BatchOperation =
  | { op: 'create'; type: string; key?: string | undefined; properties: Properties; ifMatch?: number | undefined }
  | (Aimed & { op: 'put'; type: string; properties: Properties })
  | (Aimed & { op: 'patch'; properties: Properties; patch?: undefined })
  | (Aimed & { op: 'patch'; patch: JsonPatch; properties?: undefined })
  | (Aimed & { op: 'delete' | 'restore' })
  | (Aimed & { op: 'revert'; to: Point; properties?: readonly string[] | undefined });
export type Batch = Said & { operations: readonly BatchOperation[] };

/** What entities of a type must be like. */
export type Definition = Omit<Given<Schemas['Definition']>, 'schema'> & {
  schema: { [keyword: string]: unknown } | boolean;
};

type Named = {
  type: string;
  at?: Instant | undefined;
  activity?: (GivenActivity & { id?: string | undefined }) | undefined;
} & ({ key: string; id?: undefined } | { id: string; key?: undefined });
/** A line of an import: the guide to importing says what each does. */
export type ImportLine =
  | (Named & { op?: 'put' | undefined; properties: Properties })
  | (Named & { op: 'patch'; properties: Properties })
  | (Named & { op: 'set'; set?: Properties | undefined; clear?: readonly string[] | undefined })
  | (Named & { op: 'delete' })
  | { watermark: unknown };

/* Parameters. A list may be given as its one item. No item is split: a comma in it is part of it. */

type OneOrMany<T> = T | readonly T[];
/** A condition on a value (the guide to filters has all). */
export type ValueCondition =
  | null
  | boolean
  | number
  | string
  | readonly unknown[]
  | {
      eq?: unknown;
      ne?: unknown;
      lt?: number | string;
      lte?: number | string;
      gt?: number | string;
      gte?: number | string;
      in?: readonly unknown[];
      has?: unknown;
      hasKey?: string;
      exists?: boolean;
    };
/** By property a value or a condition; or that as JSON. */
export type Filter = { readonly [property: string]: ValueCondition } | string;

/** What a parameter takes, where that is more than the contract can say of a text. */
type Wider = {
  asOf: Point;
  where: Filter;
  everHad: Filter;
  changedBetween: readonly [from: Instant, to: Instant];
  property: OneOrMany<string>;
  fields: OneOrMany<string>;
};
type Parameters<Call extends keyof operations> = NonNullable<operations[Call]['parameters']['query']>;
type Query<Call extends keyof operations, Own extends object = Record<never, never>> = Given<
  Omit<
    {
      [K in keyof Parameters<Call>]: K extends keyof Wider
        ? Wider[K] | Extract<Parameters<Call>[K], undefined>
        : Parameters<Call>[K];
    },
    keyof Own
  >
> &
  Own;

export type EntityQuery = Query<
  'readEntity',
  { include?: OneOrMany<'history' | 'provenance' | `history.${string}`> | undefined }
>;
export type EntitiesQuery = Omit<
  Query<'readEntities', { asOf?: Instant | undefined; include?: OneOrMany<'changes' | 'provenance'> | undefined }>,
  'ids'
>;
export type ManyQuery = Pick<EntitiesQuery, 'asOf' | 'recordedAsOf' | 'fields'> & {
  include?: 'provenance' | readonly 'provenance'[] | undefined;
};
export type HistoryQuery = Query<'readHistory'>;
export type PropertyHistoryQuery = Query<'readPropertyHistory'>;
export type DiffQuery = Query<'diffEntity'>;
export type CompareQuery = Query<'compareEntity', { at: OneOrMany<Point> }>;
export type TimeMapQuery = Query<'readTimeMap'>;
export type TypesQuery = Query<'readTypes'>;
export type DefinitionQuery = Query<'readDefinition'>;
export type VersionsQuery = Query<'readVersions'>;
export type TypeHistoryQuery = Query<'readTypeHistory', { asOf?: Instant | undefined }>;
export type CountsQuery = Query<'countValues', { at?: OneOrMany<Instant> | undefined }>;
export type CompareTypeQuery = Query<'compareEntities', { at: OneOrMany<Instant> }>;
export type ActivitiesQuery = Query<'searchActivities'>;
export type ActivityQuery = Query<'readActivity'>;
export type ImportQuery = Query<'importLines'>;
type ExportQuery = Query<'exportEntities', { asOf?: Instant | undefined }>;
export type LinesQuery = Omit<ExportQuery, 'format'> & { format?: 'ndjson' | 'ranges' | undefined };
export type BytesQuery = ExportQuery;
