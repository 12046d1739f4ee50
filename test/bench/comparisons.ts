/* What is compared with what, and what the ratio should reach. */

/** A figure against its rival's, and what the ratio should reach; of tails, what it may come to. */
export type Comparison = { name: string; subject: string; rival: string; reach?: number; of?: 'tails' };

export const COMPARISONS: Comparison[] = [
  { name: 'GET now, to a constant answer', subject: 'GET now', rival: 'a constant answer', reach: 0.7 },
  { name: 'GET now, to one SELECT a request', subject: 'GET now', rival: 'one SELECT a request', reach: 1.6 },
  { name: 'as of, unchanged since, to now', subject: 'GET as of, unchanged since', rival: 'GET now', reach: 0.9 },
  { name: 'an older state, to rows', subject: 'an older state', rival: 'rows: an older state', reach: 1 },
  { name: 'the first state, to rows', subject: 'its first state', rival: 'rows: its first state' },
  { name: 'page of 100 now, to rows', subject: 'page now', rival: 'rows: page now' },
  {
    name: 'page of 100 of a snapshot, all changed since, to rows',
    subject: 'page of a snapshot',
    rival: 'rows: page of a snapshot',
    reach: 0.7,
  },
  {
    name: 'page of 100 of a snapshot, all changed since, to the page now',
    subject: 'page of a snapshot',
    rival: 'page now',
    reach: 0.7,
  },
  {
    name: 'history of one property, 50 ranges, to rows',
    subject: 'history of 50 ranges',
    rival: 'rows: history of 50 ranges',
    reach: 1,
  },
  { name: 'page of 100 found by a value, to the page now', subject: 'found now', rival: 'page now' },
  {
    name: 'page of 100 found by a past value, to rows indexed on it',
    subject: 'found by a past value',
    rival: 'rows: found by a past value',
    reach: 0.7,
  },
  { name: 'PATCH, to rows', subject: 'PATCH', rival: 'rows: PATCH', reach: 0.9 },
  { name: 'PATCH, to a plain UPDATE', subject: 'PATCH', rival: 'plain UPDATE', reach: 0.4 },
  { name: 'PATCH, to the textbook', subject: 'PATCH', rival: 'textbook PATCH', reach: 2.5 },
  { name: 'POST of ten properties, to rows', subject: 'POST', rival: 'rows: POST', reach: 0.9 },
  { name: 'POST, to the textbook', subject: 'POST', rival: 'textbook POST', reach: 2.5 },
  { name: 'POST, to a plain COPY of as many rows', subject: 'POST', rival: 'plain COPY' },
  {
    name: 'PATCH of a defined type, to an open one',
    subject: 'PATCH of a defined type',
    rival: 'PATCH of an open type',
    reach: 0.9,
  },
  {
    name: 'POST of a defined type, to an open one',
    subject: 'POST of a defined type',
    rival: 'POST of an open type',
    reach: 0.9,
  },
  {
    name: 'batch of 100 patches, by the entity, to a PATCH each of one client',
    subject: 'batch of 100 patches, one client',
    rival: 'PATCH, one client',
    reach: 5,
  },
  {
    name: 'batch of 100 patches, by the entity, to a PATCH each of all clients',
    subject: 'batch of 100 patches',
    rival: 'PATCH',
  },
  {
    name: 'undo of 10,000 ticks, by the tick, to a batch of 100 patches of one client',
    subject: 'undo of 10,000 ticks',
    rival: 'batch of 100 patches, one client',
  },
  { name: 'GET now, to MariaDB', subject: 'GET now', rival: 'MariaDB: GET now' },
  { name: 'an older state, to MariaDB', subject: 'an older state', rival: 'MariaDB: an older state' },
  { name: 'the first state, to MariaDB', subject: 'its first state', rival: 'MariaDB: its first state' },
  { name: 'page of 100 now, to MariaDB', subject: 'page now', rival: 'MariaDB: page now' },
  {
    name: 'page of 100 of a snapshot, all changed since, to MariaDB',
    subject: 'page of a snapshot',
    rival: 'MariaDB: page of a snapshot',
  },
  {
    name: 'history of one property, 50 ranges, to MariaDB',
    subject: 'history of 50 ranges',
    rival: 'MariaDB: history of 50 ranges',
  },
  {
    name: 'page of 100 found by a past value, to MariaDB',
    subject: 'found by a past value',
    rival: 'MariaDB: found by a past value',
  },
  { name: 'PATCH, to MariaDB', subject: 'PATCH', rival: 'MariaDB: PATCH' },
  { name: 'POST of ten properties, to MariaDB', subject: 'POST', rival: 'MariaDB: POST' },
  {
    name: 'as of a tick, 20,000 versions to 10',
    subject: 'by tick, at 20,000 versions',
    rival: 'by tick, at 10',
    reach: 0.9,
  },
  {
    name: 'as of an instant, 20,000 versions to 10',
    subject: 'by instant, at 20,000 versions',
    rival: 'by instant, at 10',
    reach: 0.9,
  },
  {
    name: 'a page of history, depth 20,000 to 100',
    subject: 'history page of 50, at 20,000',
    rival: 'history page of 50, at 100',
    reach: 0.9,
  },
  {
    name: 'p99 of GET now at half of the load, to one SELECT (µs)',
    subject: 'GET now',
    rival: 'one SELECT a request',
    reach: 2,
    of: 'tails',
  },
];

/** What is no figure of a load: how far the newest stable instant lies behind the clock, in milliseconds, while many write. */
export const LAG = { name: 'stable lag at 32 writers, p99 (ms)', writers: 32, subject: 'PATCH', reach: 50 };

/** Other tables. */
export const BYTES = 'bytes';
export const PLANS = 'plans';
