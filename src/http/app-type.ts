import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyTypeProvider,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { z } from 'zod';

/** Requests are typed by their zod schemas; answers are JSON text, or nothing. */
export interface RequestTypes extends FastifyTypeProvider {
  validator: this['schema'] extends z.ZodType
    ? z.output<this['schema']>
    : this['schema'] extends { required: infer Required; content: infer Content }
      ? BodyOf<Content> | (Required extends true ? never : undefined)
      : unknown;
  serializer: string | undefined;
}

/** A body by media type. */
type BodyOf<Content> = {
  [Type in keyof Content]: Content[Type] extends { schema: infer Schema extends z.ZodType }
    ? z.output<Schema>
    : unknown;
}[keyof Content];

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  RequestTypes
>;
