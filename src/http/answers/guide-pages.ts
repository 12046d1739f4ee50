import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { Marked, type Token, type Tokens } from 'marked';
import { tagOfText } from '../protocol/conditions.js';

/*
 * The guides of src/guide as HTML pages. The first request for a page converts all of them, and the service keeps the result.
 * `npm start`, `npm run dev`, the tests and the image all go this way, so nothing generated can be out of date. The price is
 * a dependency at run time (marked, which has none of its own) and a slower first request.
 */

/** A page as the service sends it. */
type GuidePage = { html: string; etag: string };

/** The pages by the last part of their path, which is empty for the index; and the Content-Security-Policy of all of them. */
export type Guides = { pages: ReadonlyMap<string, GuidePage>; policy: string };

/** The same folder from `src/http/answers` and from `dist/http/answers`, because `tsc` copies no Markdown. */
const FOLDER = new URL('../../../src/guide/', import.meta.url);

/** Its links list the guides, in the order in which to read them. */
const INDEX = 'index.md';

/** A guide: its file, its title, its HTML, and its headings of the second level. */
type Guide = { file: string; title: string; body: string; sections: Section[] };
type Section = { id: string; html: string };

/** Reads and converts all guides. @throws Error when the index does not link to one of them, or when one has no title */
export async function readGuides(folder = FOLDER): Promise<Guides> {
  const read = (name: string) => readFile(new URL(name, folder), 'utf8');
  const style = await read('style.css');
  const index = await read(INDEX);
  const listed = new Set(linksOf(marked.lexer(index)).filter((href) => /^[\w-]+\.md$/.test(href)));
  const files = [INDEX, ...listed];
  const lost = (await readdir(folder)).filter((name) => name.endsWith('.md') && !files.includes(name));
  if (lost.length > 0) throw new Error(`the index of the guides does not link to ${lost.join(', ')}`);
  const guides = await Promise.all(files.map(async (file) => convert(file, await read(file))));
  const pages = guides.map((guide): [string, GuidePage] => {
    const html = pageOf(guide, guides, style);
    return [nameOf(guide.file), { html, etag: tagOfText(html) }];
  });
  return {
    pages: new Map(pages),
    policy: [
      "default-src 'none'",
      `style-src 'sha256-${digest(style, 'base64')}'`,
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  };
}

/** The last part of the path of a guide. */
const nameOf = (file: string): string => (file === INDEX ? '' : file.replace(/\.md$/, ''));

/** The relative link to a guide from any other. */
const pathOf = (file: string): string => nameOf(file) || './';

const digest = (text: string, encoding: 'base64' | 'base64url'): string =>
  createHash('sha256').update(text).digest(encoding);

function convert(file: string, markdown: string): Guide {
  const tokens = marked.lexer(markdown);
  const headings = tokens.filter(isHeading);
  const title = headings.find(({ depth }) => depth === 1);
  if (!title) throw new Error(`${file} has no title`);
  return {
    file,
    title: title.text,
    body: marked.parser(tokens),
    sections: headings
      .filter(({ depth }) => depth === 2)
      .map(({ text, tokens: inline }) => ({ id: slugOf(text), html: marked.Parser.parseInline(inline) })),
  };
}

const isHeading = (token: Token): token is Tokens.Heading => token.type === 'heading';

/** The targets of the links of a text, in their order. */
function linksOf(tokens: Token[]): string[] {
  const links: string[] = [];
  marked.walkTokens(tokens, (token) => {
    if (token.type === 'link' && typeof token.href === 'string') links.push(token.href);
  });
  return links;
}

/** The anchor of a heading, as GitHub makes it: in lower case, without punctuation, with hyphens for spaces. */
export const slugOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M} _-]/gu, '')
    .replaceAll(' ', '-');

/** The link to another guide as the service serves it: `calling.md#retries` becomes `calling#retries`. */
const servedAs = (href: string): string => href.replace(/^([\w-]+\.md)(?=#|$)/, (file) => pathOf(file));

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** Whether a link leads to a page of the web or to this service; other schemes (`javascript:`) are left out. */
const isFit = (href: string): boolean => /^(?:https?:|[^:]*(?:[#/?]|$))/i.test(href);

/**
 * marked 18, with what it leaves to its callers: anchors of headings, links between guides, and no foreign HTML. Tags that stand
 * in the Markdown are shown as text.
 */
const marked = new Marked({
  renderer: {
    html: ({ text }) => escaped(text),
    heading({ tokens, depth, text }) {
      const words = this.parser.parseInline(tokens);
      const id = slugOf(text);
      return depth === 1 ? `<h1>${words}</h1>\n` : `<h${depth} id="${id}"><a href="#${id}">${words}</a></h${depth}>\n`;
    },
    link({ href, tokens }) {
      const words = this.parser.parseInline(tokens);
      return isFit(href) ? `<a href="${escaped(servedAs(href))}">${words}</a>` : words;
    },
    image: ({ text }) => escaped(text),
  },
});

function pageOf(guide: Guide, guides: readonly Guide[], style: string): string {
  const place = guides.indexOf(guide);
  const item = ({ file, title }: Guide) =>
    `<li><a href="${pathOf(file)}"${file === guide.file ? ' aria-current="page"' : ''}>${escaped(title)}</a></li>`;
  const beside = (other: Guide | undefined, rel: 'prev' | 'next') =>
    other ? `<a rel="${rel}" href="${pathOf(other.file)}">${escaped(other.title)}</a>` : '<span></span>';
  const sections = guide.sections.map(({ id, html }) => `<li><a href="#${id}">${html}</a></li>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(guide.file === INDEX ? guide.title : `${guide.title} · clocktick`)}</title>
<style>${style}</style>
</head>
<body>
<nav aria-label="Guides">
<ol>
${guides.map(item).join('\n')}
</ol>
<p><a href="../../ui/">Look at entities</a></p>
<p><a href="../">Try the API</a></p>
</nav>
<main>
${sections.length > 1 && guide.file !== INDEX ? `<nav aria-label="On this page">\n<ul>\n${sections.join('\n')}\n</ul>\n</nav>\n` : ''}${guide.body}
<footer>${beside(guides[place - 1], 'prev')}${beside(guides[place + 1], 'next')}</footer>
</main>
</body>
</html>
`;
}
