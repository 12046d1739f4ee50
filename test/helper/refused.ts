import { Refusal, type RefusalCode, type RefusalNotes } from '../../src/temporal/refusal.js';

/** Everything that a caller learns from a refusal. */
export type Refused = { code: RefusalCode; message: string; notes: RefusalNotes };

/** The refusal that an attempt must end with. If it throws anything else, or nothing, the test fails. */
export function refused(attempt: () => unknown): Refused {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Refusal) return { code: error.code, message: error.message, notes: error.notes };
    throw error;
  }
  throw new Error('not refused');
}
