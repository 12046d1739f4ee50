import { randomInt } from 'node:crypto';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { readPidFile } from '../../src/embedded/server.js';
import { until } from '../helper/embedded.js';
import { dataFolder, type Run, start } from '../helper/program.js';

/*
 * An import in whose middle something is killed. IMPORT_KILLS says how often each is: IMPORT_KILLS=10 npx tap --timeout=0
 * test/main/importing.test.ts takes some minutes.
 */
const KILLS = Number(process.env.IMPORT_KILLS ?? 1);
const LINES = 3_000;
const BETWEEN_WATERMARKS = 300;

type Imported = { status: string; lines: number; deleted: number; watermark?: number; unfinishedSince?: string };
/** How many entities are there before a replace-all that names none of them. */
const OLD = 3_000;

/** When something happened, and by which of many activities. */
const past = (n: number) => ({
  at: new Date(1_000_000_000_000 + n).toISOString(),
  activity: { id: `018f0000-0000-7000-8000-${String(n >> 5).padStart(12, '0')}`, actor: `author ${n >> 5}` },
});

/** Lines `from` to LINES, each of an entity of its own, with the number of the last line in each watermark. */
function* linesAfter(from: number, isHistory: boolean): Generator<string> {
  for (let n = from + 1; n <= LINES; n++) {
    const line = { type: 'friend', key: `${n}`, properties: { n, text: `value ${n}` } };
    yield `${JSON.stringify({ ...line, ...(isHistory ? past(n) : {}) })}\n`;
    if (n % BETWEEN_WATERMARKS === 0) yield `{"watermark":${n}}\n`;
  }
}

/** Lines of entities that no other line names. */
function* oldLines(): Generator<string> {
  for (let n = 1; n <= OLD; n++) yield `${JSON.stringify({ type: 'friend', key: `old ${n}`, properties: { n } })}\n`;
}

/** Sends lines, and calls with each thing it is told. Resolves when the answer has ended, however. */
async function send(url: string, mode: string, lines: Iterable<string>, told: (told: Imported) => void): Promise<void> {
  const sent = request(`${url}/import?source=s&mode=${mode}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
  });
  const answered = new Promise<IncomingMessage | null>((resolve) => {
    sent.once('response', resolve).on('error', () => resolve(null));
  });
  sent.end([...lines].join(''));
  const answer = await answered;
  if (!answer) return;
  let rest = '';
  try {
    for await (const part of answer) {
      const lines = `${rest}${part}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) told(JSON.parse(line));
    }
  } catch {
    // It was killed.
  }
}

const stateOf = async ({ url }: Run): Promise<Imported> => JSON.parse(await (await fetch(`${url}/imports/s`)).text());

/** How many entities are alive, and at which ticks. */
async function counted({ url }: Run): Promise<{ entities: number; ticks: Set<number> }> {
  const ticks = new Set<number>();
  let entities = 0;
  for (let cursor: string | null = ''; cursor !== null; ) {
    const parameters = new URLSearchParams({ type: 'friend', limit: '1000', ...(cursor ? { cursor } : {}) });
    const page: { items: { tick: number }[]; next: string | null } = JSON.parse(
      await (await fetch(`${url}/entities?${parameters}`)).text(),
    );
    entities += page.items.length;
    for (const { tick } of page.items) ticks.add(tick);
    cursor = page.next;
  }
  return { entities, ticks };
}

for (const how of ['upsert', 'history', 'insert', 'replace-all']) {
  const isHistory = how === 'history';
  const mode = isHistory ? 'upsert' : how;
  for (const victim of ['service', 'database'] as const) {
    // In the quick form each of them once; a history is imported as everything else that changes what is there.
    if (KILLS === 1 && (how === 'upsert' || (mode === 'insert') !== (victim === 'database'))) continue;
    t.test(
      `kill -9 of the ${victim} in the middle of an import (${how}): nothing is lost, nothing twice, and exactly the rest deleted`,
      async (t) => {
        for (let kill = 0; kill < KILLS; kill++) {
          const dataDir = await dataFolder(t);
          let service = await start(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
          const old = mode === 'replace-all' ? OLD : 0;
          if (old > 0) await send(service.url, 'upsert', oldLines(), () => {});
          // A replace-all goes on for about as long when it has read all lines.
          const killAt = randomInt(1, LINES * 0.9 + old * 0.6);
          let isKilled = false;
          let known = 0;
          await send(service.url, mode, linesAfter(0, isHistory), ({ lines, deleted, watermark = 0 }) => {
            known = Math.max(known, watermark);
            if (lines + deleted < killAt || isKilled) return;
            isKilled = true;
            if (victim === 'service') service.process.kill('SIGKILL');
            else
              void readPidFile(join(dataDir, 'postgres/data')).then((file) => process.kill(file?.pid ?? 0, 'SIGKILL'));
          });
          t.ok(isKilled, `at line ${killAt}`);
          if (victim === 'service') {
            await service.ended;
            service = await start(t, { DATA_DIR: dataDir, LOG_LEVEL: 'silent' });
          } else await until(async () => (await fetch(`${service.url}/imports/s`)).status === 200);

          const { status, deleted, watermark = 0 } = await stateOf(service);
          t.match(status, victim === 'service' ? /^(interrupted|done)$/ : /^(interrupted|failed|done)$/);
          t.ok(watermark >= known, `what was told is kept: ${watermark}, ${known} was told`);
          t.same(
            await counted(service),
            { entities: watermark + old - deleted, ticks: new Set(watermark + old > 0 ? [1] : []) },
            'all up to it, and nothing after it',
          );

          // Where there is nothing after it, all is sent again: a replace-all without a line deletes nothing.
          const from = kill % 2 === 0 && watermark < LINES ? watermark : 0;
          let last: Imported | undefined;
          await send(service.url, mode, linesAfter(from, isHistory), (told) => {
            last = told;
          });
          t.match(
            last,
            { status: 'done', watermark: LINES, ...(status === 'done' ? {} : { deleted: old - deleted }) },
            from === 0 ? 'all of it is sent again' : 'the rest is sent',
          );
          t.notOk(last?.unfinishedSince);
          t.same(await counted(service), { entities: LINES, ticks: new Set([1]) });
          if (old > 0) t.equal((await fetch(`${service.url}/entities/friend:old%201?asOf=1`)).status, 200);
          service.process.kill('SIGTERM');
          t.equal(await service.ended, 0);
        }
      },
    );
  }
}
