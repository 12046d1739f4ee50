/* How long it takes to undo what one activity did to many entities. */

const ENTITIES = 10_000;
/** How many operations a batch has at most. */
const TOGETHER = 1_000;

/**
 * Changes ten thousand entities under one activity, and undoes that.
 * @param service where it listens
 * @returns how many ticks a second are undone; what was to be undone is written before, and does not count
 */
export async function undone(service: string): Promise<number> {
  const { id } = await post(`${service}/activities`, { actor: 'bench' });
  const value = Date.now();
  for (let from = 0; from < ENTITIES; from += TOGETHER) {
    const put = (properties: object) =>
      Array.from({ length: TOGETHER }, (_, n) => ({ op: 'put', id: `undone:${from + n}`, type: 'undone', properties }));
    // So that each is there before, as something else.
    await post(`${service}/batch`, { operations: put({ name: 'one of many', value: -value }) });
    await post(`${service}/batch`, { operations: put({ name: 'one of many', value }) }, { 'activity-id': String(id) });
  }
  const start = performance.now();
  const { conflictCount, items } = await post(`${service}/activities/${id}/revert`, undefined);
  const seconds = (performance.now() - start) / 1_000;
  if (conflictCount !== 0 || !Array.isArray(items) || items.length !== ENTITIES) throw new Error('not all was undone');
  return ENTITIES / seconds;
}

async function post(url: string, body: object | undefined, headers: Record<string, string> = {}) {
  const type = body ? { 'content-type': 'application/json' } : {};
  const answer = await fetch(url, {
    method: 'POST',
    headers: { ...type, ...headers, prefer: 'return=minimal' },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (!answer.ok) throw new Error(`${url}: ${await answer.text()}`);
  const told: Record<string, unknown> = JSON.parse(await answer.text());
  return told;
}
