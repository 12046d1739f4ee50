import type postgres from 'postgres';
import { idOfKey } from '../../src/temporal/identity.js';
import type { JsonObject } from '../../src/temporal/json.js';
import { DEFINITION_TYPE } from '../../src/temporal/limits.js';
import { writeChanges, writeMany } from '../helper/write.js';
import { newThing } from './collection.js';

/* Two types of equal entities: one that is defined, and one that is open. What they cost differs by the definition alone. */

/** As real definitions are: of the ten properties of a thing, what each is, and nothing else. */
const RULES: JsonObject = {
  type: 'object',
  required: ['name', 'place', 'email'],
  additionalProperties: false,
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 100 },
    place: { type: 'string', pattern: '^(place )?\\d+$' },
    email: { type: 'string', format: 'email' },
    plan: { enum: ['free', 'basic', 'team', 'pro', 'partner'] },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    score: { type: 'number', minimum: 0 },
    active: { type: 'boolean' },
    seen: { type: 'string', format: 'date' },
    note: { type: 'string', maxLength: 1000 },
    team: { type: 'string', pattern: '^team \\d+$' },
  },
};

/** The ids of the entities of both. */
export type Twins = { defined: string[]; open: string[] };

export async function writeTwins(sql: postgres.Sql, count: number): Promise<Twins> {
  const created = { expected: 0, op: 'created' as const };
  const type = 'defined';
  const definition = { id: idOfKey(DEFINITION_TYPE, type), type: DEFINITION_TYPE, key: type, set: { schema: RULES } };
  await writeChanges(sql, [{ ...created, ...definition }]);
  const idsOf = (of: string) => Array.from({ length: count }, (_, n) => idOfKey(of, `${n}`));
  const twins = { defined: idsOf('defined'), open: idsOf('open') };
  for (const [of, ids] of Object.entries(twins)) {
    await writeMany(
      sql,
      ids.map((id, n) => ({
        ...created,
        id,
        type: of,
        key: `${n}`,
        set: newThing(n, 100),
        ...(of === type ? { definition: 1 } : {}),
      })),
    );
  }
  return twins;
}
