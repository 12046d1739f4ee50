import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import { median } from './figures.js';

/*
 * How reads and writes go on as a collection grows, and as a history deepens: `npm run bench:growth`. The bench runs once for each size
 * (run.ts keeps the data). What it measured stands in growth.json beside this file, and growth.svg is drawn from it, the service beside
 * whole rows.
 */
const HELP = `npm run bench:growth -- [options]

  --sizes N,N,…     entities of the collections (10000,100000,1000000); each has ten changes an entity
  --rounds N        rounds of each (3)
  --draw            measures nothing: draws growth.json anew
  --help            this
`;
const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10000,100000,1000000' },
    rounds: { type: 'string', default: '3' },
    draw: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

/** What is drawn over the number of entities: a panel each, and what of it is whose. */
const PANELS: Record<string, { service: string; rows: string }> = {
  'an older state': { service: 'an older state', rows: 'rows: an older state' },
  'the first state': { service: 'its first state', rows: 'rows: its first state' },
  'page of 100 now': { service: 'page now', rows: 'rows: page now' },
  'page of 100 of a snapshot': { service: 'page of a snapshot', rows: 'rows: page of a snapshot' },
  'history of 50 ranges': { service: 'history of 50 ranges', rows: 'rows: history of 50 ranges' },
  'found by a past value': { service: 'found by a past value', rows: 'rows: found by a past value' },
  PATCH: { service: 'PATCH', rows: 'rows: PATCH' },
  POST: { service: 'POST', rows: 'rows: POST' },
};

/** What is drawn over the depth of a history, in the smallest collection: by how many versions there are. */
const DEPTHS: Record<string, Record<number, string>> = {
  'as of a tick, by versions': { 10: 'by tick, at 10', 20000: 'by tick, at 20,000 versions' },
  'as of an instant, by versions': { 10: 'by instant, at 10', 20000: 'by instant, at 20,000 versions' },
  'a page of history, by versions': { 100: 'history page of 50, at 100', 20000: 'history page of 50, at 20,000' },
};

type Point = { panel: string; who: 'service' | 'rows'; n: number; perSecond: number };
type Loads = Record<string, number[]>;

/** What was measured, over the number of entities and over the depth of a history. */
type Growth = { bySize: Point[]; byDepth: Point[] };

const HERE = fileURLToPath(new URL('.', import.meta.url));
const JSON_FILE = join(HERE, 'growth.json');

if (!options.draw) await writeFile(JSON_FILE, `${JSON.stringify(await measured(), null, 1)}\n`);
const growth: Growth = JSON.parse(await readFile(JSON_FILE, 'utf8'));
await writeFile(join(HERE, 'growth.svg'), await drawn(growth));
process.stdout.write(tableOf([...growth.bySize, ...growth.byDepth]));

async function measured(): Promise<Growth> {
  const folder = await mkdtemp(join(tmpdir(), 'clocktick-growth-'));
  try {
    const sizes = options.sizes.split(',').map(Number);
    const bySize: Point[] = [];
    for (const n of sizes) {
      const loads = await bench(folder, n, 'to rows');
      for (const [panel, { service, rows }] of Object.entries(PANELS)) {
        bySize.push({ panel, who: 'service', n, perSecond: Math.round(median(loads[service] ?? [])) });
        bySize.push({ panel, who: 'rows', n, perSecond: Math.round(median(loads[rows] ?? [])) });
      }
    }
    const byDepth: Point[] = [];
    for (const only of ['versions', 'history, depth']) {
      const loads = await bench(folder, Math.min(...sizes), only);
      for (const [panel, subjects] of Object.entries(DEPTHS)) {
        for (const [n, subject] of Object.entries(subjects)) {
          const rounds = loads[subject];
          if (rounds) byDepth.push({ panel, who: 'service', n: Number(n), perSecond: Math.round(median(rounds)) });
        }
      }
    }
    return { bySize, byDepth };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the bench on a collection, and gives what each subject did a second, by round. */
async function bench(folder: string, entities: number, only: string): Promise<Loads> {
  const json = join(folder, `${entities}-${only.replace(/\W/g, '')}.json`);
  const given = ['--entities', String(entities), '--rounds', options.rounds, '--only', only, '--json', json];
  const child = spawn(process.execPath, ['--import', 'tsx', join(HERE, 'run.ts'), ...given], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`the bench of ${entities} entities ended with ${code}`);
  return JSON.parse(await readFile(json, 'utf8')).loads;
}

async function drawn({ bySize, byDepth }: Growth): Promise<string> {
  const panels = (title: string, points: readonly Point[]) => ({
    data: { values: [...points] },
    columns: 4,
    facet: {
      field: 'panel',
      type: 'nominal' as const,
      title: null,
      sort: [...new Set(points.map(({ panel }) => panel))],
    },
    spec: {
      width: 170,
      height: 130,
      mark: { type: 'line' as const, point: true },
      encoding: {
        x: {
          field: 'n',
          type: 'quantitative' as const,
          scale: { type: 'log' as const },
          title,
          axis: { tickCount: 4, format: '~s' },
        },
        y: { field: 'perSecond', type: 'quantitative' as const, title: 'a second', axis: { format: '~s' } },
        color: {
          field: 'who',
          type: 'nominal' as const,
          title: null,
          scale: { domain: ['service', 'rows'], range: ['#1b6ca8', '#c26b2b'] },
        },
      },
    },
    resolve: { scale: { y: 'independent' as const } },
  });
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v5.json',
    background: 'white',
    vconcat: [panels('entities, ten changes each', bySize), panels('versions', byDepth)],
  };
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
}

function tableOf(points: readonly Point[]): string {
  const lines = [...new Set(points.map(({ panel }) => panel))].map((panel) => {
    const of = (who: Point['who']) =>
      points
        .filter((point) => point.panel === panel && point.who === who)
        .map(({ perSecond }) => perSecond.toLocaleString('en'));
    return `| ${panel} | ${of('service').join(', ')} | ${of('rows').join(', ')} |\n`;
  });
  return `| a second | the service | rows |\n|---|---|---|\n${lines.join('')}`;
}
