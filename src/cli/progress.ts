import { SingleBar } from 'cli-progress';

/** How often it says how far it is where there is no terminal, in milliseconds. */
const SAYING_MS = 10_000;

export type Progress = {
  /** Counts what was sent, of what has a size. */
  sent: (bytes: number) => void;
  /** Shows how far it is: after how many lines (or whatever is counted), and what they came to: in short on a terminal, else in full. */
  at: (count: number, told: { short: string; full: string }) => void;
  /** Says something by itself. */
  say: (what: string) => void;
  end: () => void;
};

/**
 * A bar on the terminal, or a line now and then where there is none.
 * @param size of what is sent, in bytes; null: nobody knows
 * @param unit what is counted
 */
export function progress(size: number | null, unit = 'line'): Progress {
  const began = performance.now();
  let bytes = 0;
  const rateOf = (count: number) => Math.round((count * 1_000) / (performance.now() - began));
  if (!process.stderr.isTTY) {
    let said = began;
    return {
      sent: (more) => {
        bytes += more;
      },
      at: (count, { full }) => {
        if (performance.now() - said < SAYING_MS) return;
        said = performance.now();
        const share = size ? `${Math.floor((100 * bytes) / size)}%, ` : '';
        process.stderr.write(`${share}${full}; ${rateOf(count)} ${unit}s a second\n`);
      },
      say: (what) => process.stderr.write(`${what}\n`),
      end: () => {},
    };
  }
  const bar = new SingleBar({
    format: size
      ? `{bar} {percentage}% | {told} | {rate} ${unit}s/s | {eta_formatted} left`
      : `{told} | {rate} ${unit}s/s`,
    clearOnComplete: true,
    hideCursor: true,
  });
  let shown = { told: '', rate: 0 };
  bar.start(size ?? 1, 0, shown);
  const update = () => bar.update(size ? bytes : 0, shown);
  return {
    sent: (more) => {
      bytes += more;
      update();
    },
    at: (count, { short }) => {
      shown = { told: short, rate: rateOf(count) };
      update();
    },
    say: (what) => {
      bar.stop();
      process.stderr.write(`${what}\n`);
      bar.start(size ?? 1, size ? bytes : 0, shown);
    },
    end: () => bar.stop(),
  };
}

/** A number of things, in words. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
