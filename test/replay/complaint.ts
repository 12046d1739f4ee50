const NAME = 'Complaint';

/** What a user is told instead of a stack; the message is whole sentences. */
export function complaint(message: string, cause?: unknown): Error {
  const error = new Error(message, { cause });
  error.name = NAME;
  return error;
}

export const isComplaint = (error: unknown): error is Error => error instanceof Error && error.name === NAME;

const NOT_RUN = 2;

/** Runs a command on its arguments, which gives the exit code; what it complains of is told, and it counts as not run. */
export async function runAsCommand(run: (args: string[]) => Promise<number>): Promise<void> {
  try {
    process.exitCode = await run(process.argv.slice(2));
  } catch (error) {
    if (!isComplaint(error)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = NOT_RUN;
  }
}
