import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import postgres from 'postgres';
import t from 'tap';
import { folder, inFlight, leftRunning, start } from '../helper/program.js';
import { findingsOf } from '../helper/verified.js';

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

  await t.test('it is served by a role that owns nothing there, and altered by nobody', async (t) => {
    t.notMatch(service.output(), 'owns the schema');
    const password = await readFile(join(dataDir, 'postgres/password'), 'utf8');
    const [, , , port] = (await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8')).split('\n');
    const url = `postgres://clocktick:${password}@127.0.0.1:${port}/clocktick`;
    const sql = postgres(url, { max: 1 });
    const roles = await sql`
      SELECT DISTINCT a.usename AS name, r.rolsuper AS super, pg_has_role(a.usename, 'clocktick_service', 'MEMBER') AS member
        FROM pg_stat_activity a JOIN pg_roles r ON r.rolname = a.usename
       WHERE a.datname = 'clocktick' AND a.application_name = 'clocktick'`;
    await sql.end();
    t.same(roles, [{ name: 'clocktick_login', super: false, member: true }]);
    t.same(await findingsOf(url), []);
  });

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
    const log = await readFile(join(dataDir, 'postgres/server.log'), 'utf8');
    t.match(log, 'violates check constraint', 'it was refused by the database, and logged');
    t.notMatch(log, 'TOPSECRET');
  });

  await t.test('SIGTERM: a request in flight is answered, then the database stops', async (t) => {
    const soon = new Date(Date.now() + 800).toISOString();
    const { answer } = await inFlight(`${service.url}/entities/friend:rachel?asOf=${soon}`);
    service.process.kill('SIGTERM');
    t.same(await answer, { status: 200, text });
    t.equal(await service.ended, 0);
    t.notMatch(service.output(), 'TOPSECRET', 'nor is what callers keep in its own log');
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
    const group = await start(t, { DATA_DIR: join(dataDir, '../other') }, undefined, { detached: true });
    const soon = new Date(Date.now() + 800).toISOString();
    const { answer } = await inFlight(`${group.url}/entities/friend:nobody?asOf=${soon}`);
    process.kill(-(group.process.pid ?? 0), 'SIGINT');
    await group.says(/SIGINT: finishing/);
    process.kill(-(group.process.pid ?? 0), 'SIGINT'); // npm passes the terminal's signal on once more
    t.equal((await answer).status, 404, 'the database was still there to say so');
    t.equal(await group.ended, 0);
  });
});

t.test('nothing of ours runs on', async (t) => t.same(leftRunning, []));
