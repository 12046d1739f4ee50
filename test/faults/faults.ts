import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { SERVICE_ROLE } from '../../src/storage/migrate.js';
import { makeLogin, urlAs } from '../helper/server.js';
import type { Server } from './server.js';
import type { World } from './world.js';

/** Takes a fault away. */
type Mend = () => Promise<void>;

export type Fault = {
  name: string;
  does: string;
  /** For how many seconds it stays, in the tests (null: it takes too long for them) and in the command. */
  quick: number | null;
  long: number;
  inject: (world: World) => Promise<Mend>;
  /** What is done before clients work, and is no fault. */
  prepare?: (world: World) => Promise<void>;
  /** Why it cannot be injected here; null if it can. */
  missing?: (world: World) => string | null;
  /** It ends the service, so that callers lose their connections. */
  endsService?: true;
  /** In how many seconds as much must be served as before, where that is promised. */
  fullSpeedWithin?: number;
};

/** Everybody but who asks. */
const endSessions = (server: Server) =>
  server.asAdmin(
    (sql) => sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
  );
const endServiceSessions = (server: Server) =>
  server.asAdmin(
    (sql) => sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'clocktick'`,
  );

/** Does something again and again until the fault is mended. */
function again(milliseconds: number, work: () => Promise<unknown>): Mend {
  let isOver = false;
  const working = (async () => {
    while (!isOver) {
      await work();
      await sleep(milliseconds);
    }
  })();
  working.catch(() => {}); // whoever mends is told
  return async () => {
    isOver = true;
    await working;
  };
}

/** A session in the service's database that does something and stays as it is then. */
async function session({ ownerUrl }: Server, begin: (sql: postgres.Sql) => Promise<unknown>): Promise<Mend> {
  const sql = postgres(ownerUrl, { max: 1, fetch_types: false, onnotice: () => {} });
  await begin(sql);
  return () => sql.end({ timeout: 1 });
}

const each = async (all: readonly World['instances'][number][], what: 'kill' | 'start') => {
  await Promise.all(all.map((one) => one[what]()));
};

const noLibrary = ({ library }: World) => (library ? null : 'libfaketime is not installed');
const faked = async ({ server }: World) => {
  await server.stop();
  await server.start({ faked: true });
};
const HOUR = 3_600;

export const FAULTS: readonly Fault[] = [
  {
    name: 'service-killed',
    does: 'kill -9 of all instances',
    quick: 0.2,
    long: 3,
    endsService: true,
    inject: async ({ instances }) => {
      await each(instances, 'kill');
      return () => each(instances, 'start');
    },
  },
  {
    name: 'database-killed',
    does: 'kill -9 of the postmaster',
    quick: 0.5,
    long: 10,
    inject: async ({ server }) => {
      await server.kill();
      return () => server.start();
    },
  },
  {
    name: 'both-killed',
    does: 'kill -9 of all instances and of the postmaster',
    quick: 0.2,
    long: 3,
    endsService: true,
    inject: async ({ server, instances }) => {
      await Promise.all([each(instances, 'kill'), server.kill()]);
      return async () => {
        await server.start();
        await each(instances, 'start');
      };
    },
  },
  {
    name: 'database-stopped',
    does: 'SIGSTOP of all processes of the database, for longer than a shared statement is waited for',
    quick: 14,
    long: 30,
    inject: async ({ server }) => {
      await server.signal('SIGSTOP');
      return () => server.signal('SIGCONT');
    },
  },
  {
    name: 'sessions-ended',
    does: 'pg_terminate_backend of everybody, four times a second',
    quick: 2,
    long: 20,
    fullSpeedWithin: 2,
    inject: async ({ server }) => again(250, () => endSessions(server)),
  },
  {
    name: 'table-locked',
    does: 'LOCK TABLE clocktick.entity IN ACCESS EXCLUSIVE MODE',
    quick: 5,
    long: 60,
    inject: ({ server }) => session(server, (sql) => sql.unsafe('BEGIN; LOCK TABLE clocktick.entity')),
  },
  {
    name: 'transaction-open',
    does: 'a transaction of somebody else that has an id, and so may still commit',
    quick: 3,
    long: 30,
    inject: ({ server }) => session(server, (sql) => sql.unsafe('BEGIN; SELECT pg_current_xact_id()')),
  },
  {
    name: 'transaction-prepared',
    does: 'a prepared transaction of somebody else',
    quick: 3,
    long: 30,
    inject: async ({ server }) => {
      const prepare = "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'fault'";
      await server.asAdmin((sql) => sql.unsafe(prepare), 'inside');
      return async () => {
        await server.asAdmin((sql) => sql.unsafe("ROLLBACK PREPARED 'fault'"), 'inside');
      };
    },
  },
  {
    name: 'read-only',
    does: 'default_transaction_read_only of the database, for all sessions',
    quick: 1.5,
    long: 20,
    inject: async ({ server }) => {
      const database = new URL(server.ownerUrl).pathname.slice(1);
      const set = async (what: string) => {
        await server.asAdmin((sql) => sql.unsafe(`ALTER DATABASE ${database} ${what}`));
        await endServiceSessions(server);
      };
      await set('SET default_transaction_read_only = on');
      return () => set('RESET default_transaction_read_only');
    },
  },
  {
    name: 'privilege-revoked',
    does: 'the service may no longer read its entities',
    quick: 1.5,
    long: 20,
    inject: async ({ server }) => {
      const may = async (what: string) => {
        await server.asAdmin((sql) => sql.unsafe(what), 'inside');
      };
      await may(`REVOKE SELECT ON clocktick.entity FROM ${SERVICE_ROLE}`);
      return () => may(`GRANT SELECT ON clocktick.entity TO ${SERVICE_ROLE}`);
    },
  },
  {
    name: 'connections-taken',
    does: 'idle sessions of somebody else take all connections, those of the service, too',
    quick: 1,
    long: 20,
    inject: takeConnections,
  },
  {
    name: 'disk-full',
    does: 'the disk of the database has no room, so that it ends',
    quick: 1,
    long: 10,
    missing: ({ disk }) => (disk ? null : 'no small disk can be mounted here: it takes Linux, and root'),
    inject: fillDisk,
  },
  {
    name: 'clock-ahead',
    does: "the database's clock jumps an hour ahead, and back before that is believed",
    quick: 2,
    long: 15,
    missing: noLibrary,
    prepare: faked,
    inject: async ({ server }) => {
      await server.setClock(HOUR);
      return () => server.setClock(0);
    },
  },
  {
    name: 'clock-back',
    does: "the database's clock goes some seconds back, and is mended",
    quick: 2,
    long: 15,
    missing: noLibrary,
    prepare: faked,
    inject: async ({ server }) => {
      await server.setClock(-8);
      return () => server.setClock(0);
    },
  },
  {
    name: 'clock-far-back',
    does: "the database's clock goes an hour back, and is mended",
    quick: null,
    long: 15,
    missing: noLibrary,
    prepare: faked,
    inject: async ({ server }) => {
      await server.setClock(-HOUR);
      return () => server.setClock(0);
    },
  },
];

/** Opens sessions until none is left to be had, ends those of the service, and takes these as well. */
async function takeConnections({ server }: World): Promise<Mend> {
  const login = { name: 'somebody', password: 'x' };
  await server.asAdmin((sql) => makeLogin(sql, login), 'inside');
  const url = urlAs(server.ownerUrl, login);
  const taken: postgres.Sql[] = [];
  const takeOne = async (): Promise<boolean> => {
    const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
    try {
      await sql`SELECT`;
      taken.push(sql);
      return true;
    } catch {
      await sql.end({ timeout: 0 });
      return false;
    }
  };
  const takeAll = async () => {
    while (await takeOne());
  };
  await takeAll();
  const stop = again(100, async () => {
    // Whoever is just being refused has a connection for that moment, and even a superuser may find none.
    await Promise.all([endServiceSessions(server).catch(() => {}), takeAll()]);
  });
  return async () => {
    await stop();
    await Promise.all(taken.map((sql) => sql.end({ timeout: 0 })));
  };
}

/** Fills the disk, and has the WAL go on to its next file until there is none. */
async function fillDisk({ server, disk }: World): Promise<Mend> {
  const ballast = join(disk ?? '', 'ballast');
  const file = await open(ballast, 'w');
  const block = Buffer.alloc(2 ** 20);
  try {
    for (;;) await file.write(block);
  } catch {
    // No room.
  } finally {
    await file.close();
  }
  const stop = again(100, () =>
    server.asAdmin((sql) => sql`SELECT pg_logical_emit_message(false, 'fault', 'x'), pg_switch_wal()`).catch(() => {}),
  );
  return async () => {
    await stop();
    await rm(ballast);
    await server.start();
  };
}
