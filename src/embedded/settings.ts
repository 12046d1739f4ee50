const MB = 2 ** 20;

/** PostgreSQL comes with 128 MB for any machine; a quarter of the memory is what its manual starts from (section 19.4.1). */
const SHARED_BUFFERS = { share: 1 / 4, least: 128 * MB, most: 4096 * MB };

/**
 * The settings of the embedded server. What fits every machine fits none, so its cache is sized to this one.
 * @param memory how many bytes this machine, or this container, has
 */
export function settingsFor(memory: number): Record<string, string> {
  const { share, least, most } = SHARED_BUFFERS;
  const megabytes = (bytes: number) => `${Math.floor(bytes / MB)}MB`;
  return {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '100',
    password_encryption: 'scram-sha-256',
    jit: 'off', // compiling costs short statements more than it gains
    // What callers keep here must not get into the log: no rows in details, no statements with their values.
    log_error_verbosity: 'terse',
    log_min_error_statement: 'panic',
    shared_buffers: megabytes(Math.min(Math.max(memory * share, least), most)),
    // The first change of a page after a checkpoint writes the whole page into the WAL, so checkpoints are far between. A crash
    // replays up to max_wal_size, which takes less than the start waits for. (Not wal_compression: these binaries have only pglz,
    // which takes more of a write than it saves.)
    max_wal_size: '2GB',
    checkpoint_timeout: '15min',
  };
}

/** How many bytes this process may have: what its container grants, or what the machine has. */
export const memoryOf = (machine: number, container: number | undefined): number =>
  container !== undefined && container > 0 ? Math.min(machine, container) : machine;
