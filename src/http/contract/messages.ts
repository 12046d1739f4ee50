import { z } from 'zod';

/** zod's own messages speak of its schemas ("Invalid input: expected string, received undefined"). These speak to a caller. */
z.config({ customError: messageFor });

function messageFor(issue: z.core.$ZodRawIssue): string | undefined {
  const isGiven = issue.input !== undefined;
  switch (issue.code) {
    case 'invalid_type':
      return isGiven ? `must be ${KINDS.get(issue.expected) ?? issue.expected}` : 'is missing';
    case 'invalid_union':
      return isGiven ? 'is none of what may stand here' : 'is missing';
    case 'invalid_value':
      return `must be ${issue.values.join(' or ')}`;
    case 'too_small':
      if (issue.origin === 'array') return `must have ${issue.minimum} item${issue.minimum === 1 ? '' : 's'} at least`;
      return issue.origin === 'string' ? 'must not be empty' : `must be at least ${issue.minimum}`;
    case 'too_big':
      if (issue.origin === 'array') return `must have at most ${issue.maximum} items`;
      return issue.origin === 'string'
        ? `must have at most ${issue.maximum} characters`
        : `must be at most ${issue.maximum}`;
    default:
      return undefined;
  }
}

/** What zod calls a type, and what a caller calls it. */
const KINDS = new Map([
  ['string', 'text, given once'],
  ['object', 'an object'],
  ['array', 'a list'],
  ['int', 'a whole number'],
  ['number', 'a number'],
]);
