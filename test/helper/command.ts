import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Runs a command of ours as npm does. */
export async function runCommand(
  file: string,
  ...args: string[]
): Promise<{ code: number; output: string; errors: string }> {
  const clean = Object.entries(process.env).filter(([name]) => !/^(TAP|NODE_OPTIONS|npm_)/.test(name));
  const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
    cwd: ROOT,
    env: Object.fromEntries(clean),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code]: number[] = await ended;
  return { code: code ?? -1, output, errors };
}
