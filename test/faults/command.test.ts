import t from 'tap';
import { runCommand } from '../helper/command.js';

const run = (...args: string[]) => runCommand('test/faults/command.ts', ...args);

t.test('the command injects what it is told, and says what came of it', async (t) => {
  const short = ['--seconds', '1', '--counted', '1', '--instances', '1', '--clients', '4'];
  const sound = await run('--only', 'privilege-revoked', ...short, '--seed', '7');
  t.equal(sound.errors, '');
  t.match(sound.output, /^Seed 7, 4 clients, 1 instance\.\nprivilege-revoked: \d+ requests, .*: nothing is wrong\.\n$/);
  t.equal(sound.code, 0);
});

t.test('what is asked wrongly is answered by a sentence', async (t) => {
  const unknown = await run('--only', 'flood');
  t.match(unknown.errors, /^There is no fault flood\. --help says what there is\.\n$/);
  t.equal(unknown.code, 2);
  const help = await run('--help');
  t.match(help.output, 'npm run check:faults -- [options]');
});
