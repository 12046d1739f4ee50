/*
 * The limits of what the service keeps. Each stands here once. The core and the zod schemas refuse by these constants, so
 * that the caller learns the place and the reason. The database refuses by the same ones, whoever writes:
 * src/storage/schema.ts makes its constraints of them; that of names stands in drizzle/sql/holders.sql once more. Messages and
 * openapi.yaml print them.
 *
 * A limit of the database that changes here changes a constraint, so `npm run schema` has to write a migration.
 */

const MIB = 2 ** 20;

/** The type of an entity: a slug. Also checked by the database (`entity_type_is_slug`), which reads the same pattern. */
export const TYPE_PATTERN = /^[a-z][a-z0-9_-]{0,62}$/;

/** TYPE_PATTERN in words, for messages. */
export const TYPE_RULE = 'a letter a-z, then up to 62 of a-z, 0-9, _ and -';

/** What the names of the service's own types begin with. */
export const RESERVED_PREFIX = 'clocktick-';

/**
 * The type of the entities that are definitions of types: the key of each is the type that it defines. The write function knows it, too
 * (drizzle/sql/write.sql).
 */
export const DEFINITION_TYPE = `${RESERVED_PREFIX}type`;

/** How long a key may be, in characters (code points). Also checked by the database (`entity_key_length`). */
export const MAX_KEY_LENGTH = 512;

/** How long the name of a property may be, in characters (code points). Also checked by the database (drizzle/sql/holders.sql, open_holders). */
export const MAX_NAME_LENGTH = 256;

/** What a tick can have done to its entity. Also checked by the database (`tick_op_is_known`). */
export const OPS = ['created', 'updated', 'deleted', 'restored'] as const;

/** How long all properties of an entity may be together, in bytes of JSON text. Only the database checks it (`entity_size`). */
export const MAX_ENTITY_BYTES = 8 * MIB;

/**
 * How long the body of a request may be, in bytes: twice as long as an entity, so that what was read can be put back, however a client
 * writes its characters out.
 */
export const MAX_BODY_BYTES = 2 * MAX_ENTITY_BYTES;

/**
 * How many objects and arrays a body may hold: each takes dozens of bytes in memory, however few it takes as text. The pairs of coordinates
 * of an entity of the largest size are half as many.
 */
export const MAX_CONTAINERS = 1_000_000;

/** How long the metadata of an activity may be, in bytes of JSON text. Only the database checks it (`activity_size`). */
export const MAX_METADATA_BYTES = MIB;

/**
 * How many properties an entity may have. One statement writes all its ranges. It has to be short, because until it ends
 * nobody can read as of now.
 */
export const MAX_PROPERTIES = 1_000;

/** How long the actor and the reason of an activity may be, in UTF-16 code units (what zod counts). */
export const MAX_ACTOR_LENGTH = 256;
export const MAX_REASON_LENGTH = 4_096;

/** How long the name of the source of an import may be, in characters. Also checked by the database (`import_source_length`). */
export const MAX_SOURCE_LENGTH = 256;

/** How long a line with a watermark may be, in UTF-16 code units: each thing that is told of its import repeats it. */
export const MAX_WATERMARK_LENGTH = 16_384;

/** How an import is, or ended. Also checked by the database (`import_status_is_known`). */
export const IMPORT_STATUSES = ['running', 'done', 'failed'] as const;

/** A number of bytes as messages show it: `8 MiB`. For whole mebibytes. */
export const inMiB = (bytes: number): string => `${bytes / MIB} MiB`;
