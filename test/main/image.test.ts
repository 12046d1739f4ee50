import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { testDatabase } from '../helper/database.js';
import { assembleImage } from '../helper/dockerfile.js';
import { folder, start } from '../helper/program.js';

t.test('a container: what the Dockerfile copies is all that the service needs', async (t) => {
  const app = join(await folder(t), 'app');
  const { command, healthcheck } = await assembleImage(app);
  const started = [process.execPath, ...command.slice(1).map((file) => join(app, file))];
  const { url } = await testDatabase(t, 'template0');
  const service = await start(t, { DATABASE_URL: url, LOG_LEVEL: 'silent' }, started);
  t.match(service.output(), /^clocktick: ready: /m);
  t.equal((await fetch(`${service.url}/health/ready`)).status, 200);
  t.equal((await fetch(`${service.url}/docs/guide/calling`)).status, 200);
  t.equal((await fetch(`${service.url}/ui/`)).status, 200);
  const env = { ...process.env, NODE_OPTIONS: '', PORT: new URL(service.url).port };
  const health = () =>
    promisify(execFile)(process.execPath, healthcheck.slice(1), { env }).then(
      () => 'healthy',
      ({ code }) => `exit ${code}`,
    );
  t.equal(await health(), 'healthy');
  service.process.kill('SIGTERM');
  t.equal(await service.ended, 0);
  t.equal(await health(), 'exit 1');

  const without = await start(t, {}, started);
  t.equal(await without.ended, 1);
  t.match(
    without.output(),
    /^clocktick cannot start: DATABASE_URL is not set, and there is no embedded database here\./,
  );
});
