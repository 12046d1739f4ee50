#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { BadSetting, isDatabaseUrl, readDatabaseUrl } from '../config.js';
import { reasonOf } from '../reason.js';
import { migrate } from './migrate.js';
import { takeBack } from './take-promise-back.js';
import { verify } from './verify.js';

/** How a command ended, for whoever calls it: `FOUND` is a check that is not clean, `FAILED` one that could not be made. */
const EXIT = { done: 0, found: 1, failed: 2 } as const;

/** A command over a database; it says what it does, and whether all is well. */
type Command = { does: string; help: string; run: (url: string) => Promise<boolean> };

const COMMANDS: Record<string, Command> = { migrate, verify, 'take-promise-back': takeBack };

const OPTIONS = {
  'database-url': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const HELP = `Usage: clocktick <command> [--database-url <url>]

Commands, which talk to the database:
${Object.entries(COMMANDS)
  .map(([name, { does }]) => `  ${name.padEnd(19)}${does}`)
  .join('\n')}

\`clocktick <command> --help\` tells more of one. The database is that of DATABASE_URL, unless --database-url names another one; what is on a
command line others on the machine can read.

Exit codes: ${EXIT.done} done, or clean; ${EXIT.found} something was found; ${EXIT.failed} it could not be done.
`;

/** Runs a command line. Gives the exit code. */
async function run(words: string[]): Promise<number> {
  const { values, positionals } = parsed(words);
  const [name, ...rest] = positionals;
  if (name === undefined || name === 'help') {
    const asked = values.help === true || name === 'help';
    (asked ? process.stdout : process.stderr).write(HELP);
    return asked ? EXIT.done : EXIT.failed;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) throw new BadSetting(`there is no command ${name}. \`clocktick --help\` lists them.`);
  if (values.help) {
    process.stdout.write(`Usage: clocktick ${name} [--database-url <url>]\n\n${command.help}`);
    return EXIT.done;
  }
  if (rest.length > 0) throw new BadSetting(`${name} takes no argument ${rest[0]}.`);
  return (await command.run(databaseUrlOf(values['database-url']))) ? EXIT.done : EXIT.found;
}

/** @throws BadSetting where node's own message says what it does not understand */
function parsed(words: string[]) {
  try {
    return parseArgs({ args: words, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new BadSetting(error instanceof Error ? error.message : String(error));
  }
}

/** @throws BadSetting */
function databaseUrlOf(given: string | undefined): string {
  const url = given ?? readDatabaseUrl(process.env);
  if (url === undefined) throw new BadSetting('set DATABASE_URL, or name the database by --database-url.');
  if (!isDatabaseUrl(url))
    throw new BadSetting('--database-url must be a URL such as postgres://user:password@host:5432/database.');
  return url;
}

run(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`clocktick: ${reasonOf(error)}\n`);
    process.exitCode = EXIT.failed;
  },
);
