import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Unfit } from '../unfit.js';

/*
 * Calls of a running service, and what it answers.
 *
 * These are not those of src/client/. An import is told how far it is, or why it is refused, while it is still being sent, and `fetch` promises an
 * answer only after that; an export is counted, compressed and gone on with by the byte, in any format. Nothing else is called from here but
 * one definition, for which a second way of calling, with other words for the same failures, would be no gain.
 */

/** A request that is about to be sent. */
export const requestTo = (url: URL, options: RequestOptions = {}): ClientRequest =>
  (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options);

/** The answer to a request. @throws Unfit where nobody gives one */
export async function answerOf(sent: ClientRequest, { origin }: URL): Promise<IncomingMessage> {
  try {
    const [answer]: IncomingMessage[] = await once(sent, 'response');
    // What is still to be sent may find the connection closed: the answer says why.
    sent.on('error', () => {});
    if (answer) return answer;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
    throw new Unfit(`no service answers at ${origin}${code}. --url or CLOCKTICK_URL says where it is.`);
  }
  throw new Error('there was no answer');
}

/** Why a service has refused a request, in its own words. */
export function refusalIn(body: string, status: number | undefined): string {
  try {
    const { detail, code }: { detail?: string; code?: string } = JSON.parse(body);
    if (detail !== undefined) return `${detail} (${code})`;
  } catch {
    // No service of ours.
  }
  return `what answers there is no clocktick: status ${status}.`;
}

/** The lines of an answer as they come. Node's readline would end some at U+2028 as well, which stands in JSON as it is. */
export async function* linesIn(answer: IncomingMessage): AsyncGenerator<string> {
  let begun = '';
  for await (const part of answer.setEncoding('utf8')) {
    const lines = `${begun}${part}`.split('\n');
    begun = lines.pop() ?? '';
    yield* lines;
  }
}
