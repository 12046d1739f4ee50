import { checkDriver } from '../storage/engine/driver.js';
import { checkServer } from '../storage/engine/server-check.js';
import { migrateDatabase } from '../storage/migrate.js';

/** Brings a database up to date, as its owner. */
export const migrate = {
  does: 'brings the database up to date, as the owner of the schema',
  help: `Makes the schema clocktick, or brings it up to date, in one transaction; a database that is up to date it only looks at. Run it as the
role that owns the schema, or may make one. It also grants the group clocktick_service what the service needs: a login that is a
member of it, and owns nothing, can then serve.

As long as an upgrade alters tables, the service waits.
`,
  run: async (url: string): Promise<boolean> => {
    await checkDriver();
    await checkServer(url);
    for (const sentence of await migrateDatabase(url)) process.stdout.write(`clocktick: ${sentence}\n`);
    process.stdout.write(`clocktick: the database ${new URL(url).pathname.slice(1)} is up to date\n`);
    return true;
  },
};
