import { ClocktickProblem, clocktick, type Entity, type Outcome, type WrittenEntity } from 'clocktick/client';

/* A caller of the client, as it is compiled and run outside of this repository. */

interface Address {
  city: string;
  lines?: string[];
}
declare const process: { argv: string[] };
declare const console: { log(text: string): void };

const service = clocktick({ baseUrl: process.argv[2] ?? '', retry: { attempts: 2 } });
const told: unknown[] = [];
const address: Address = { city: 'Oslo' };
const acme: WrittenEntity = await service.entities.create({
  type: 'customer',
  key: 'acme',
  properties: { plan: 'free', address },
});
const { signal } = new AbortController();
const asOf: number | undefined = undefined;
const entity: Entity = await service.entities.get('customer:acme', { asOf, fields: undefined }, { signal });
told.push([acme.tick, entity.properties]);

// Whoever has seen tick 1 changes it, and tells who came first.
for (const plan of ['team', 'pro']) {
  const moved: Outcome<WrittenEntity> = await service.entities.patch(
    'customer:acme',
    { properties: { plan }, activity: { actor: 'monica' } },
    { ifMatch: acme.tick },
  );
  if (moved.done) told.push(moved.entity.properties.plan ?? null);
  else told.push(`somebody came first: tick ${moved.tick}`);
}
for await (const { tick, op, activity } of service.entities.history('customer:acme'))
  told.push([tick, op, activity?.actor ?? null]);
const then = service.at(acme.updatedAt);
for await (const { key, properties } of then.entities.list({ type: 'customer', where: { plan: 'free' } }))
  told.push([key, properties.plan ?? null]);
try {
  await service.entities.get('customer:nobody');
} catch (error) {
  if (error instanceof ClocktickProblem && error.code === 'entity_not_found') told.push(error.status);
}
console.log(JSON.stringify(told));
