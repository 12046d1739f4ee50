import { type Listing, listing } from './listing.js';
import {
  type CallOptions,
  type ClientOptions,
  ClocktickProblem,
  type Effect,
  jsonOf,
  type Requester,
  refuseOthers,
  requester,
} from './request.js';
import { exportedBytes, exportedLines, type ImportLines, type ImportOptions, importLines } from './streams.js';
import type * as types from './types.js';

export type { Listing } from './listing.js';
export type { CallOptions, ClientOptions, RetryOptions } from './request.js';
// biome-ignore lint/performance/noBarrelFile: the entry of a package, where programs find all of it
export { ClocktickProblem, ClocktickUnreachable } from './request.js';
export type { ImportLines, ImportOptions } from './streams.js';
export type * from './types.js';

/*
 * The client: one method for each call of the API, with the names of openapi.yaml for what it takes and answers.
 *
 * Writes that name a tick (`ifMatch`) or its absence (`ifNoneMatch`) have two good ends, so a 412 is one of their outcomes. Every other
 * refusal is thrown (ClocktickProblem), and so is it if there is no answer (ClocktickUnreachable).
 */

/** What a write may say beside its body. */
export type WriteOptions = CallOptions & {
  /** Answers what would be written (`preview`), and writes nothing. */
  dryRun?: boolean | undefined;
  /** The activity of the write, recorded before. It ticks an entity once, so a write that names one can be sent again. */
  activityId?: string | undefined;
};
/** … of what brings a state back, or defines a type: also what the definition refuses. */
export type ReturnOptions = WriteOptions & { evenIfInvalid?: boolean | undefined };
/** … of what writes many entities. */
export type ManyOptions = ReturnOptions & {
  /** Leaves the entities out of the answer. */
  isMinimal?: boolean | undefined;
};

/** A condition: the entity is at this tick, or it is there at all (`*`); or it is not there. */
export type Condition = { ifMatch: number | '*'; ifNoneMatch?: undefined } | { ifNoneMatch: '*'; ifMatch?: undefined };
type NoCondition = { ifMatch?: undefined; ifNoneMatch?: undefined };
type AnyCondition = { ifMatch?: number | '*' | undefined; ifNoneMatch?: '*' | undefined };

/**
 * What became of a conditional write. Where it is not done, somebody else came first: the entity is now at `tick`. Only with
 * `mayBeWritten` it may have been this very write: its first answer was lost, and it was sent again.
 */
export type Outcome<Written, Tick = number> =
  | { done: true; entity: Written }
  | { done: false; tick: Tick; problem: types.Problem; mayBeWritten: boolean };

/** A deletion: the tick at which the entity has no properties, and its instant; of a dry run with what it would change. */
export type Deleted = { tick: number; at: types.Instant; preview?: types.Preview };

/** A client of one service. */
export type Clocktick = ReturnType<typeof clocktick>;

/** Makes a client of the service at a URL. */
export function clocktick(options: ClientOptions) {
  const request = requester(options);
  return {
    entities: entitiesOf(request),
    types: typesOf(request),
    activities: activitiesOf(request),

    /** Changes many entities at one instant under one activity: all of it, or nothing. Conditions stand in the operations. */
    batch: (body: types.Batch, options: ManyOptions = {}): Promise<types.WrittenBatch> =>
      request(
        {
          method: 'POST',
          path: ['batch'],
          ...manyWrite(options),
          body,
          effect: effectOf(options, isBatchSafe(body, options)),
        },
        jsonOf<types.WrittenBatch>,
      ),

    imports: {
      /** How far the last import of a source is, or came. */
      get: (source: string, { signal }: CallOptions = {}): Promise<types.Import> =>
        request({ method: 'GET', path: ['imports', source], effect: 'none', signal }, jsonOf<types.Import>),
    },
    /**
     * Imports lines, as many as there are, in batches. It is never sent again by itself: send all of it again, then what is kept changes
     * nothing. @throws ClocktickProblem what has ended it; `problem.import` is how far it came
     */
    import: (lines: ImportLines, query: types.ImportQuery, options: ImportOptions = {}): Promise<types.ImportSummary> =>
      importLines(request, lines, query, options),
    ...exportsOf(request, {}),

    health: {
      /** Whether the process answers. It is asked once. */
      live: ({ signal }: CallOptions = {}): Promise<{ status: 'alive' }> =>
        request(
          { method: 'GET', path: ['health', 'live'], effect: 'none', attempts: 1, signal },
          jsonOf<{ status: 'alive' }>,
        ),
      /** Whether it can read and write. It is asked once. @throws ClocktickProblem `not_ready`, whose `errors` name what fails */
      ready: ({ signal }: CallOptions = {}): Promise<types.Ready> =>
        request({ method: 'GET', path: ['health', 'ready'], effect: 'none', attempts: 1, signal }, jsonOf<types.Ready>),
    },

    at: atOf(request),
  };
}

function entitiesOf(request: Requester) {
  function create(
    body: types.EntityToCreate,
    options: WriteOptions & Condition,
  ): Promise<Outcome<types.WrittenEntity, number | null>>;
  function create(body: types.EntityToCreate, options?: WriteOptions & NoCondition): Promise<types.WrittenEntity>;
  function create(body: types.EntityToCreate, options: WriteOptions & AnyCondition = {}) {
    return write<types.WrittenEntity>(request, 'POST', ['entities'], body, options, body.key !== undefined);
  }

  function put(
    id: string,
    body: types.EntityToPut,
    options: WriteOptions & Condition,
  ): Promise<Outcome<types.WrittenEntity, number | null>>;
  function put(id: string, body: types.EntityToPut, options?: WriteOptions & NoCondition): Promise<types.WrittenEntity>;
  function put(id: string, body: types.EntityToPut, options: WriteOptions & AnyCondition = {}) {
    return write<types.WrittenEntity>(request, 'PUT', ['entities', id], body, options, true);
  }

  function patch(
    id: string,
    body: types.MergePatch | types.JsonPatch,
    options: WriteOptions & Condition,
  ): Promise<Outcome<types.WrittenEntity>>;
  function patch(
    id: string,
    body: types.MergePatch | types.JsonPatch,
    options?: WriteOptions & NoCondition,
  ): Promise<types.WrittenEntity>;
  function patch(id: string, body: types.MergePatch | types.JsonPatch, options: WriteOptions & AnyCondition = {}) {
    return write<types.WrittenEntity>(request, 'PATCH', ['entities', id], body, options, !Array.isArray(body));
  }

  function remove(id: string, options: WriteOptions & Condition): Promise<Outcome<Deleted>>;
  function remove(id: string, options?: WriteOptions & NoCondition): Promise<Deleted>;
  function remove(id: string, options: WriteOptions & AnyCondition = {}) {
    return write(request, 'DELETE', ['entities', id], undefined, options, true, deletedIn);
  }

  function restore(
    id: string,
    body: types.Restoration | undefined,
    options: ReturnOptions & Condition,
  ): Promise<Outcome<types.WrittenEntity>>;
  function restore(
    id: string,
    body?: types.Restoration,
    options?: ReturnOptions & NoCondition,
  ): Promise<types.WrittenEntity>;
  function restore(id: string, body: types.Restoration = {}, options: ReturnOptions & AnyCondition = {}) {
    return write<types.WrittenEntity>(request, 'POST', ['entities', id, 'restore'], body, options, true);
  }

  function revert(
    id: string,
    body: types.Reversion,
    options: ReturnOptions & Condition,
  ): Promise<Outcome<types.WrittenEntity>>;
  function revert(
    id: string,
    body: types.Reversion,
    options?: ReturnOptions & NoCondition,
  ): Promise<types.WrittenEntity>;
  function revert(id: string, body: types.Reversion, options: ReturnOptions & AnyCondition = {}) {
    return write<types.WrittenEntity>(request, 'POST', ['entities', id, 'revert'], body, options, true);
  }

  return {
    ...readsOfEntities(request, {}),
    /** Creates an entity. Without a `key` it is not sent again where its outcome is unknown: that could create a second one. */
    create,
    /** Gives an entity its whole new state; creates what is absent, revives what is deleted. */
    put,
    /**
     * Changes some properties of an entity, by a merge patch or a JSON Patch. A JSON Patch is sent again where its outcome is unknown only
     * with `ifMatch` or `activityId`.
     */
    patch,
    /** Deletes an entity: a tombstone; its history stays. */
    delete: remove,
    /** Undoes a deletion. A living entity stays as it is. */
    restore,
    /** Brings back the state as of a tick or an instant, the whole of it or some properties, by a new tick. */
    revert,

    /** The ticks of an entity, and what each changed. */
    history: (
      id: string,
      query: types.HistoryQuery = {},
      options: CallOptions = {},
    ): Listing<types.Tick, types.TickPage> =>
      listed(request, ['entities', id, 'history'], query, options, ({ items }: types.TickPage) => items),

    /** The ranges of one property: which value held from when to when. */
    propertyHistory: (
      id: string,
      property: string,
      query: types.PropertyHistoryQuery = {},
      options: CallOptions = {},
    ): Listing<types.Range, types.RangePage> =>
      listed(request, ['entities', id, 'history', property], query, options, ({ items }: types.RangePage) => items),

    /** What differs between two states. Without `to`: between then and now. */
    diff: (id: string, query: types.DiffQuery, options: CallOptions = {}): Promise<types.Diff> =>
      read(request, ['entities', id, 'diff'], query, options),

    /** The states at several moments (ticks, instants, `now`), side by side. */
    compare: (id: string, query: types.CompareQuery, options: CallOptions = {}): Promise<types.Comparison> =>
      read(request, ['entities', id, 'compare'], query, options),

    /** A page of the TimeMap (RFC 7089), as links (RFC 6690). */
    timemap: (id: string, query: types.TimeMapQuery = {}, { signal }: CallOptions = {}): Promise<string> =>
      request(
        {
          method: 'GET',
          path: ['entities', id, 'timemap'],
          query,
          accept: 'application/link-format',
          effect: 'none',
          signal,
        },
        async (answer) => {
          refuseOthers(answer, 'application/link-format');
          return answer.text();
        },
      ),
  };
}

function typesOf(request: Requester) {
  function put(
    type: string,
    definition: types.Definition,
    options: ReturnOptions & Condition,
  ): Promise<Outcome<types.TypeDefinition, number | null>>;
  function put(
    type: string,
    definition: types.Definition,
    options?: ReturnOptions & NoCondition,
  ): Promise<types.TypeDefinition>;
  function put(type: string, definition: types.Definition, options: ReturnOptions & AnyCondition = {}) {
    return write<types.TypeDefinition>(request, 'PUT', ['types', type], definition, options, true);
  }

  function remove(type: string, options: WriteOptions & Condition): Promise<Outcome<Deleted>>;
  function remove(type: string, options?: WriteOptions & NoCondition): Promise<Deleted>;
  function remove(type: string, options: WriteOptions & AnyCondition = {}) {
    return write(request, 'DELETE', ['types', type], undefined, options, true, deletedIn);
  }

  return {
    ...readsOfTypes(request, {}),
    /** Defines a type, or defines it anew. Who and why: `activityId`. */
    put,
    /** Makes a type open again. Its entities stay, and so do the definitions that it had. */
    delete: remove,

    /** The types that there are, by name. */
    list: (query: types.TypesQuery = {}, options: CallOptions = {}): Listing<types.Type, types.TypePage> =>
      listed(request, ['types'], query, options, ({ items }: types.TypePage) => items),

    /** The definitions that a type has had. */
    versions: (
      type: string,
      query: types.VersionsQuery = {},
      options: CallOptions = {},
    ): Listing<types.DefinitionVersion, types.DefinitionVersionPage> =>
      listed(request, ['types', type, 'versions'], query, options, ({ items }: types.DefinitionVersionPage) => items),

    /** How many entities of a type held each value of a property, at each instant of `at`. */
    counts: (
      type: string,
      property: string,
      query: types.CountsQuery = {},
      options: CallOptions = {},
    ): Promise<types.ValueCounts> => read(request, ['types', type, 'counts', property], query, options),

    /** Of each entity of a type its states at several moments, side by side. */
    compare: (
      type: string,
      query: types.CompareTypeQuery,
      options: CallOptions = {},
    ): Listing<types.ComparedEntity, types.ComparedPage> =>
      listed(request, ['types', type, 'compare'], query, options, ({ items }: types.ComparedPage) => items),
  };
}

function activitiesOf(request: Requester) {
  const get = (id: string, query: types.ActivityQuery = {}, options: CallOptions = {}): Promise<types.ActivityPage> =>
    read(request, ['activities', id], query, options);
  return {
    /** Activities, newest first: by who, why, when, and what they changed. */
    search: (
      query: types.ActivitiesQuery = {},
      options: CallOptions = {},
    ): Listing<types.FoundActivity, types.FoundActivityPage> =>
      listed(request, ['activities'], query, options, ({ items }: types.FoundActivityPage) => items),

    /** An activity, and the first page of the ticks that it made. */
    get,

    /** All ticks that an activity made. */
    ticks: (
      id: string,
      query: types.ActivityQuery = {},
      options: CallOptions = {},
    ): Listing<types.ActivityTick, types.ActivityPage> =>
      listed(request, ['activities', id], query, options, ({ ticks }: types.ActivityPage) => ticks),

    /** Records an activity, for many writes to name (`activityId`). */
    create: (body: types.GivenActivity, { signal }: CallOptions = {}): Promise<types.Activity> =>
      request({ method: 'POST', path: ['activities'], body, effect: 'once', signal }, jsonOf<types.Activity>),

    /** Undoes everything that an activity did. With `force` it is not sent again where its outcome is unknown. */
    revert: (id: string, body: types.Undo = {}, options: ManyOptions = {}): Promise<types.WrittenUndo> =>
      request(
        {
          method: 'POST',
          path: ['activities', id, 'revert'],
          ...manyWrite(options),
          body,
          effect: effectOf(options, body.onConflict !== 'force'),
        },
        jsonOf<types.WrittenUndo>,
      ),
  };
}

/** The point that reads are bound to. */
type Bound = { asOf?: types.Point; recordedAsOf?: types.Instant };

/** The reads of entities that `asOf` goes with. */
function readsOfEntities(request: Requester, bound: Bound) {
  function get(
    id: string,
    query: types.EntityQuery | undefined,
    options: CallOptions & { ifNoneMatch: number },
  ): Promise<types.Entity | null>;
  function get(
    id: string,
    query?: types.EntityQuery,
    options?: CallOptions & { ifNoneMatch?: undefined },
  ): Promise<types.Entity>;
  function get(
    id: string,
    query: types.EntityQuery = {},
    { signal, ifNoneMatch }: CallOptions & { ifNoneMatch?: number | undefined } = {},
  ) {
    const headers = { 'if-none-match': ifNoneMatch === undefined ? undefined : `"${ifNoneMatch}"` };
    return request(
      { method: 'GET', path: ['entities', id], query: { ...query, ...bound }, headers, effect: 'none', signal },
      async (answer) => (answer.status === 304 ? null : jsonOf<types.Entity>(answer)),
    );
  }
  return {
    /** An entity. @throws ClocktickProblem `entity_not_found` (404), `entity_deleted` (410), … */
    get,

    /** The entities of a type, or of all types, as of one instant. */
    list: (query: types.EntitiesQuery = {}, options: CallOptions = {}): Listing<types.EntityOfPage, types.EntityPage> =>
      listed(request, ['entities'], { ...query, ...bound }, options, ({ items }: types.EntityPage) => items),

    /** Up to 100 entities, and which of them are missing. */
    many: async (
      ids: readonly string[],
      query: types.ManyQuery = {},
      options: CallOptions = {},
    ): Promise<types.EntityList> =>
      // Without ids the same path is another call.
      ids.length === 0 ? { items: [], missing: [] } : read(request, ['entities'], { ...query, ...bound, ids }, options),
  };
}

/** The reads of types that `asOf` goes with. */
function readsOfTypes(request: Requester, bound: Bound) {
  return {
    /** The definition of a type. @throws ClocktickProblem `type_not_defined` (404), … */
    get: (type: string, query: types.DefinitionQuery = {}, options: CallOptions = {}): Promise<types.TypeDefinition> =>
      read(request, ['types', type], { ...query, ...bound }, options),

    /** An OpenAPI document of the calls on entities of a type, with its properties. */
    openapi: (type: string, query: types.DefinitionQuery = {}, options: CallOptions = {}): Promise<types.JsonObject> =>
      read(request, ['types', type, 'openapi'], { ...query, ...bound }, options),

    /** The ranges of one property of all entities of a type, as of one instant. */
    history: (
      type: string,
      property: string,
      query: types.TypeHistoryQuery = {},
      options: CallOptions = {},
    ): Listing<types.TypeRange, types.TypeRangePage> =>
      listed(
        request,
        ['types', type, 'history', property],
        { ...query, ...bound },
        options,
        ({ items }: types.TypeRangePage) => items,
      ),
  };
}

/** The exports, which `asOf` goes with. */
function exportsOf(request: Requester, bound: Bound) {
  return {
    /** Everything, or all of a type, as of one instant, line by line. Where the connection breaks, it goes on from there. */
    export: (query: types.LinesQuery = {}, options: CallOptions = {}): AsyncIterable<types.ExportLine> =>
      exportedLines(request, { ...query, ...bound }, options),

    /** The same in any format, as the bytes of a file. */
    exportBytes: (query: types.BytesQuery = {}, options: CallOptions = {}): AsyncIterable<Uint8Array> =>
      exportedBytes(request, { ...query, ...bound }, options),
  };
}

function atOf(request: Requester) {
  const handleOf = (asOf: types.Point, recordedAsOf: types.Instant | undefined) => {
    const bound = recordedAsOf === undefined ? { asOf } : { asOf, recordedAsOf };
    return {
      entities: {
        ...readsOfEntities(request, bound),
        /** The range of a property that contains the point, as it was then. */
        property: async (id: string, property: string, options: CallOptions = {}): Promise<types.Range | null> => {
          const path = ['entities', id, 'history', property];
          const { items } = await read<types.RangePage>(request, path, bound, options);
          return items[0] ?? null;
        },
      },
      types: {
        ...readsOfTypes(request, bound),
        /** How many entities of a type held each value of a property. */
        counts: async (
          type: string,
          property: string,
          query: Pick<types.CountsQuery, 'limit'> = {},
          options: CallOptions = {},
        ): Promise<types.CountsAt | null> => {
          const { asOf: at, ...recorded } = bound;
          const asked = { ...query, at, ...recorded };
          const path = ['types', type, 'counts', property];
          const { items } = await read<types.ValueCounts>(request, path, asked, options);
          return items[0] ?? null;
        },
      },
      ...exportsOf(request, bound),
    };
  };
  type Handle = ReturnType<typeof handleOf>;
  /** What a tick can be asked for: it is a step of one entity's clock. */
  type TickHandle = {
    entities: Pick<Handle['entities'], 'get' | 'property'>;
    types: Pick<Handle['types'], 'get' | 'openapi'>;
  };

  /**
   * The same reads, as of a point, whatever their queries say: `at(instant).entities.list({type})`, `at(3).entities.get(id)`.
   * @param recordedAsOf by what was recorded at this instant, without what imports have told of the past since
   */
  function at(asOf: types.Instant, recordedAsOf?: types.Instant): Handle;
  function at(asOf: types.Point, recordedAsOf?: types.Instant): TickHandle;
  function at(asOf: types.Point, recordedAsOf?: types.Instant) {
    return handleOf(asOf, recordedAsOf);
  }
  return at;
}

const read = <T>(request: Requester, path: string[], query: object, { signal }: CallOptions): Promise<T> =>
  request({ method: 'GET', path, query, effect: 'none', signal }, jsonOf<T>);

const listed = <Item, Page extends { next: string | null }>(
  request: Requester,
  path: string[],
  query: object,
  options: CallOptions,
  itemsOf: (page: Page) => readonly Item[],
): Listing<Item, Page> =>
  listing((cursor) => read<Page>(request, path, cursor === undefined ? query : { ...query, cursor }, options), itemsOf);

/**
 * A write of one entity.
 * @param isSafe whether it may be sent twice, though it names no tick and no activity
 */
async function write<Written>(
  request: Requester,
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string[],
  body: unknown,
  options: ReturnOptions & AnyCondition,
  isSafe: boolean,
  answerOf: (answer: Response) => Promise<Written> = jsonOf<Written>,
): Promise<Written | Outcome<Written, number | null>> {
  const { dryRun, evenIfInvalid, activityId, ifMatch, ifNoneMatch, signal } = options;
  const headers = {
    'if-match': typeof ifMatch === 'number' ? `"${ifMatch}"` : ifMatch,
    'if-none-match': ifNoneMatch,
    'activity-id': activityId,
  };
  // A second sending is refused where it names a tick, or that there is none, or an activity that has ticked the entity.
  const isGuarded = typeof ifMatch === 'number' || ifNoneMatch !== undefined || activityId !== undefined;
  // What is created without a key would be another one the second time.
  const isOfOne = path.length > 1;
  const effect = effectOf(options, isSafe || (isGuarded && isOfOne));
  const sent = request({ method, path, query: { dryRun, evenIfInvalid }, headers, body, effect, signal }, answerOf);
  if (ifMatch === undefined && ifNoneMatch === undefined) return sent;
  try {
    return { done: true, entity: await sent };
  } catch (error) {
    if (!(error instanceof ClocktickProblem) || error.code !== 'precondition_failed') throw error;
    const { problem, mayBeWritten } = error;
    return { done: false, tick: problem.tick ?? null, problem, mayBeWritten };
  }
}

const effectOf = ({ dryRun }: WriteOptions, isSafe: boolean): Effect =>
  dryRun === true ? 'none' : isSafe ? 'safe' : 'once';

/** What a write of many entities says beside its body. */
const manyWrite = ({ dryRun, evenIfInvalid, activityId, isMinimal, signal }: ManyOptions) => ({
  query: { dryRun, evenIfInvalid },
  headers: { 'activity-id': activityId, prefer: isMinimal === true ? 'return=minimal' : undefined },
  signal,
});

/** Whether a batch may be sent twice: each operation changes nothing then, or refuses it. */
const isBatchSafe = ({ operations }: types.Batch, { activityId }: ManyOptions): boolean =>
  operations.every((operation) => {
    if (operation.op === 'create') return operation.key !== undefined;
    if (operation.op !== 'patch' || operation.patch === undefined) return true;
    return operation.ifMatch !== undefined || activityId !== undefined;
  });

/** What a deletion answers: 204 with the tick in its headers, or of a dry run the entity. */
async function deletedIn(answer: Response): Promise<Deleted> {
  if (answer.status !== 204) {
    const { tick, updatedAt, preview } = await jsonOf<types.WrittenEntity>(answer);
    return { tick, at: updatedAt, ...(preview ? { preview } : {}) };
  }
  const [, tick] = /^"(\d+)"$/.exec(answer.headers.get('etag') ?? '') ?? [];
  return { tick: Number(tick), at: answer.headers.get('tick-at') ?? '' };
}
