import { setTimeout as sleep } from 'node:timers/promises';
import type postgres from 'postgres';
import { check } from './check.js';
import { KEYS, type Run, runClients } from './clients.js';
import { readBack } from './read-back.js';
import type { Recording } from './record.js';
import type { Violation } from './subject.js';

export type Plan = {
  services: readonly URL[];
  type: string;
  seed: number;
  clients: number;
  seconds: number;
  /** How many requests there are at least, however long that takes. */
  least?: number;
  /** The services' database, where their connections are ended now and then. */
  storm?: postgres.Sql;
};

/** Told several times a second while clients work, and once at the beginning of what comes after. */
export type Watch = (progress: { phase: string; seconds: number; requests: number }) => void;

const WATCH_MS = 200;
const STORM_MS = 250;
/** What a client left behind when it went away may still be written for a moment: a statement takes milliseconds. */
const SETTLING_MS = 250;

/** Lets clients work for a while, reads everything back and checks it. */
export async function runAndCheck(
  { services, type, seed, clients, seconds, least = 0, storm }: Plan,
  watch: Watch = () => {},
): Promise<{ recording: Recording; violations: Violation[] }> {
  const run: Run = { services, type, operations: [], instants: [], activities: [] };
  const start = performance.now();
  const spent = () => (performance.now() - start) / 1000;
  const isOver = () => spent() > seconds && run.operations.length >= least;
  const tell = (phase: string) =>
    watch({ phase, seconds: Math.min(spent(), seconds), requests: run.operations.length });

  const watching = setInterval(tell, WATCH_MS, 'clients work');
  try {
    await Promise.all([runClients(run, { seed, clients }, isOver), storm && endConnections(storm, isOver)]);
  } finally {
    clearInterval(watching);
  }
  await sleep(SETTLING_MS);
  tell('reading back');
  const recording = await readBack(run, KEYS);
  tell('checking');
  return { recording, violations: check(recording) };
}

async function endConnections(sql: postgres.Sql, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await sleep(STORM_MS);
    await sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'clocktick'`;
  }
}
