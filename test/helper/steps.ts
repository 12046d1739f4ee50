import { readFile } from 'node:fs/promises';

/** A curl command, as far as the README and the guides use curl. */
type Request = { method: string; url: string; headers: Record<string, string>; body: string | undefined };

/** Where steps stand: a file of the project, and a heading of the second level in it. */
type Section = { file: string; heading: string };

/** A step: commands, and the one answer that each of them gives. */
type Step = { requests: Request[]; answer: string };

/** The steps of a section of a file: each block of shell with curl, followed by a block of JSON. */
async function stepsOf({ file, heading }: Section): Promise<Step[]> {
  const whole = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8');
  const section = whole.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(/```sh\n(curl[\s\S]*?)\n```\n```json\n([\s\S]*?)\n```/g)].map(
    ([, commands = '', answer = '']) => ({
      requests: commands.split(/\n(?=curl )/).map(requestOf),
      answer,
    }),
  );
}

function requestOf(command: string): Request {
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
  const request: Request = { method: '', url: '', headers: {}, body: undefined };
  const parameters = new URLSearchParams();
  for (let at = 1; at < words.length; at++) {
    const word = words[at] ?? '';
    const next = () => words[++at] ?? '';
    if (word === '-s' || word === '-G') continue;
    else if (word === '-d' || word === '--data-urlencode') {
      const [name = '', value = ''] = next().split(/=(.*)/s);
      parameters.append(name, value);
    } else if (word === '-X') request.method = next();
    else if (word === '-H') {
      const [name = '', value = ''] = next().split(/: (.*)/);
      request.headers[name.toLowerCase()] = value;
    } else if (word === '--json') {
      request.body = next();
      request.headers['content-type'] = 'application/json';
    } else if (word.startsWith('-'))
      throw new Error(`a step uses an option of curl that its test does not know: ${word}`);
    else request.url = word;
  }
  if (parameters.size > 0) request.url += `?${parameters}`;
  request.method ||= request.body === undefined ? 'GET' : 'POST';
  return request;
}

/** What differs from run to run: instants, and UUIDs of version 7. */
const CHANGING = /\d{4}-\d\d-\d\dT[\d:.]+Z|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}/g;

/**
 * Sends the requests of a section to a service. Instants and ids of the section are replaced by those that the service has answered
 * in their place.
 * @param told takes each answer, and the one that the section shows
 */
export async function playSteps(
  section: Section,
  service: string,
  told: (answer: string, expected: string, what: string) => void,
): Promise<{ steps: number; actual: ReadonlyMap<string, string> }> {
  const actual = new Map<string, string>();
  const steps = await stepsOf(section);
  for (const { requests, answer } of steps) {
    for (const { method, url, headers, body } of requests) {
      // Decoded, because an instant in a query has its colons encoded.
      const here = decodeURIComponent(url).replace(CHANGING, (shown) => actual.get(shown) ?? shown);
      const response = await fetch(new URL(here.replace('localhost:3000', service)), {
        method,
        headers,
        ...(body === undefined ? {} : { body }),
      });
      const text = JSON.stringify(await response.json());
      const expected = JSON.stringify(JSON.parse(answer));
      const given = text.match(CHANGING) ?? [];
      for (const [index, shown] of (expected.match(CHANGING) ?? []).entries()) {
        if (!actual.has(shown)) actual.set(shown, given[index] ?? '');
      }
      told(
        text,
        expected.replace(CHANGING, (shown) => actual.get(shown) ?? shown),
        `${method} ${url}`,
      );
    }
  }
  return { steps: steps.length, actual };
}
