import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.js';
import { BadSetting, type Config, readConfig } from './config.js';
import { checkServer, openDatabase, Unfit } from './storage/database.js';
import { startEmbedded } from './storage/embedded.js';
import { migrateDatabase } from './storage/migrate.js';

/** Longer than any request takes; then the process goes, whatever is still open. */
const GRACE_MS = 30_000;

/** Runs the service: database, migrations, HTTP; undone in reverse on SIGTERM and SIGINT, or when the start fails. */
async function run(): Promise<void> {
  const config = readConfig(process.env);
  const { url, stop } = await databaseOf(config);
  const storage = openDatabase(url);
  const app = buildApp({ storage, logger: { level: config.logLevel } });
  const close = async () => {
    await app.close();
    await storage.close();
    await stop();
  };
  closeWithGrace({ delay: GRACE_MS, logger: false }, async ({ signal, err }) => {
    if (err) app.log.fatal({ err }, 'stopping after an error');
    else app.log.info(`${signal}: finishing the requests in flight`);
    await close();
  });
  try {
    await checkServer(storage.sql);
    await migrateDatabase(url);
    const address = await app.listen({ host: config.host, port: config.port });
    process.stdout.write(
      `clocktick is ready: ${address}\n` +
        `  data   ${config.databaseUrl ? 'PostgreSQL of DATABASE_URL' : `embedded PostgreSQL in ${config.dataDir}`}\n` +
        `  try    curl ${address}/health/ready\n`,
    );
  } catch (error) {
    await close();
    throw error;
  }
}

/** The database to use, and how to stop it if it is ours. */
async function databaseOf({ databaseUrl, dataDir }: Config): Promise<{ url: string; stop: () => Promise<void> }> {
  if (databaseUrl !== undefined) return { url: databaseUrl, stop: async () => {} };
  return startEmbedded({ dataDir });
}

run().catch((error: unknown) => {
  process.stderr.write(`clocktick cannot start: ${reasonOf(error)}\n`);
  process.exit(1);
});

/** What whoever starts the service can do something about is said in a sentence, anything else with its stack. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return `${error.message}. Set PORT to another one.`;
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'CONNECT_TIMEOUT') {
    return `the database of DATABASE_URL does not answer (${code}).`;
  }
  if (error instanceof BadSetting || error instanceof Unfit) return error.message;
  return error.stack ?? error.message;
}
