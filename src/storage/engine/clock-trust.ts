/*
 * Whether the clock of the database can be believed. If it jumps forward, once and for seconds, and is believed, then an instant far ahead
 * is promised to be stable, and nothing can be written until that has come. So this process compares that clock with its own.
 */

/** The clocks of this process, in milliseconds: how late it is, and how long it has been running, which no step of a clock changes. */
export type OwnClocks = { wall: () => number; steady: () => number };

const OWN: OwnClocks = { wall: Date.now, steady: () => performance.now() };

/** How far ahead of what was expected the clock may be, in milliseconds, and how much more of the time since it was last looked at. */
const TOLERANCE = { least: 10_000, drift: 0.001 };
/** After how long a clock that has jumped is believed, if it goes on evenly from there, in milliseconds: a machine that slept wakes so. */
export const SETTLING_MS = 30_000;
/** How far two looks at a clock that goes on evenly may differ. */
const EVEN_MS = 1_000;
/** For how long a clock that has stepped back is still believed where it would be without that, in milliseconds: it may be mended. */
export const MENDABLE_MS = 3_600_000;
/** A service that starts has nothing to compare with but what was promised last: it may have been down for long, but not for years. */
const LONGEST_DOWN_MS = 400 * 24 * 3_600_000;

export type ClockTrust = {
  /**
   * Looks at the clock.
   * @param clock what the database's clock says, and what was last promised (null: nothing), in milliseconds since 1970
   * @returns by how much it is further ahead than it can be, in milliseconds; 0: it is believed
   */
  judge: (clock: number, promised: number | null) => number;
  /** What the database's clock can say by now at most, in milliseconds since 1970; null: it was never looked at. */
  latest: () => number | null;
};

/** Trust in a clock that was never looked at. */
export function clockTrust({ wall, steady }: OwnClocks = OWN, { settling = SETTLING_MS } = {}): ClockTrust {
  let trusted: { clock: number; at: number } | null = null;
  let suspect: { offset: number; since: number } | null = null;
  let behindSince: number | null = null;

  const latest = () => {
    if (!trusted) return null;
    const since = steady() - trusted.at;
    return trusted.clock + since * (1 + TOLERANCE.drift) + TOLERANCE.least;
  };

  return {
    latest,
    judge(clock, promised) {
      const at = steady();
      const most = latest() ?? wall() + TOLERANCE.least;
      const isLongDown = !trusted && promised !== null && clock - promised > LONGEST_DOWN_MS;
      const ahead = isLongDown ? clock - promised : clock - most;
      const offset = clock - at;
      if (ahead > 0) {
        if (!suspect || Math.abs(offset - suspect.offset) > EVEN_MS) suspect = { offset, since: at };
        if (at - suspect.since < settling) return ahead;
      }
      suspect = null;
      const expected = trusted ? trusted.clock + at - trusted.at : clock;
      behindSince = clock < expected - EVEN_MS ? (behindSince ?? at) : null;
      const mayBeMended = behindSince !== null && at - behindSince < MENDABLE_MS;
      if (!mayBeMended) behindSince = null;
      trusted = { clock: mayBeMended ? expected : clock, at };
      return 0;
    },
  };
}
