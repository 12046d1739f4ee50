import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.js';
import { BadSetting, readConfig } from './config.js';
import { checkServer, openDatabase, Unfit } from './storage/database.js';
import { startEmbedded } from './storage/embedded.js';
import { migrateDatabase } from './storage/migrate.js';

/** Longer than any request takes; then the process goes whatever is still open. */
const GRACE_MS = 30_000;

/** Runs the service: database, migrations, HTTP; undone in reverse on SIGTERM and SIGINT. */
async function run(): Promise<void> {
  const config = readConfig(process.env);
  const embedded = config.databaseUrl === undefined ? await startEmbedded({ dataDir: config.dataDir }) : undefined;
  const url = config.databaseUrl ?? embedded?.url ?? '';
  const storage = openDatabase(url);
  const app = buildApp({ storage, logger: { level: config.logLevel } });

  closeWithGrace({ delay: GRACE_MS, logger: false }, async ({ signal, err }) => {
    if (err) app.log.fatal({ err }, 'stopping after an error');
    else app.log.info(`${signal}: finishing the requests in flight`);
    await app.close();
    await storage.close();
    await embedded?.stop();
  });

  await checkServer(storage.sql);
  await migrateDatabase(url);
  const address = await app.listen({ host: config.host, port: config.port });
  process.stdout.write(
    `clocktick is ready: ${address}\n` +
      `  data   ${embedded ? `embedded PostgreSQL in ${config.dataDir}` : 'PostgreSQL of DATABASE_URL'}\n` +
      `  try    curl ${address}/health/ready\n`,
  );
}

run().catch((error: unknown) => {
  const expected = error instanceof BadSetting || error instanceof Unfit;
  process.stderr.write(`clocktick cannot start: ${expected ? error.message : describe(error)}\n`);
  process.exit(1);
});

/** The whole story of an error nobody expected; a driver's error carries no secrets of the URL. */
function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
