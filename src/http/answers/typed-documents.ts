import { setImmediate } from 'node:timers/promises';
import { definitionOf } from '../../definitions/definition.js';
import type { DefinitionRow } from '../../storage/definitions.js';
import { type JsonObject, objectIn } from '../../temporal/json.js';
import { inMiB } from '../../temporal/limits.js';
import { Refusal } from '../../temporal/refusal.js';
import type { App } from '../app-type.js';
import { type Defined, documentOfType, type TypedParts, typedParts, withTypes, yamlOf } from '../contract/typed.js';

/* OpenAPI documents with what definitions say, as text. */

/** Of how many definitions one document tells, and how many bytes they may have together. */
export const MOST_TYPES = { most: 200, bytes: 4 * 2 ** 20 };

/** The refusal of a document that would tell of more. */
export const tooManyTypes = (): Refusal =>
  Refusal.at(
    'too_much_to_read',
    'types',
    'asks for more than one document tells',
    `There are more definitions than one document tells of (${MOST_TYPES.most}, ${inMiB(MOST_TYPES.bytes)}): /types/{type}/openapi tells of one.`,
  );

/**
 * The document of the calls on entities of one type, as JSON.
 * @throws Refusal `invalid_definition` where it was recorded by a service that knew other rules
 */
export const typeDocumentText = (app: App, row: DefinitionRow): string =>
  JSON.stringify(documentOfType(serviceDocument(app), definedBy(row)));

/**
 * The document of all calls with the types that are defined, as YAML: in the syntax of JSON, because to lay out megabytes would take seconds.
 * Between two types others are served.
 * @throws Refusal `invalid_definition` where one was recorded by a service that knew other rules
 */
export async function typedDocumentText(app: App, rows: readonly DefinitionRow[]): Promise<string> {
  const service = serviceDocument(app);
  const parts: TypedParts[] = [];
  for (const row of rows) {
    parts.push(typedParts(service, definedBy(row)));
    await setImmediate();
  }
  return yamlOf(withTypes(service, parts));
}

/** What a row says. Its schema was compiled when it was recorded. */
function definedBy({ type, tick, properties }: DefinitionRow): Defined {
  return { type, tick, definition: definitionOf(objectIn(properties), () => {}) };
}

const documents = new WeakMap<App, JsonObject>();

/** The document of the service. */
function serviceDocument(app: App): JsonObject {
  const known = documents.get(app);
  if (known) return known;
  const document = objectIn(JSON.stringify(app.swagger()));
  documents.set(app, document);
  return document;
}
