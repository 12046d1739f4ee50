import { ClocktickProblem } from '../client/client.js';
import { Failure } from './problem.js';
import type { Answer, Failed } from './service.js';

/** What is said of an instant that is asked for, without its name. */
const OF_MOMENTS = ['as_of_in_future', 'as_of_not_stable_yet', 'at_in_future'];

/** What the service said of a parameter, if it refused a call because of it. */
export function faultOf(error: Failed | undefined, parameters: readonly string[]): string | undefined {
  if (!(error instanceof ClocktickProblem)) return undefined;
  const { errors = [], detail } = error.problem;
  const isOfMoment = OF_MOMENTS.includes(error.code) && parameters.includes('asOf');
  return isOfMoment || errors.some(({ path }) => parameters.includes(path)) ? detail : undefined;
}

/** Shows why there is no answer, unless a field says it already. @param fields the parameters that have fields of their own */
export function FailureElsewhere({ answer, fields }: { answer: Answer<unknown>; fields: readonly string[] }) {
  if (answer.state !== 'failed' || faultOf(answer.error, fields) !== undefined) return null;
  return <Failure error={answer.error} again={answer.again} />;
}

/** What is wrong with a field, below it; the field names it by `aria-describedby`. */
export const Fault = ({ id, fault }: { id: string; fault: string | undefined }) =>
  fault === undefined ? null : (
    <span class="fault" id={id} role="alert">
      {fault}
    </span>
  );
