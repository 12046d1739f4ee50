import { BadSetting } from './config.js';
import { Unfit } from './unfit.js';

/** Why a start or a command failed: a sentence where whoever runs it can do something about it, otherwise the stack. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof BadSetting || error instanceof Unfit) return error.message;
  // Drizzle wraps the errors of the driver and the server.
  if (error.cause instanceof Error && 'code' in error.cause) return reasonOf(error.cause);
  if ('severity' in error) return `the database says: ${error.message}.`;
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return `${error.message}. Set PORT to another one.`;
  if ('syscall' in error && error.syscall === 'connect')
    return `the database of DATABASE_URL does not answer (${code}).`;
  if (code === 'CONNECT_TIMEOUT') return `the database of DATABASE_URL does not answer (${code}).`;
  if (code === 'CONNECTION_CLOSED') return 'the connection to the database broke.';
  if (code === 'ECONNRESET')
    return 'the database of DATABASE_URL broke the connection. If the URL asks for TLS (sslmode), it may have none.';
  if ('syscall' in error && error.syscall === 'getaddrinfo')
    return `${error.message}. Look at the hosts in DATABASE_URL and in HOST.`;
  if ('syscall' in error && error.syscall === 'mkdir')
    return `${error.message}. DATA_DIR must be a folder, or the name of one that can be made.`;
  if ('syscall' in error) return `${error.message}.`;
  return error.stack ?? error.message;
}
