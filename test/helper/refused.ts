import { Refusal, type RefusalCode, type RefusalNotes } from '../../src/temporal/refusal.js';

/** All that a caller learns from a refusal. */
export type Refused = { code: RefusalCode; message: string; notes: RefusalNotes };

/** What must be refused, and how it was; anything else that is thrown is a bug, and so is nothing. */
export function refused(attempt: () => unknown): Refused {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Refusal) return { code: error.code, message: error.message, notes: error.notes };
    throw error;
  }
  throw new Error('not refused');
}
