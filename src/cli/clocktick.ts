#!/usr/bin/env node
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { BadSetting, isDatabaseUrl, readDatabaseUrl, readServiceUrl } from '../config.js';
import { reasonOf } from '../reason.js';
import { checkPast } from './check.js';
import { exportFile } from './export.js';
import { importFile } from './import.js';
import { migrate } from './migrate.js';
import { takeBack } from './take-promise-back.js';
import { verify } from './verify.js';

/** How a command ended, for whoever calls it: `FOUND` is a check that is not clean, `FAILED` one that could not be made. */
const EXIT = { done: 0, found: 1, failed: 2 } as const;

/** A command over a database; it says what it does, and whether all is well. */
type DatabaseCommand = { does: string; help: string; run: (url: string) => Promise<boolean> };

const DATABASE_COMMANDS: Record<string, DatabaseCommand> = { migrate, verify, 'take-promise-back': takeBack };

const DATABASE_OPTIONS = { 'database-url': { type: 'string' } } as const;
const HELP_OPTION = { help: { type: 'boolean', short: 'h' } } as const;

const listed = (commands: Record<string, { does: string }>): string =>
  Object.entries(commands)
    .map(([name, { does }]) => `  ${name.padEnd(19)}${does}`)
    .join('\n');

const HELP = `Usage: clocktick <command> [options]

Commands, which talk to the database:
${listed(DATABASE_COMMANDS)}

Commands, which talk to a running service:
${listed({ import: importFile, export: exportFile, check: checkPast })}

\`clocktick <command> --help\` tells more of one. The database is that of DATABASE_URL, unless --database-url names another one; what is on a
command line others on the machine can read.

Exit codes: ${EXIT.done} done, or clean; ${EXIT.found} something was found; ${EXIT.failed} it could not be done.
`;

/** Runs a command line. Gives the exit code. */
async function run(words: string[]): Promise<number> {
  // Options may stand before the command.
  const anyOptions = {
    ...HELP_OPTION,
    ...DATABASE_OPTIONS,
    ...importFile.options,
    ...exportFile.options,
    ...checkPast.options,
  };
  const name = parsed(words, anyOptions).positionals[0];
  if (name === 'import') return runImport(words);
  if (name === 'export') return runExport(words);
  if (name === 'check') return runCheck(words);
  const command = name !== undefined && Object.hasOwn(DATABASE_COMMANDS, name) ? DATABASE_COMMANDS[name] : undefined;
  const { values, positionals } = parsed(words, { ...HELP_OPTION, ...DATABASE_OPTIONS });
  if (name === undefined || name === 'help') {
    const asked = values.help === true || name === 'help';
    (asked ? process.stdout : process.stderr).write(HELP);
    return asked ? EXIT.done : EXIT.failed;
  }
  if (!command) throw new BadSetting(`there is no command ${name}. \`clocktick --help\` lists them.`);
  if (values.help) return help(`${name} [--database-url <url>]`, command.help);
  const [, more] = positionals;
  if (more !== undefined) throw new BadSetting(`${name} takes no argument ${more}.`);
  return (await command.run(databaseUrlOf(values['database-url']))) ? EXIT.done : EXIT.found;
}

async function runImport(words: string[]): Promise<number> {
  const { values, positionals } = parsed(words, { ...HELP_OPTION, ...importFile.options });
  if (values.help) return help(importFile.usage, importFile.help);
  const base = readServiceUrl(process.env, values.url);
  return (await importFile.run(base, values, positionals.slice(1))) ? EXIT.done : EXIT.found;
}

async function runExport(words: string[]): Promise<number> {
  const { values, positionals } = parsed(words, { ...HELP_OPTION, ...exportFile.options });
  if (values.help) return help(exportFile.usage, exportFile.help);
  await exportFile.run(readServiceUrl(process.env, values.url), values, positionals.slice(1));
  return EXIT.done;
}

async function runCheck(words: string[]): Promise<number> {
  const { values, positionals } = parsed(words, { ...HELP_OPTION, ...checkPast.options });
  if (values.help) return help(checkPast.usage, checkPast.help);
  const base = readServiceUrl(process.env, values.url);
  return (await checkPast.run(base, values, positionals.slice(1))) ? EXIT.done : EXIT.found;
}

function help(usage: string, text: string): number {
  process.stdout.write(`Usage: clocktick ${usage}\n\n${text}`);
  return EXIT.done;
}

/** @throws BadSetting where node's own message says what it does not understand */
function parsed<const O extends ParseArgsConfig['options']>(words: string[], options: O) {
  try {
    return parseArgs({ args: words, options, allowPositionals: true });
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
