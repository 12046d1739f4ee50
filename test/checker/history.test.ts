import { randomInt } from 'node:crypto';
import t, { type Test } from 'tap';
import { openStorage } from '../../src/storage/open.js';
import { isObject } from '../../src/temporal/json.js';
import { runCommand } from '../helper/command.js';
import { type Service, serve, testService } from '../helper/service.js';
import { stepsOf } from './clients.js';
import { run as checkHistory } from './history.js';
import { runAndCheck } from './run.js';
import { countsOf, tellViolations } from './told.js';

/*
 * The quick form of the history checker: what many clients are told, by two instances over one database, is what one entity
 * after the other could have been told by the model. HISTORY_SEED makes the clients send what they sent in a run that failed.
 */

const SEED = Number(process.env.HISTORY_SEED ?? randomInt(2 ** 31 - 1));

/** What a run has at least, so that nothing is found because nothing happened. A tenth of what usually is there, because in a storm a slow machine answers little else than 503. */
const REQUESTS = 600;
const LEAST = Object.entries({
  ticks: 12,
  acknowledged: 13,
  refused: 13,
  indeterminate: 3,
  'reads now': 6,
  'reads as of a tick': 2,
  'reads as of an instant': 5,
  lists: 2,
  pages: 6,
  'asked again': 13,
});

/** … of batches, and of undos; in a storm few get through. */
const LEAST_TOGETHER = Object.entries({
  batches: 4,
  'batches refused': 2,
  undos: 2,
  'dry runs': 1,
  'ticks of batches and undos': 8,
});

/** Two instances over one database of their own, and where they listen. */
async function twoInstances(
  t: Test,
  prepare: (service: Service) => unknown = () => {},
): Promise<Service & { services: URL[]; urls: string[] }> {
  const service = await testService(t);
  await prepare(service);
  const second = openStorage(service.serviceUrl);
  t.teardown(() => second.close());
  const other = await serve(t, second);
  const listening = [service.app, other.app].map((app) => app.listen({ port: 0, host: '127.0.0.1' }));
  const urls = await Promise.all(listening);
  return { ...service, urls, services: urls.map((url) => new URL(url)) };
}

for (const weather of ['calm', 'storm']) {
  t.test(`12 clients of two instances, ${weather}: everything they were told holds`, async (t) => {
    const { services, sql } = await twoInstances(t);
    const plan = { services, type: 'history', seed: SEED, clients: 12, seconds: 1.5, least: REQUESTS };
    const { recording, violations } = await runAndCheck(weather === 'storm' ? { ...plan, storm: sql } : plan);
    t.same(tellViolations(violations, 3), [], `HISTORY_SEED=${SEED}`);
    const counts: Record<string, number> = countsOf(recording);
    t.comment(counts);
    const due = weather === 'calm' ? [...LEAST, ...LEAST_TOGETHER] : LEAST;
    for (const [what, least] of due) t.ok((counts[what] ?? 0) >= least, `${counts[what]} ${what}`);
    t.equal((counts['answered 503'] ?? 0) > 0, weather === 'storm', `${counts['answered 503']} answered 503`);
  });
}

/** Ways to break a batch, and what must be found. */
const BREAKS: Record<string, [prepare: (service: Service) => unknown, words: RegExp]> = {
  'the first change at an instant of its own': [
    ({ sql }) =>
      sql.unsafe(`
        ALTER FUNCTION clocktick.write_changes RENAME TO write_whole;
        CREATE FUNCTION clocktick.write_changes(
          changes jsonb, patient boolean, not_before timestamptz DEFAULT NULL, not_after timestamptz DEFAULT NULL, together boolean DEFAULT false
        ) RETURNS TABLE (
          id uuid, outcome text, type text, key text, tick integer, deleted boolean,
          created_at timestamptz, updated_at timestamptz, properties jsonb, untracked jsonb
        ) LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
          IF together AND jsonb_array_length(changes) > 1 THEN
            RETURN QUERY SELECT * FROM clocktick.write_whole(jsonb_build_array(changes -> 0), patient, not_before, not_after, true);
            RETURN QUERY SELECT * FROM clocktick.write_whole(changes - 0, patient, not_before, not_after, true);
          ELSE
            RETURN QUERY SELECT * FROM clocktick.write_whole(changes, patient, not_before, not_after, together);
          END IF;
        END
        $$`),
    /^whole: its ticks have 2 instants: /m,
  ],
  'the last operation left out': [
    ({ app }) => {
      app.addHook('preHandler', async ({ body, routeOptions }) => {
        if (routeOptions.url !== '/batch' || !isObject(body) || !Array.isArray(body.operations)) return;
        body.operations.pop();
      });
    },
    /^whole: the answer tells of \d entities, and not of \d$/m,
  ],
};

for (const [broken, [prepare, words]] of Object.entries(BREAKS)) {
  t.test(`it is found when of a batch is written: ${broken}`, async (t) => {
    const { services } = await twoInstances(t, prepare);
    const plan = { services, type: 'history', seed: SEED, clients: 8, seconds: 0.5, least: REQUESTS / 2 };
    const { violations } = await runAndCheck(plan);
    // All of them: by chance many others come first.
    t.match(tellViolations(violations, 1_000).join('\n'), words, `HISTORY_SEED=${SEED}`);
  });
}

t.test('the same seed takes the same steps, another seed others', async (t) => {
  const firstSteps = (seed: number, clients: number) =>
    stepsOf(seed, clients).map((steps) => {
      const iterator = steps[Symbol.iterator]();
      return Array.from({ length: 200 }, () => iterator.next().value);
    });
  const steps = firstSteps(SEED, 3);
  t.same(firstSteps(SEED, 3), steps);
  t.same(firstSteps(SEED, 2), steps.slice(0, 2), 'however many clients there are');
  t.equal(new Set([...steps, ...firstSteps(SEED + 1, 3)].map((all) => JSON.stringify(all))).size, 6);
});

const run = (...args: string[]) => runCommand('test/checker/history.ts', ...args);

t.test('the command checks running services, and says what it found', async (t) => {
  let isBroken = false;
  const { urls } = await twoInstances(t, ({ app }) => {
    app.addHook('onSend', async ({ url }, _reply, payload) =>
      isBroken && /asOf=\d+-/.test(url) && typeof payload === 'string'
        ? payload.replace(/"n": \d+/, '"n": 777')
        : payload,
    );
  });
  const where = urls.flatMap((url) => ['--url', url]);
  const sound = await run(...where, '--seconds', '1', '--seed', '7', '--clients', '4');
  t.equal(sound.errors, '');
  t.match(sound.output, /^clients work 0%, 0 requests$/m);
  t.match(
    sound.output,
    /\nSeed 7: \d+ requests, \d+ ticks of 6 entities of type history-\w+ \(.*\): nothing is violated\.\n$/,
  );
  t.equal(sound.code, 0);

  // Now one of the two says something else of the past. A slow machine gets to few reads of it in a second.
  isBroken = true;
  const broken = await run(...where, '--seconds', '1', '--requests', '1000', '--clients', '8');
  // Which reads come first is chance: of one entity, or of several.
  t.match(broken.output, /^as of: .*by (its history|the histories of what it lists).*\n {4}client \d+, .*"n": 777/m);
  t.match(broken.output, /\nAll requests and their answers are in \S+\.\nSeed \d+: .*: \d+ violations\.\n$/);
  t.equal(broken.code, 1);
});

t.test('what is asked wrongly is answered by a sentence', async (t) => {
  const cases: [args: string[], sentence: RegExp][] = [
    [['--seconds', '0'], /^--seconds 0 is no whole number from 1 to 86400\. --help says what there is\.$/],
    [['--url', 'http://127.0.0.1:1', '--storm'], /^--storm is for services of its own, not for those of --url\./],
    [['--url', 'http://127.0.0.1:1'], /^No service answers at http:\/\/127\.0\.0\.1:1\//],
    [['--sed', '1'], /^Unknown option '--sed'.* --help says what there is\.$/],
  ];
  for (const [args, message] of cases)
    await t.rejects(checkHistory(args), { name: 'Complaint', message }, args.join(' '));
  const { code, output, errors } = await run('--seconds', '0');
  t.match(errors, /^--seconds 0 is no .*\.\n$/);
  t.same({ code, output }, { code: 2, output: '' });
  t.match(await run('--help'), { code: 0, output: 'npm run check:history -- [options]' });
});
