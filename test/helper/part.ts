import { pathToFileURL } from 'node:url';

/*
 * Runs several test files in one process, one after the other, as each would run alone: to load the service and to warm it up costs more
 * than most files do. Usage: node --import=tsx test/helper/part.ts FILE...
 */
const files = process.argv.slice(2);
// tap names the folders of tests by all arguments, and so many would be too long a name.
process.argv.length = 3;
const { default: t } = await import('tap');

// A file may wait at its top level. The root must not end meanwhile, so it is busy until all are there.
let loaded = () => {};
t.test('the files are there', () => new Promise<void>((settle) => (loaded = settle)));
for (const file of files) {
  t.comment(file);
  await import(pathToFileURL(file).href);
}
loaded();
