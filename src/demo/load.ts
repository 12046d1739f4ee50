import { Unfit } from '../unfit.js';
import { DEMO_TYPE, demoLines } from './countries.js';

/** Asks the service something, without the network. */
type Ask = (request: {
  method: 'GET' | 'POST';
  url: string;
  headers?: Record<string, string>;
  payload?: string;
}) => Promise<{ statusCode: number; body: string }>;

/** The name of the import, by which a later start knows that it has been done. */
const SOURCE = 'clocktick-demo';

/** What to look at then: where the page shows the countries, from the root of the service. */
export const DEMO_PATH = `/ui/?type=${DEMO_TYPE}`;

/**
 * Imports the sample history, unless that has been done. What is recorded stays recorded, so it does not go into a database of others.
 * @param isOwn whether the database was made for this service alone: there the countries may lie beside what there is
 * @throws Unfit where they cannot be added
 */
export async function loadDemo(ask: Ask, isOwn: boolean): Promise<void> {
  const before = await ask({ method: 'GET', url: `/imports/${SOURCE}` });
  const isKnown = before.statusCode !== 404;
  if (isKnown && bodyOf(before).status === 'done') return;
  // What an earlier start has begun goes on.
  if (!isKnown && !isOwn && bodyOf(await ask({ method: 'GET', url: '/types?limit=1' })).items?.length !== 0)
    throw new Unfit(
      '--demo adds invented countries, and the database of DATABASE_URL has entities already. What is recorded stays: name an empty database, or leave --demo out.',
    );
  const done = await ask({
    method: 'POST',
    url: `/import?source=${SOURCE}&wait=60`,
    headers: { 'content-type': 'application/x-ndjson', accept: 'application/json' },
    payload: demoLines(),
  });
  bodyOf(done);
}

/** What an answer says. @throws Unfit where it is a problem */
function bodyOf({ statusCode, body }: { statusCode: number; body: string }): { status?: string; items?: unknown[] } {
  if (statusCode === 200) return JSON.parse(body);
  const { detail }: { detail: string } = JSON.parse(body);
  throw new Unfit(`--demo cannot add its countries: ${detail}`);
}
