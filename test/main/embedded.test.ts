import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { folder, leftRunning, MAIN, ROOT, start } from '../helper/program.js';

t.test('the embedded database', async (t) => {
  const dataDir = join(await folder(t), 'data');
  let service = await start(t, { DATA_DIR: dataDir });
  const friend = () => fetch(`${service.url}/entities/friend:rachel`).then((response) => response.text());
  const body = JSON.stringify({ type: 'friend', key: 'rachel', properties: { name: 'Rachel' } });
  const made = await fetch(`${service.url}/entities`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  t.equal(made.status, 201);
  const text = await made.text();

  await t.test('a second instance on the same data is refused, and does no harm', async (t) => {
    const second = await start(t, { DATA_DIR: dataDir });
    t.equal(await second.ended, 1);
    t.match(second.output(), /cannot start: another clocktick is using/);
    t.equal(await friend(), text);
  });

  await t.test('what callers keep does not reach the log, not even where the database refuses it', async (t) => {
    const write = (properties: object) =>
      fetch(`${service.url}/entities/friend:lock`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ type: 'friend', properties }),
      });
    t.equal((await write({ secret: 'TOPSECRET' })).status, 201);
    t.equal((await write({ secret: 'TOPSECRET', large: Array(40_000).fill(5e-324) })).status, 413);
    await sleep(200);
    const log = await readFile(join(dataDir, 'postgres/server.log'), 'utf8');
    t.match(log, 'violates check constraint', 'it was refused by the database, and logged');
    t.notMatch(log, 'TOPSECRET');
    t.notMatch(service.output(), 'TOPSECRET');
  });

  await t.test('SIGTERM: a request in flight is answered, then the database stops', async (t) => {
    const soon = new Date(Date.now() + 800).toISOString();
    const waiting = fetch(`${service.url}/entities/friend:rachel?asOf=${soon}`);
    await sleep(200);
    service.process.kill('SIGTERM');
    const answer = await waiting;
    t.equal(answer.status, 200);
    t.equal(await answer.text(), text);
    t.equal(await service.ended, 0);
    await t.rejects(fetch(`${service.url}/health/live`));
    t.notOk((await readdir(join(dataDir, 'postgres/data'))).includes('postmaster.pid'));
  });

  await t.test('the data is there after a restart, and after a crash', async (t) => {
    service = await start(t, { DATA_DIR: dataDir, REQUIRE_CONDITION: 'true' });
    t.equal(await friend(), text);
    const unseen = await fetch(`${service.url}/entities/friend:rachel`, { method: 'DELETE' });
    t.equal(unseen.status, 428, 'REQUIRE_CONDITION is heeded');
    service.process.kill('SIGKILL');
    await service.ended;
    service = await start(t, { DATA_DIR: dataDir });
    t.equal(await friend(), text);
  });

  await t.test('SIGINT stops it too, with the whole process group as from a terminal', async (t) => {
    const group = spawn(process.execPath, [MAIN], {
      cwd: ROOT,
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', PORT: '0', DATA_DIR: join(dataDir, '../other') },
    });
    let output = '';
    group.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk;
    });
    const ended = once(group, 'exit');
    while (!/: ready: \S+\n/.test(output)) await sleep(20);
    const url = /: ready: (\S+)/.exec(output)?.[1] ?? '';
    const waiting = fetch(`${url}/entities/friend:nobody?asOf=${new Date(Date.now() + 800).toISOString()}`);
    await sleep(200);
    process.kill(-(group.pid ?? 0), 'SIGINT');
    await sleep(20);
    process.kill(-(group.pid ?? 0), 'SIGINT'); // npm passes the terminal's signal on once more
    t.equal((await waiting).status, 404, 'the database was still there to say so');
    t.same(await ended, [0, null]);
  });
});

t.test('nothing of ours runs on', async (t) => t.same(leftRunning, []));
