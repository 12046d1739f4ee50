import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyTypeProvider,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { z } from 'zod';

/** Requests have the types of their zod schemas. Answers are JSON text, or nothing. */
export interface RequestTypes extends FastifyTypeProvider {
  validator: this['schema'] extends z.ZodType
    ? z.output<this['schema']>
    : this['schema'] extends { required: infer Required; content: infer Content }
      ? BodyOf<Content> | (Required extends true ? never : undefined)
      : unknown;
  serializer: string | undefined;
}

/** The type of a body: one of those of its media types. */
type BodyOf<Content> = {
  [Type in keyof Content]: Content[Type] extends { schema: infer Schema extends z.ZodType }
    ? z.output<Schema>
    : unknown;
}[keyof Content];

/** The Fastify instance that routes are added to. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  RequestTypes
>;
