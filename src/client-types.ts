import { readFile, writeFile } from 'node:fs/promises';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';

/*
 * Writes src/client/generated.ts, the types of the client, from openapi.yaml. With --check it only says whether the file is up to date.
 */
const FILE = new URL('client/generated.ts', import.meta.url);
const DOCUMENT = new URL('../openapi.yaml', import.meta.url);

const types = COMMENT_HEADER + astToString(await openapiTS(DOCUMENT, { alphabetize: true }));

if (!process.argv.includes('--check')) {
  await writeFile(FILE, types);
} else if ((await readFile(FILE, 'utf8').catch(() => '')) !== types) {
  process.stderr.write('src/client/generated.ts is not what openapi.yaml says: npm run client\n');
  process.exitCode = 1;
}
