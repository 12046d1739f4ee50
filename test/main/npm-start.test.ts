import { cp, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { folder, leftRunning, ROOT, start } from '../helper/program.js';
import { playSteps } from '../helper/steps.js';

t.test(
  'npm start with a sample, then the steps of the README and of the tour give the answers printed there',
  async (t) => {
    // In a copy: it builds the service, which other tests are running just then.
    const copy = t.testdir({});
    for (const part of ['package.json', 'tsconfig.json', 'src', 'drizzle'])
      await cp(join(ROOT, part), join(copy, part), { recursive: true });
    await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const service = await start(t, { DATA_DIR: join(await folder(t), 'data') }, ['npm', 'start', '--', '--demo'], {
      cwd: copy,
    });
    t.match(service.output(), 'embedded PostgreSQL');
    const look = /^ {2}look +(\S+)$/m.exec(service.output())?.[1] ?? '';
    t.equal(look, `${service.url}/ui/?type=country`);
    t.match(await (await fetch(look)).text(), '<title>clocktick</title>');
    t.match(await (await fetch(`${service.url}/entities/country:RUR`)).json(), { properties: { capital: 'Strelsau' } });
    for (const [file, heading, count] of [
      ['README.md', 'Try it', 4],
      ['src/guide/tour.md', 'Rachel', 17],
      ['src/guide/types.md', 'Defining a type', 1],
      ['src/guide/types.md', 'What is refused', 1],
      ['src/guide/types.md', 'Defaults', 1],
    ] as const) {
      const { steps, actual } = await playSteps({ file, heading }, service.url, (answer, expected, what) =>
        t.equal(answer, expected, what),
      );
      t.equal(steps, count, file);
      t.equal(new Set(actual.values()).size, actual.size, `what differs in ${file} differs here`);
    }
    t.match(
      await (await fetch(`${service.url}/docs/guide/tour`)).text(),
      '<h1>A tour</h1>',
      'and the service serves it',
    );
    service.process.kill('SIGTERM');
    await service.ended;
    await t.rejects(fetch(`${service.url}/health/live`), 'npm passes the signal on, and nothing runs on');
  },
);

t.test('nothing of ours runs on', async (t) => t.same(leftRunning, []));
