import t from 'tap';
import { concernsAll, lostRace, readFailure, writeFailure } from '../../../src/storage/engine/failures.js';
import { Refusal } from '../../../src/temporal/refusal.js';

/** An error that the server sent. */
const failure = (code: string, constraint?: string, severity = 'ERROR') =>
  Object.assign(new Error(code), { code, severity }, constraint === undefined ? {} : { constraint_name: constraint });

/** An error of the connection, as Node and the driver give it. */
const broken = (code: string) => Object.assign(new Error(code), { code });

t.test('what an error of the database means to the one who wrote', async (t) => {
  const cases: [name: string, error: Error, code: string | undefined][] = [
    ['refused by a guard (T44)', failure('23001', 'range_opens_now'), 'history_conflict'],
    ['stamped before the clock stepped back', failure('23001', 'tick_is_not_of_the_future'), 'clock_stepped_back'],
    ['an activity that ticks twice', failure('23505', 'tick_activity_id_entity_id_key'), 'activity_already_ticked'],
    ['too large for jsonb', failure('54000'), 'entity_too_large'],
    ['nobody listens', broken('ECONNREFUSED'), 'database_unavailable'],
    ['the server starts up', failure('57P03'), 'database_unavailable'],
    ['too many connections', failure('53300'), 'database_unavailable'],
    ['the disk is full', failure('53100'), 'database_unavailable'],
    ['cancelled', failure('57014'), 'database_unavailable'],
    ['a standby', failure('25006'), 'database_unavailable'],
    ['a privilege is missing', failure('42501'), 'database_unavailable'],
    ['the password is wrong', failure('28P01', undefined, 'FATAL'), 'database_unavailable'],
    ['there is no such database', failure('3D000', undefined, 'FATAL'), 'database_unavailable'],
    ['no way there', Object.assign(broken('EHOSTUNREACH'), { syscall: 'connect' }), 'database_unavailable'],
    ['the connection broke', broken('CONNECTION_CLOSED'), 'outcome_unknown'],
    ['the network broke', broken('ECONNRESET'), 'outcome_unknown'],
    ['a network nobody thought of', broken('ENETUNREACH'), 'outcome_unknown'],
    ['TLS', broken('ERR_SSL_BAD_RECORD_TYPE'), 'outcome_unknown'],
    ['the server was stopped', failure('57P01', undefined, 'FATAL'), 'outcome_unknown'],
    ['a row that stays locked', failure('55P03'), 'too_many_writers'],
    ['a refusal of ours', new Refusal('entity_exists', ''), 'entity_exists'],
    ['a protocol fault', failure('08006'), 'outcome_unknown'],
    ['something of ours', failure('42703'), '42703'],
  ];
  for (const [name, error, code] of cases) t.match(writeFailure(error), { code }, name);
  t.equal(writeFailure('no error at all'), 'no error at all');
});

t.test('a read can always be tried again', async (t) => {
  for (const error of [
    broken('ECONNREFUSED'),
    broken('CONNECTION_CLOSED'),
    failure('57P01', undefined, 'FATAL'),
    failure('57014'),
    failure('55P03'),
    failure('08006'),
    failure('42501'),
  ]) {
    t.match(readFailure(error), { code: 'database_unavailable' }, error.message);
  }
  t.match(readFailure(new TypeError('ours')), { message: 'ours' });
  t.match(readFailure(failure('42703')), { code: '42703' });
});

t.test('which errors have nothing to do with what was asked', async (t) => {
  const cases: [name: string, error: unknown, forAll: boolean][] = [
    ['nobody listens', broken('ECONNREFUSED'), true],
    ['the connection broke', broken('CONNECTION_CLOSED'), true],
    ['the server was stopped', failure('57P01', undefined, 'FATAL'), true],
    ['the disk is full', failure('53100'), true],
    ['out of time', failure('57014'), true],
    ['a standby', failure('25006'), true],
    ['a privilege is missing', failure('42501'), true],
    ['what is known to be so', new Refusal('outcome_unknown', ''), true],
    ['a row that stays locked', failure('55P03'), false],
    ['an activity that ticks twice', failure('23505', 'tick_activity_id_entity_id_key'), false],
    ['too large', failure('54000'), false],
    ['refused by a guard', failure('23001', 'range_opens_now'), false],
    ['a race', failure('40001'), false],
    ['something of ours', new TypeError('ours'), false],
  ];
  for (const [name, error, forAll] of cases) t.equal(concernsAll(error), forAll, name);
});

t.test('which losses are only races', async (t) => {
  const cases: [error: Error, lost: boolean][] = [
    [failure('40001'), true],
    [failure('40P01'), true],
    [failure('23505', 'entity_pkey'), true],
    [failure('23505', 'tick_activity_id_entity_id_key'), false],
    [failure('23001', 'range_opens_now'), false],
    [failure('57P01'), false],
  ];
  for (const [error, lost] of cases) t.equal(lostRace(error), lost, error.message);
});
