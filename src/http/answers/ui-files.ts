import { readdir, readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { tagOfText } from '../protocol/conditions.js';

/*
 * The page that Vite builds of src/ui: a few files of text. The service keeps them, so a build that goes on beside a running service takes
 * none of them away from those who have the page open, and no path of a request becomes that of a file.
 */

/** A file as the service sends it; `isFixed` says that its name has a hash of what is in it. */
type UiFile = { text: string; media: string; etag: string; isFixed: boolean };

/** The files by the last part of their path, which is empty for the page itself. */
export type UiFiles = ReadonlyMap<string, UiFile>;

/** Where `npm run build` puts them: the same folder from `src/http/answers` and from `dist/http/answers`. */
const FOLDER = new URL('../../../dist/ui/', import.meta.url);

const PAGE = 'index.html';
const WITH_HASH = /-[\w-]{8}\.\w+$/;

const MEDIA: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Reads the files of the page; null: it has not been built. @throws Error where it has a file of a kind that is not served */
export async function readUi(folder = FOLDER): Promise<UiFiles | null> {
  const names: string[] = await readdir(folder).catch(() => []);
  if (!names.includes(PAGE)) return null;
  const files = names.map(async (name): Promise<[string, UiFile]> => {
    const media = MEDIA[extname(name)];
    if (!media) throw new Error(`the page has ${name}, whose media type nobody has said`);
    const text = await readFile(new URL(name, folder), 'utf8');
    return [name === PAGE ? '' : name, { text, media, etag: tagOfText(text), isFixed: WITH_HASH.test(name) }];
  });
  return new Map(await Promise.all(files));
}
