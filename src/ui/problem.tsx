import { ClocktickProblem, ClocktickUnreachable } from '../client/client.js';
import type { Failed } from './service.js';

/** What the service said of why it refused, in its own words, with what a caller may do about it. */
export function Failure({ error, again }: { error: Failed; again?: (() => void) | undefined }) {
  if (!(error instanceof ClocktickProblem) && !(error instanceof ClocktickUnreachable))
    return (
      <div class="failure" role="alert">
        <p>
          <strong>Nothing can be asked about that.</strong> {error.message}
        </p>
      </div>
    );
  // Until that is sure, nobody may think that a write is not there.
  const doubt = error.mayBeWritten && (
    <p>It is not known whether it was written. Look at what there is now before you do it again.</p>
  );
  if (error instanceof ClocktickUnreachable)
    return (
      <div class="failure" role="alert">
        <p>
          <strong>The service does not answer.</strong>
        </p>
        {doubt}
        {again && <Again again={again} />}
      </div>
    );
  const { problem, status, code } = error;
  const { errors = [] } = problem;
  return (
    <div class="failure" role="alert">
      <p>
        <strong>{problem.title}.</strong> {problem.detail}
      </p>
      {errors.length > 1 && (
        <ul>
          {errors.map(({ path, message }) => (
            <li key={`${path} ${message}`}>
              <code>{path}</code> {message}
            </li>
          ))}
        </ul>
      )}
      {doubt}
      <p class="small">
        <a href={`../docs/problems/${encodeURIComponent(code)}`}>{code}</a> ({status})
      </p>
      {again && (status === 503 || status === 429) && <Again again={again} />}
    </div>
  );
}

const Again = ({ again }: { again: () => void }) => (
  <button type="button" onClick={again}>
    Ask again
  </button>
);

/** That something is on its way; after a moment, so that a quick answer does not flicker. */
export const Loading = ({ what, done, of }: { what: string; done?: number; of?: number }) => (
  <p class="loading" role="status">
    Reading {what}
    {done !== undefined && of !== undefined ? (
      <>
        {' '}
        <progress value={done} max={of} aria-label={`${done} of ${of}`} />
      </>
    ) : (
      ' …'
    )}
  </p>
);
