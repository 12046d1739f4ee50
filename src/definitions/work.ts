import { Refusal } from '../temporal/refusal.js';

/*
 * How much work one check may make. A schema may be small and ask for endless work: by references that double, by patterns over long texts.
 * So everything that a check does is counted, in units of some ten nanoseconds, and what takes too many is refused.
 */

/** How many units the check of one state may spend. */
export const MAX_WORK = 10_000_000;

/** What is left to spend of one check. */
export class Meter {
  left = MAX_WORK;

  /** @throws Refusal `properties_too_much_work` */
  spend(units: number): void {
    this.left -= units;
    if (this.left < 0) {
      throw new Refusal(
        'properties_too_much_work',
        'To check these properties against the definition of their type would take more work than a write may make.',
      );
    }
  }
}
