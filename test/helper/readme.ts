import { readFile } from 'node:fs/promises';

/** A curl command as far as the README uses curl. */
export type Request = { method: string; url: string; headers: Record<string, string>; body: string | undefined };

/** A step of the tour: commands, and the one answer that each of them gives. */
export type Step = { requests: Request[]; answer: string };

/** The steps of the README's tour: each block of shell with curl, followed by a block of JSON. */
export async function tour(): Promise<Step[]> {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  return [...readme.matchAll(/```sh\n(curl[\s\S]*?)\n```\n```json\n([\s\S]*?)\n```/g)].map(
    ([, commands = '', answer = '']) => ({
      requests: commands.split(/\n(?=curl )/).map(requestOf),
      answer,
    }),
  );
}

function requestOf(command: string): Request {
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
  const request: Request = { method: '', url: '', headers: {}, body: undefined };
  for (let at = 1; at < words.length; at++) {
    const word = words[at] ?? '';
    const next = () => words[++at] ?? '';
    if (word === '-s') continue;
    else if (word === '-X') request.method = next();
    else if (word === '-H') {
      const [name = '', value = ''] = next().split(/: (.*)/);
      request.headers[name.toLowerCase()] = value;
    } else if (word === '--json') {
      request.body = next();
      request.headers['content-type'] = 'application/json';
    } else if (word.startsWith('-'))
      throw new Error(`the tour uses an option of curl that its test does not know: ${word}`);
    else request.url = word;
  }
  request.method ||= request.body === undefined ? 'GET' : 'POST';
  return request;
}
