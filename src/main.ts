import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.js';
import { type Config, isLoopback, readArguments, readConfig } from './config.js';
import { DEMO_PATH, loadDemo } from './demo/load.js';
import { startEmbedded } from './embedded/start.js';
import { reasonOf } from './reason.js';
import { checkDriver } from './storage/engine/driver.js';
import { checkServer } from './storage/engine/server-check.js';
import { migrateDatabase, prepareDatabase, SERVICE_ROLE } from './storage/migrate.js';
import { openStorage } from './storage/open.js';

/** How long a stopping service waits for requests in flight before it cuts their connections: one that only half arrived never ends. */
const REQUEST_GRACE_MS = 15_000;
/** When the process ends, whatever is still open. It leaves time for the requests and for the embedded database to stop (20 s). */
const GRACE_MS = 40_000;

/** What one role for migrating and for serving gives up. */
const ONE_ROLE =
  'the role of DATABASE_URL owns the schema: whoever gets hold of it can switch off what keeps the record. A role that owns nothing serves as well (guide "Operating", "Two roles").';

/** What has been started, in order, each with what undoes it. */
type Started = { name: string; undo: () => Promise<void> }[];

/** Runs the service: database, migrations, HTTP. On SIGTERM and SIGINT, or when the start fails, it undoes all in reverse. */
async function run(): Promise<void> {
  const config = readConfig(process.env);
  const { demo } = readArguments(process.argv.slice(2));
  const started: Started = [];
  let starting = Promise.resolve();
  closeWithGrace(
    { delay: GRACE_MS + config.drainSeconds * 1000, logger: false, onTimeout: () => say('did not stop in time') },
    async ({ signal, err }) => {
      ignoreFurtherSignals();
      if (err) process.stderr.write(`clocktick stops: ${reasonOf(err)}\n`);
      // SIGHUP: the terminal has closed and takes no more output, and the log would try for ever (EIO).
      else if (signal !== 'SIGHUP') say(`${signal}: finishing what is in flight`);
      await starting.catch(() => {}); // only what has started can be undone
      await undo(started);
    },
  );
  starting = start(config, demo, started);
  await starting.catch(async (error: unknown) => {
    await undo(started);
    throw error;
  });
}

async function start(config: Config, demo: boolean, started: Started): Promise<void> {
  await checkDriver(); // before anything connects
  const url = config.databaseUrl
    ? await fitDatabase(config.databaseUrl)
    : await startOwnDatabase(config.dataDir, started);
  const storage = openStorage(url);
  started.push({ name: 'the connections', undo: storage.close });
  const app = await buildApp({
    storage,
    rules: { requireCondition: config.requireCondition },
    logger: { level: config.logLevel },
    publicUrl: config.publicUrl,
    hosts: config.hosts,
    drainMs: config.drainSeconds * 1000,
  });
  started.push({
    name: 'the service',
    undo: async () => {
      const grace = config.drainSeconds * 1000 + REQUEST_GRACE_MS;
      const cut = setTimeout(() => app.server.closeAllConnections(), grace);
      await app.close().finally(() => clearTimeout(cut));
    },
  });
  if (demo) await loadDemo((request) => app.inject(request), config.databaseUrl === undefined);
  if (!isLoopback(config.host))
    say(
      'WARNING: whoever reaches this address may read and write everything: there is no authentication yet. Set HOST to 127.0.0.1, or guard it.',
    );
  const address = await app.listen({ host: config.host, port: config.port });
  say(
    `ready: ${address}\n` +
      `  data   ${config.databaseUrl ? 'PostgreSQL of DATABASE_URL' : `embedded PostgreSQL in ${config.dataDir}`}\n` +
      `  look   ${config.publicUrl ?? address}${demo ? DEMO_PATH : '/ui/'}\n` +
      `  try    curl ${address}/health/ready`,
  );
}

/** Makes the database of DATABASE_URL fit to be served. */
async function fitDatabase(url: string): Promise<string> {
  for (const sentence of await checkServer(url)) say(`the database server's ${sentence}`);
  const { owns, said } = await prepareDatabase(url);
  for (const sentence of said) say(sentence);
  if (owns) say(ONE_ROLE);
  return url;
}

/** Starts the embedded database, and migrates it as its superuser. Gives the URL of a login that owns nothing there. */
async function startOwnDatabase(dataDir: string, started: Started): Promise<string> {
  const database = await startEmbedded({ dataDir, say });
  started.push({ name: 'the embedded database', undo: database.stop });
  // Nobody catches this, so it ends the service as any other error that nobody expected does: in order, and non-zero.
  void database.lost.then((why) => {
    throw why;
  });
  await checkServer(database.url);
  await migrateDatabase(database.url);
  return database.memberUrl(SERVICE_ROLE);
}

/** Undoes all that was started, the newest first. When one part fails to stop, the others are stopped all the same. */
async function undo(started: Started): Promise<void> {
  for (let last = started.pop(); last; last = started.pop()) {
    const { name } = last;
    await last.undo().catch((error: unknown) => say(`${name} did not stop: ${reasonOf(error)}`));
  }
}

/** Ctrl-C reaches a service under npm twice, from the terminal and from npm. The second does not mean that it must stop at once. */
function ignoreFurtherSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.removeAllListeners(signal).on(signal, () => {});
}

const say = (text: string) => process.stdout.write(`clocktick: ${text}\n`);

run().catch((error: unknown) => {
  process.stderr.write(`clocktick cannot start: ${reasonOf(error)}\n`);
  process.exit(1);
});
