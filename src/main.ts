import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.js';
import { BadSetting, type Config, isLoopback, readConfig } from './config.js';
import { startEmbedded } from './embedded/start.js';
import { checkDriver } from './storage/engine/driver.js';
import { checkServer } from './storage/engine/server-check.js';
import { migrateDatabase } from './storage/migrate.js';
import { openStorage } from './storage/open.js';
import { Unfit } from './unfit.js';

/** How long a stopping service waits for requests in flight before it cuts their connections: one that only half arrived never ends. */
const REQUEST_GRACE_MS = 15_000;
/** When the process ends, whatever is still open. It leaves time for the requests and for the embedded database to stop (20 s). */
const GRACE_MS = 40_000;

/** What has been started, in order, each with what undoes it. */
type Started = { name: string; undo: () => Promise<void> }[];

/** Runs the service: database, migrations, HTTP. On SIGTERM and SIGINT, or when the start fails, it undoes all in reverse. */
async function run(): Promise<void> {
  const config = readConfig(process.env);
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
  starting = start(config, started);
  await starting.catch(async (error: unknown) => {
    await undo(started);
    throw error;
  });
}

async function start(config: Config, started: Started): Promise<void> {
  await checkDriver(); // before anything connects
  const url = config.databaseUrl ?? (await startOwnDatabase(config, started));
  const advice = await checkServer(url);
  if (config.databaseUrl) for (const sentence of advice) say(`the database server's ${sentence}`);
  await migrateDatabase(url);
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
  if (!isLoopback(config.host))
    say(
      'WARNING: whoever reaches this address may read and write everything: there is no authentication yet. Set HOST to 127.0.0.1, or guard it.',
    );
  const address = await app.listen({ host: config.host, port: config.port });
  say(
    `ready: ${address}\n` +
      `  data   ${config.databaseUrl ? 'PostgreSQL of DATABASE_URL' : `embedded PostgreSQL in ${config.dataDir}`}\n` +
      `  try    curl ${address}/health/ready`,
  );
}

async function startOwnDatabase({ dataDir }: Config, started: Started): Promise<string> {
  const database = await startEmbedded({ dataDir, say });
  started.push({ name: 'the embedded database', undo: database.stop });
  // Nobody catches this, so it ends the service as any other error that nobody expected does: in order, and non-zero.
  void database.lost.then((why) => {
    throw why;
  });
  return database.url;
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

/** Why the start failed: a sentence where whoever starts the service can do something about it, otherwise the stack. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof BadSetting || error instanceof Unfit) return error.message;
  // Drizzle wraps the errors of the driver and the server.
  if (error.cause instanceof Error && 'code' in error.cause) return reasonOf(error.cause);
  if ('severity' in error) return `the database says: ${error.message}.`;
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return `${error.message}. Set PORT to another one.`;
  if ('syscall' in error && error.syscall === 'connect')
    return `the database of DATABASE_URL does not answer (${code}).`;
  if (code === 'CONNECT_TIMEOUT') return `the database of DATABASE_URL does not answer (${code}).`;
  if (code === 'CONNECTION_CLOSED') return 'the connection to the database broke.';
  if (code === 'ECONNRESET')
    return 'the database of DATABASE_URL broke the connection. If the URL asks for TLS (sslmode), it may have none.';
  if ('syscall' in error && error.syscall === 'getaddrinfo')
    return `${error.message}. Look at the hosts in DATABASE_URL and in HOST.`;
  if ('syscall' in error && error.syscall === 'mkdir')
    return `${error.message}. DATA_DIR must be a folder, or the name of one that can be made.`;
  if ('syscall' in error) return `${error.message}.`;
  return error.stack ?? error.message;
}
