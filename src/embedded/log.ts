/* The log of the embedded server: it is passed on, kept short, and asked why the server has died. */
import { closeSync, fstatSync, openSync, readSync, truncateSync } from 'node:fs';

/** The log of a server while a service follows it. */
export type ServerLog = {
  /** For the server to write to. */
  fd: number;
  /** While the service itself tells what becomes of the server, what the server says of it is no news. */
  hush: (isHushed: boolean) => void;
  /** What the server has said within the last seconds that may tell why it died; empty when it said nothing. */
  lastWords: () => string;
  close: () => void;
};

/** How long the log of the server may grow before it is cut. */
const MAX_LOG_BYTES = 2 ** 20;
const LOOK_MS = 500;
/** How old a line may be to have to do with a death. */
const LAST_WORDS_MS = 10_000;
const MOST_WORDS = 3;

/** What ends the server, or the service's hold on it. */
const MATTERS =
  /\b(FATAL|PANIC): |lock file|terminated by (signal|exception)|exited with exit code|received \w+ shutdown/;
/** What any death or stop says of each session and worker, and of each that asks meanwhile. */
const FOLLOWS = /due to administrator command|unexpected postmaster exit|background worker |the database system is /;

/**
 * Opens the log, and passes on each line that is written from now on.
 * @param to `log` takes all of it; `news` what whoever runs the service should know: what refuses a session, or ends the server
 */
export function openServerLog(
  file: string,
  to: { log: (line: string) => void; news: (line: string) => void },
): ServerLog {
  const fd = openSync(file, 'a+', 0o600);
  let position = fstatSync(fd).size;
  let isHushed = false;
  let words: { line: string; at: number }[] = [];
  const pass = (line: string) => {
    to.log(line);
    if (!matters(line)) return;
    words = [...words.slice(-MOST_WORDS * 2), { line, at: Date.now() }];
    // A PANIC is told with the death that it is.
    if (!isHushed && /\bFATAL: |lock file/.test(line)) to.news(`embedded PostgreSQL: ${line}`);
  };
  const follow = () => {
    if (fstatSync(fd).size < position) position = 0; // another process has cut the file
    const written = readLog(fd, position);
    const whole = written.subarray(0, written.lastIndexOf('\n') + 1);
    position += whole.length;
    for (const line of whole.toString().split('\n')) if (line !== '') pass(line);
    // It is cut only when all of it was passed on.
    if (position > MAX_LOG_BYTES) {
      truncateSync(file);
      position = 0;
    }
  };
  const timer = setInterval(follow, LOOK_MS).unref();
  return {
    fd,
    hush: (on) => {
      follow();
      isHushed = on;
      words = on ? words : []; // they were of a death that is over
    },
    lastWords: () => {
      follow();
      return gist(words.filter(({ at }) => Date.now() - at < LAST_WORDS_MS).map(({ line }) => line));
    },
    close: () => {
      clearInterval(timer);
      follow();
      closeSync(fd);
    },
  };
}

/** What was written to the log after this place. */
export function readLog(fd: number, from: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, fstatSync(fd).size - from));
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, from));
}

/** What says why a server failed, of what it wrote; when nothing does, the last of it. */
export function gistOf(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  return gist(lines.filter(matters)) || gist(lines);
}

const matters = (line: string): boolean => MATTERS.test(line) && !FOLLOWS.test(line);

/** Lines without their time and process, each once. */
const gist = (lines: readonly string[]): string =>
  [
    ...new Set(
      lines.map((line) =>
        line
          .replace(/^[\d\-:. ]+ UTC \[\d+\] /, '')
          .replace(/\s+/g, ' ')
          .trim(),
      ),
    ),
  ]
    .slice(-MOST_WORDS)
    .join('; ');
