import { LAST_TICK } from '../../temporal/point.js';
import { PROBLEMS, typeOf } from '../protocol/problems.js';

/*
 * The OpenAPI document with each thing once: parameters, headers and answers that calls share become components, by the names that the
 * zod schemas give them. Clients that are generated get one type for each.
 */

type Node = Record<string, unknown>;

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value);
const nodeOf = (value: unknown): Node => (isNode(value) ? value : {});
const entriesOf = (value: unknown): [string, Node][] =>
  Object.entries(nodeOf(value)).flatMap(([name, one]) => (isNode(one) ? [[name, one]] : []));

/** The names of the answers with a problem, by status. */
const PROBLEM_RESPONSES: Readonly<Record<string, string>> = {
  400: 'BadRequest',
  404: 'NotFound',
  406: 'NotAcceptable',
  408: 'RequestTimeout',
  409: 'Conflict',
  410: 'Gone',
  412: 'PreconditionFailed',
  413: 'ContentTooLarge',
  414: 'URITooLong',
  415: 'UnsupportedMediaType',
  417: 'ExpectationFailed',
  421: 'MisdirectedRequest',
  422: 'UnprocessableContent',
  428: 'PreconditionRequired',
  431: 'RequestHeaderFieldsTooLarge',
  500: 'InternalServerError',
  501: 'NotImplemented',
  503: 'ServiceUnavailable',
};

/** Schemas of what comes as text, or is passed on as it is: zod sees nothing of them. */
const PLAIN_SCHEMAS: Record<string, Node> = {
  Point: {
    description: 'A tick, or an RFC 3339 instant with its offset',
    oneOf: [
      { type: 'integer', format: 'int32', minimum: 1, maximum: LAST_TICK },
      { type: 'string', format: 'date-time' },
    ],
  },
  JsonPatchOperation: {
    type: 'object',
    description: 'An operation of RFC 6902; members that it does not know are ignored',
    properties: {
      op: { type: 'string', enum: ['add', 'remove', 'replace', 'move', 'copy', 'test'] },
      path: jsonPointer('A JSON Pointer (RFC 6901)'),
      from: jsonPointer('Of move and copy'),
      value: { description: 'Of add, replace and test' },
    },
    required: ['op', 'path'],
  },
  Patch: {
    description: 'A merge patch, or a JSON Patch',
    oneOf: [{ $ref: '#/components/schemas/MergePatch' }, { $ref: '#/components/schemas/JsonPatch' }],
  },
};

/** The problems that no route answers: they say that there is none. */
const OF_NO_ROUTE = ['route_not_found', 'method_not_allowed'];

function jsonPointer(description: string): Node {
  return { type: 'string', description, pattern: '^/properties/', example: '/properties/location' };
}

/** The names of the schemas that a part of the document refers to, and of those that they refer to. */
function schemasIn(part: unknown, schemas: Node, found = new Set<string>()): Set<string> {
  for (const [, name = ''] of JSON.stringify(part).matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    if (found.has(name)) continue;
    found.add(name);
    schemasIn(schemas[name] ?? null, schemas, found);
  }
  return found;
}

/** A schema without patterns beside a format, which some generators check after they have read the text. */
function plainly(schema: unknown, isRequest: boolean): unknown {
  if (Array.isArray(schema)) return schema.map((one) => plainly(one, isRequest));
  if (!isNode(schema)) return schema;
  const isFormatted = schema.format === 'date-time' || schema.format === 'uuid';
  const kept = Object.entries(schema).filter(
    ([name, value]) =>
      !(name === 'pattern' && isFormatted) && !(name === 'additionalProperties' && value === false && !isRequest),
  );
  return Object.fromEntries(kept.map(([name, value]) => [name, plainly(value, isRequest)]));
}

const exampleOf = (code: string, title: string, status: string): Node => ({
  summary: title,
  value: { type: typeOf(code), title, status: Number(status), code, detail: `${title}.` },
});

/** The document, which stays as it is, with components. @throws Error where two different things have one name */
export function withComponents(document: Node): Node {
  const { components, paths, ...rest } = document;
  const shared = {
    parameters: new Map<string, Node>(),
    headers: new Map<string, Node>(),
    responses: new Map<string, Node>(),
  };

  /** A reference to the component of a kind and a name, which is the same wherever it is met. */
  const refer = (kind: keyof typeof shared, name: string, node: Node): Node => {
    const known = shared[kind].get(name);
    if (known && JSON.stringify(known) !== JSON.stringify(node)) throw new Error(`two ${kind} are called ${name}`);
    shared[kind].set(name, node);
    return { $ref: `#/components/${kind}/${name}` };
  };

  const parameterOf = (parameter: unknown): Node => {
    const { schema: given, description: _, ...more } = nodeOf(parameter);
    const { 'x-parameter': name, 'x-schema': type, description, ...schema } = nodeOf(given);
    const clean = { ...more, description, schema: type ?? schema };
    return typeof name === 'string' ? refer('parameters', name, clean) : clean;
  };

  /** The first header of a name becomes the component; those that say something else of the same name stay where they are. */
  const headersOf = (headers: unknown): Node =>
    Object.fromEntries(
      entriesOf(headers).map(([name, header]) => {
        const key = name.replaceAll('-', '');
        const known = shared.headers.get(key);
        return [
          name,
          known && JSON.stringify(known) !== JSON.stringify(header) ? header : refer('headers', key, header),
        ];
      }),
    );

  const responseOf = (status: string, response: Node): Node => {
    const { description, headers, content } = response;
    const withHeaders = {
      description,
      ...(headers ? { headers: headersOf(headers) } : {}),
      ...(content ? { content } : {}),
    };
    if (status === '304')
      return refer('responses', 'Vary' in nodeOf(headers) ? 'MementoNotModified' : 'NotModified', withHeaders);
    const name = PROBLEM_RESPONSES[status];
    if (!name || !('application/problem+json' in nodeOf(content))) return withHeaders;
    const problems = Object.entries(PROBLEMS).filter(
      ([code, problem]) => String(problem.status) === status && !OF_NO_ROUTE.includes(code),
    );
    const examples = Object.fromEntries(problems.map(([code, { title }]) => [code, exampleOf(code, title, status)]));
    const whole = {
      ...withHeaders,
      description: problems.map(([code, { title }]) => `\`${code}\`: ${title}`).join('. '),
      content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, examples } },
    };
    // Beside a reference OpenAPI 3.1 takes a description: here, the codes that this call has.
    return { ...refer('responses', name, whole), description };
  };

  const bodyOf = ({ content, ...body }: Node): Node => ({
    ...body,
    content: Object.fromEntries(
      entriesOf(content).map(([media, { schema }]) => [media, { schema: nodeOf(schema)['x-schema'] ?? schema }]),
    ),
  });

  const operationOf = ({ parameters, requestBody, responses, ...operation }: Node): Node => ({
    ...operation,
    ...(isNode(requestBody) ? { requestBody: bodyOf(requestBody) } : {}),
    ...(Array.isArray(parameters) ? { parameters: parameters.map(parameterOf) } : {}),
    responses: Object.fromEntries(entriesOf(responses).map(([status, one]) => [status, responseOf(status, one)])),
  });
  const described = Object.fromEntries(
    entriesOf(paths).map(([path, item]) => [
      path,
      Object.fromEntries(entriesOf(item).map(([method, operation]) => [method, operationOf(operation)])),
    ]),
  );
  const { schemas, ...others } = nodeOf(components);
  const every = { ...nodeOf(schemas), ...PLAIN_SCHEMAS };
  // What a request has more than it should is refused. An answer may get more: what is added to it later must break no client.
  const bodies = entriesOf(described).flatMap(([, item]) =>
    entriesOf(item).map(([, { requestBody }]) => requestBody ?? null),
  );
  const requests = schemasIn(bodies, every);
  const plain = Object.entries(every).map(([name, one]) => [name, plainly(one, requests.has(name))]);
  const all = {
    ...rest,
    components: {
      ...others,
      schemas: Object.fromEntries(plain),
      ...Object.fromEntries(Object.entries(shared).map(([kind, nodes]) => [kind, Object.fromEntries(nodes)])),
    },
    paths: described,
  };
  // Nodes that are one object would become aliases in YAML, which many tools do not read.
  return JSON.parse(JSON.stringify(all));
}
