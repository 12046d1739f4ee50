import { readFile } from 'node:fs/promises';
import { compileErrors, parse, validate } from '@readme/openapi-parser';
import t from 'tap';
import { PROBLEMS } from '../src/http/protocol/problems.js';
import { parseQuery } from '../src/http/protocol/query.js';
import { documentText } from '../src/http/routes/documents.js';
import { isObject, type Json, type JsonObject } from '../src/temporal/json.js';
import { serve, testService } from './helper/service.js';

const FILE = new URL('../openapi.yaml', import.meta.url);

t.test('openapi.yaml', async (t) => {
  const { app, call, storage } = await testService(t);
  await app.ready();
  const written = await readFile(FILE, 'utf8');

  await t.test('is what the routes say, and what the service serves', async (t) => {
    t.ok(documentText(app) === written, 'up to date; otherwise: npm run openapi');
    const { app: second } = await serve(t, storage);
    await second.ready();
    t.ok(documentText(second) === written, 'so is that of another app of the process');
    const served = await app.inject('/openapi.yaml');
    t.equal(served.statusCode, 200);
    t.match(served.headers['content-type'], /^application\/yaml/);
    t.ok(served.body === written);
    t.match(await call('DELETE', '/openapi.yaml'), { status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } });
    t.match(await call('GET', '/openapi.yaml?version=2'), { status: 400, body: { code: 'unknown_parameter' } });
    const page = await app.inject('/docs/');
    t.equal(page.statusCode, 200);
    t.match(page.headers['content-type'], /^text\/html/);
    const policy = String(page.headers['content-security-policy']);
    t.match(policy, "default-src 'self'");
    t.notMatch(policy, 'upgrade-insecure-requests', 'which leaves the page blank over http');
  });

  await t.test('is a sound document of OpenAPI 3.1, without dangling references', async (t) => {
    const result = await validate(FILE.pathname);
    t.ok(result.valid, result.valid ? '' : compileErrors(result));
    t.match(app.swagger(), { openapi: '3.1.0' });
  });

  const document: Json = JSON.parse(JSON.stringify(await parse(FILE.pathname)));
  const operations = operationsOf(document);

  await t.test('describes every call the service has', async (t) => {
    t.same(operations.map(({ name }) => name).toSorted(), [
      'DELETE /entities/{id}',
      'DELETE /types/{type}',
      'GET /activities',
      'GET /activities/{id}',
      'GET /entities',
      'GET /entities/{id}',
      'GET /entities/{id}/compare',
      'GET /entities/{id}/diff',
      'GET /entities/{id}/history',
      'GET /entities/{id}/history/{property}',
      'GET /entities/{id}/timemap',
      'GET /export',
      'GET /health/live',
      'GET /health/ready',
      'GET /imports/{source}',
      'GET /metrics',
      'GET /types',
      'GET /types/{type}',
      'GET /types/{type}/compare',
      'GET /types/{type}/counts/{property}',
      'GET /types/{type}/history/{property}',
      'GET /types/{type}/openapi',
      'GET /types/{type}/versions',
      'PATCH /entities/{id}',
      'POST /activities',
      'POST /activities/{id}/revert',
      'POST /batch',
      'POST /entities',
      'POST /entities/{id}/restore',
      'POST /entities/{id}/revert',
      'POST /import',
      'PUT /entities/{id}',
      'PUT /types/{type}',
    ]);
    for (const { name, operation } of operations) {
      t.type(operation.summary, 'string', name);
      t.type(operation.operationId, 'string', name);
      for (const parameter of listOf(operation.parameters)) {
        const shared = String(at(parameter, '$ref')).replace('#/components/parameters/', '');
        const whole = at(objectOf(at(objectOf(at(document, 'components')), 'parameters')), shared) ?? parameter;
        t.type(at(whole, 'description'), 'string', `${name} ${at(whole, 'name')}`);
      }
    }
  });

  await t.test(
    'is read by tools that know no YAML aliases, and every answer, parameter and header has one name',
    async (t) => {
      t.notMatch(written, /[:-] [&*]\w/);
      t.notMatch(written, /: \d{4}-\d\d-\d\d/, 'what looks like a date stands in quotes');
      const { components } = objectOf(document);
      for (const kind of ['schemas', 'parameters', 'headers', 'responses'])
        t.ok(Object.keys(objectOf(at(components, kind))).length > 5, kind);
      for (const name of [
        'Change',
        'ActivityRef',
        'SnapshotItem',
        'EntityToCreate',
        'EntityToPut',
        'MergePatch',
        'JsonPatch',
      ])
        t.ok(at(at(components, 'schemas'), name), name);
      const types = ['Limit', 'DryRun', 'AsOf', 'Fields'].map((name) =>
        at(at(at(components, 'parameters'), name), 'schema'),
      );
      const lists = Object.values(objectOf(at(components, 'parameters'))).filter(
        (one) => at(at(one, 'schema'), 'type') === 'array',
      );
      t.ok(lists.length >= 5);
      for (const one of lists) {
        const name = String(at(one, 'name'));
        t.same(parseQuery(`${name}=a,b`)[name], ['a', 'b'], `${name} is read as the list that it is said to be`);
      }
      t.match(types, [
        { type: 'integer', minimum: 1, maximum: 1000 },
        { type: 'boolean' },
        { $ref: '#/components/schemas/Point' },
        { type: 'array', items: { type: 'string' } },
      ]);
    },
  );

  await t.test('describes the headers of answers without a body, and which bodies may be left out', async (t) => {
    const operation = (name: string) => operations.find((one) => one.name === name)?.operation;
    const minimal = at(at(operation('PUT /entities/{id}'), 'responses'), '204');
    t.same(Object.keys(objectOf(at(minimal, 'headers'))), ['ETag', 'Tick-At', 'Preference-Applied', 'Location']);
    const bodies = operations.flatMap(({ name, operation: { requestBody } }) =>
      requestBody === undefined ? [] : [[name, at(requestBody, 'required')]],
    );
    t.same(
      bodies.filter(([, required]) => required !== true),
      [['POST /entities/{id}/restore', false]],
    );
  });

  await t.test('describes every problem code, with an example, where it can occur', async (t) => {
    const documented = new Set<string>();
    for (const { operation } of operations) {
      for (const [status, response] of Object.entries(objectOf(operation.responses))) {
        if (Number(status) < 400) continue;
        for (const [, code] of String(at(response, 'description')).matchAll(/`(\w+)`/g))
          documented.add(`${status} ${code}`);
        const name = String(at(response, '$ref')).replace('#/components/responses/', '');
        const shared = at(objectOf(at(at(document, 'components'), 'responses')), name);
        const content = objectOf(at(objectOf(at(shared, 'content')), 'application/problem+json'));
        for (const [code, example] of Object.entries(objectOf(content.examples)))
          t.match(at(example, 'value'), { code, status: Number(status), type: `/docs/problems/${code}` });
      }
    }
    const known = Object.entries(PROBLEMS)
      .filter(([code]) => !['route_not_found', 'method_not_allowed'].includes(code))
      .map(([code, { status }]) => `${status} ${code}`);
    t.same([...documented].toSorted(), known.toSorted());
  });
});

function operationsOf(document: Json): { name: string; operation: JsonObject }[] {
  return Object.entries(objectOf(at(document, 'paths'))).flatMap(([path, item]) =>
    Object.entries(objectOf(item)).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      operation: objectOf(operation),
    })),
  );
}

const at = (value: Json | undefined, name: string): Json | undefined => (isObject(value) ? value[name] : undefined);

function objectOf(value: Json | undefined): JsonObject {
  if (!isObject(value)) throw new Error(`no object: ${JSON.stringify(value)}`);
  return value;
}

const listOf = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);
