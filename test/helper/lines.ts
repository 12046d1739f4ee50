import { sentLine } from '../../src/http/contract/import-lines.js';
import type { SentLine } from '../../src/storage/imports/batches.js';
import type { Json } from '../../src/temporal/json.js';

/** Lines of an import, as the service takes them: text as it is, anything else as JSON. In arrays of so many. */
export async function* linesOf(lines: readonly Json[], atOnce = 100): AsyncGenerator<SentLine[]> {
  for (let from = 0; from < lines.length; from += atOnce) {
    const some = lines.slice(from, from + atOnce);
    yield some.flatMap(
      (line, n) => sentLine(typeof line === 'string' ? line : JSON.stringify(line), from + n + 1) ?? [],
    );
  }
}
