import { execFile } from 'node:child_process';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { driverFolder, MENDS } from '../../src/storage/engine/driver-mends.mjs';
import { testDatabase } from '../helper/database.js';
import { assembleImage } from '../helper/dockerfile.js';
import { folder, ROOT, start } from '../helper/program.js';

/*
 * What `npm ci --ignore-scripts` leaves: the driver as it is published. A service over it would seem to work.
 */

t.test(
  'a start over a driver that nobody mended refuses, connects nowhere, and says which command mends it',
  async (t) => {
    const app = join(await folder(t), 'app');
    const { command } = await assembleImage(app);
    const driver = join(app, 'node_modules/postgres');
    await rm(driver);
    await cp(join(driverFolder(), '..'), driver, { recursive: true });
    for (const { file, before, after } of MENDS) {
      const path = join(driver, 'src', file);
      await writeFile(
        path,
        (await readFile(path, 'utf8')).replace(after, () => before),
      );
    }
    const started = [process.execPath, ...command.slice(1).map((file) => join(app, file))];

    let connections = 0;
    const listening = createServer((socket) => {
      connections += 1;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    t.teardown(() => listening.close());
    await new Promise((resolve) => listening.once('listening', resolve));
    const address = listening.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const refused = await start(t, { DATABASE_URL: `postgres://127.0.0.1:${port}/x` }, started);
    t.equal(await refused.ended, 1);
    const says =
      /^clocktick cannot start: The database driver in \S+ has faults that installing mends: run `(.*)`\.\n$/;
    t.match(refused.output(), says);
    t.equal(connections, 0);

    const without = await start(t, {}, started);
    t.equal(await without.ended, 1);
    t.match(without.output(), says, 'before an embedded database is started, too');

    const [, mend = ''] = says.exec(refused.output()) ?? [];
    await promisify(execFile)('sh', ['-c', mend], { cwd: '/' });
    const { url } = await testDatabase(t, 'template0');
    const service = await start(t, { DATABASE_URL: url, LOG_LEVEL: 'silent' }, started);
    t.match(service.output(), /^clocktick: ready: /m, 'that command mends it');
  },
);

t.test('installing, building and making the image mend it', async (t) => {
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(
    await readFile(join(ROOT, 'package.json'), 'utf8'),
  );
  const mend = /^node src\/storage\/engine\/mend-postgres\.mjs( &&|$)/;
  t.match(scripts.postinstall, mend);
  t.match(scripts.build, mend);
  const image = await readFile(join(ROOT, 'Dockerfile'), 'utf8');
  const stage = image.slice(image.indexOf('AS dependencies'), image.indexOf('AS build'));
  t.match(stage, /^RUN .*npm ci .*\n(.+\n)*RUN node src\/storage\/engine\/mend-postgres\.mjs$/m);
});
