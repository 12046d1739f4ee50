import t from 'tap';
import { runCommand } from '../helper/command.js';

const run = (...args: string[]) => runCommand('test/faults/command.ts', ...args);

t.test('the command injects what it is told, and says what came of it', async (t) => {
  const sound = await run('--only', 'privilege-revoked', '--seconds', '1', '--instances', '1', '--seed', '7');
  t.equal(sound.errors, '');
  t.match(
    sound.output,
    /^Seed 7, 12 clients, 1 instance\.\nprivilege-revoked: \d+ requests, .*: nothing is wrong\.\n$/,
  );
  t.equal(sound.code, 0);
});

t.test('what is asked wrongly is answered by a sentence', async (t) => {
  const [unknown, help] = await Promise.all([run('--only', 'flood'), run('--help')]);
  t.match(unknown.errors, /^There is no fault flood\. --help says what there is\.\n$/);
  t.equal(unknown.code, 2);
  t.match(help.output, 'npm run check:faults -- [options]');
});
