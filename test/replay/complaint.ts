const NAME = 'Complaint';

/** What a user is told instead of a stack; the message is whole sentences. */
export function complaint(message: string, cause?: unknown): Error {
  const error = new Error(message, { cause });
  error.name = NAME;
  return error;
}

export const isComplaint = (error: unknown): error is Error => error instanceof Error && error.name === NAME;
