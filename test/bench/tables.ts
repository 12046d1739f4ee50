import type { Bytes } from './collection.js';
import { BYTES, type Comparison, LAG } from './comparisons.js';
import { median } from './figures.js';
import type { Figures } from './loads.js';
import { before } from './seed.js';
import type { Wal } from './wal.js';

/* Figures as tables of Markdown. */

const tableOf = (head: readonly string[], rows: readonly string[]): string =>
  rows.length === 0 ? '' : [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows, ''].join('\n');

const whole = (n: number) => Math.round(n).toLocaleString('en');

/** The median of the ratios of each round, and how far they lie apart. */
function ratioOf(own: readonly number[] = [], other: readonly number[] = []): string {
  const ratios = own.map((figure, round) => figure / (other[round] ?? Number.NaN));
  return `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`;
}

const aimOf = ({ reach, of }: Comparison) => (reach === undefined ? '' : `${of === 'tails' ? '≤' : '≥'} ${reach}`);

export function comparisonsTable(wanted: readonly Comparison[], figures: { loads: Figures; tails: Figures }): string {
  const rows = wanted.map((comparison) => {
    const { name, subject, rival, of } = comparison;
    const [own, other] = [figures[of ?? 'loads'].get(subject) ?? [], figures[of ?? 'loads'].get(rival) ?? []];
    return `| ${name} | ${whole(median(own))} | ${whole(median(other))} | ${ratioOf(own, other)} | ${aimOf(comparison)} |`;
  });
  return tableOf(['what', 'a second', 'the other', 'ratio (spread)', 'aim'], rows);
}

export function lagRow(lags: readonly number[]): string {
  if (lags.length === 0) return '';
  const spread = `${Math.min(...lags).toFixed(1)}–${Math.max(...lags).toFixed(1)}`;
  return `| ${LAG.name} | ${median(lags).toFixed(1)} (${spread}) | | | ≤ ${LAG.reach} |\n`;
}

/** What another version of the service did beside this one. */
export function beforeTable(wanted: readonly Comparison[], loads: Figures): string {
  const rows = wanted.flatMap((comparison) => {
    const { name, subject, rival, of } = comparison;
    const [now, then] = [loads.get(subject) ?? [], loads.get(before(subject))];
    if (!then || of) return [];
    const other = loads.get(before(rival)) ?? loads.get(rival);
    return [
      `| ${name} | ${whole(median(then))} | ${whole(median(now))} | ${ratioOf(now, then)} | ${ratioOf(then, other)} | ${ratioOf(now, loads.get(rival))} | ${aimOf(comparison)} |`,
    ];
  });
  return tableOf(
    ['what', 'before, a second', 'now', 'now to before', 'before to the other', 'now to the other', 'aim'],
    rows,
  );
}

/** Of the service, of whole rows, and of another version of the service where one was measured. */
export function bytesTable(bytes: { own: Bytes | null; before: Bytes | null }, wals: Record<string, Wal>): string {
  const { own, before: old } = bytes;
  if (!own) return '';
  const row = (what: string, now: number, rows: number, then: number | undefined, aim = '') => {
    const cells = [now, rows].map(whole);
    if (old) cells.push(then === undefined ? '' : whole(then));
    return `| ${what} | ${cells.join(' | ')} | ${(now / rows).toFixed(2)} | ${aim} |`;
  };
  const wal = (what: string, name: string, aim: string) => {
    const [now, rows, then] = [wals[name], wals[`rows: ${name}`], wals[before(name)]];
    if (!now || !rows) throw new Error(`no WAL of ${name}`);
    return [
      row(`WAL records, ${what}`, now.records, rows.records, then?.records, aim),
      row(`WAL page images, ${what}, after a checkpoint`, now.images, rows.images, then?.images),
    ];
  };
  const rows = [
    row(
      'disk, a new entity of ten properties',
      own.entity.clocktick,
      own.entity.rows,
      old?.entity.clocktick,
      '≤ 1,400',
    ),
    row('disk, a change of one property', own.change.clocktick, own.change.rows, old?.change.clocktick, '≤ 400'),
    ...wal('a PATCH', 'PATCH', '≤ 1,200'),
    ...wal('a POST', 'POST', ''),
  ];
  return tableOf([BYTES, 'the service', 'rows', ...(old ? ['before'] : []), 'ratio', 'aim'], rows);
}
