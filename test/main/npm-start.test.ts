import { join } from 'node:path';
import t from 'tap';
import { folder, leftRunning, start } from '../helper/program.js';
import { playSteps } from '../helper/readme.js';

t.test('npm start, then the tour of the README gives the answers printed there', async (t) => {
  const service = await start(t, { DATA_DIR: join(await folder(t), 'data') }, ['npm', 'start']);
  t.match(service.output(), 'embedded PostgreSQL');
  const { steps, actual } = await playSteps('A first tour', service.url, (answer, expected, what) =>
    t.equal(answer, expected, what),
  );
  t.ok(steps >= 7);
  t.equal(new Set(actual.values()).size, actual.size, 'what differs in the README differs here');
  service.process.kill('SIGTERM');
  await service.ended;
  await t.rejects(fetch(`${service.url}/health/live`), 'npm passes the signal on, and nothing runs on');
});

t.test('nothing of ours runs on', async (t) => t.same(leftRunning, []));
