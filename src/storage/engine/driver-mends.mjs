import { readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * What is wrong in postgres.js 3.4.9, and what it should say instead. `mend-postgres.mjs` puts it there after every install
 * and before every build; a start looks whether it is there (driver.ts). test/storage/engine/driver.test.ts has a test for
 * each, of the same name, which fails without it.
 *
 * This is JavaScript because it runs before anything is built.
 *
 * @typedef {object} Mend
 * @property {string} name what the driver does with it
 * @property {string} file in the folder that `import` loads
 * @property {string} before the text as published; it stands there once
 * @property {string} after the same, mended
 * @property {string} why what happens without it
 * @property {string} upstream where it is known to the driver's authors: numbers of github.com/porsager/postgres
 */

const RESET = '    query = results = errorResponse = null\n    result = new Result()\n';

/** @type {readonly Mend[]} */
export const MENDS = [
  {
    name: 'a connection that closed forgets what it had still to write',
    file: 'connection.js',
    before: '    incomings = null\n    clearImmediate(nextWriteTimer)\n',
    after: '    incomings = null\n    clearImmediate(nextWriteTimer)\n    chunk = nextWriteTimer = null\n',
    why: 'It keeps the cancelled timer, waits for it when it has connected anew, and never writes again.',
    upstream: 'issues 1066 and 1154; pull requests 1168 and 1209, open',
  },
  {
    name: 'a connection that closed forgets the statement that was under way',
    file: 'connection.js',
    before: '    hadError && options.shared.retries++\n    delay =',
    after: `    hadError && options.shared.retries++\n${RESET}    delay =`,
    why: 'The first statement after it is told what the server said last to this one.',
    upstream: 'issue 1223; comments in pull request 1215, open',
  },
  {
    name: 'a statement between the error of a socket and its end is rejected',
    file: 'connection.js',
    before: '    !hadError && (query || sent.length) && error(',
    after: '    ;(query || sent.length) && error(',
    why: 'It is never answered.',
    upstream: 'a comment of 2026-09-19 in pull request 1215, open',
  },
  {
    name: 'a statement on a reserved connection that has closed is rejected',
    file: 'connection.js',
    before: '    if (stream)\n      return queryError(q, Errors.generic(',
    after:
      "    if (!socket)\n      return (queryError(q, Errors.connection('CONNECTION_CLOSED', options)), true)\n\n" +
      '    if (stream)\n      return queryError(q, Errors.generic(',
    why: 'It is written to a socket that is gone, in a timer, where nobody can catch that: the process ends.',
    upstream: 'issue 1208; pull requests 1209 and 1215, open',
  },
  {
    name: 'the rows of an answer are counted anew after an error',
    file: 'connection.js',
    before: `${RESET}    connectTimer.cancel()\n`,
    after: `${RESET}    rows = 0\n    connectTimer.cancel()\n`,
    why: 'After an answer that broke off the next one begins with as many holes: what exists is taken for absent.',
    upstream: 'issues 1119 and 1181; pull requests 1120 and 1190, open',
  },
  {
    name: 'finding a connection takes no longer the more statements there were',
    file: 'queue.js',
    before: '        xs[index - 1] = undefined\n',
    after:
      '        xs[index - 1] = undefined\n' +
      '        if (index > 32 && index * 2 > xs.length) {\n' +
      '          xs = xs.slice(index)\n' +
      '          index = 0\n' +
      '        }\n',
    why:
      'A queue of idle connections keeps the place of each that ever left it, as long as one stays idle, and every ' +
      'statement searches them all: after 120,000 there were 23,000 a second instead of 39,000, and fewer and fewer.',
    upstream: 'not reported there',
  },
];

/** The folder of the driver that `import` loads; it has others for other kinds of loading. */
export const driverFolder = () => dirname(fileURLToPath(import.meta.resolve('postgres')));

/**
 * The mends that are not in the driver of a folder.
 * @param {string} folder
 */
export async function missingMends(folder) {
  const sources = await sourcesIn(folder);
  return MENDS.filter(({ file, after }) => !sources.get(file)?.includes(after));
}

/**
 * Puts into the driver of a folder what is missing there.
 * @param {string} folder
 * @throws {Error} when it is another driver than the mends are for
 */
export async function mendDriver(folder) {
  const sources = await sourcesIn(folder);
  const missing = await missingMends(folder);
  for (const { file, before, after } of missing) {
    const parts = sources.get(file)?.split(before) ?? [];
    if (parts.length !== 2)
      throw new Error(`${join(folder, file)} is not that of postgres.js 3.4.9: install it anew by \`npm ci\`.`);
    sources.set(file, parts.join(after));
  }
  for (const file of new Set(missing.map(({ file }) => file))) {
    // Never half written, and not in a file that a package manager shares with other projects.
    const written = join(folder, `${file}.${process.pid}`);
    await writeFile(written, sources.get(file) ?? '');
    await rename(written, join(folder, file));
  }
}

/** @param {string} folder */
async function sourcesIn(folder) {
  const files = [...new Set(MENDS.map(({ file }) => file))];
  const read = files.map(async (file) => /** @type {const} */ ([file, await readFile(join(folder, file), 'utf8')]));
  return new Map(await Promise.all(read));
}
