import t from 'tap';
import { parseFilter } from '../../../src/temporal/filter.js';
import { type Operator, withCondition } from '../../../src/ui/collection/condition.js';

const CASES: readonly [where: string | undefined, property: string, operator: Operator, text: string, is: string][] = [
  [undefined, 'region', 'eq', 'Europe', '{"region":"Europe"}'],
  [undefined, 'area', 'eq', '4', '{"area":4}'],
  [undefined, 'area', 'eq', '"4"', '{"area":"4"}'],
  [undefined, 'area', 'eq', 'null', '{"area":null}'],
  [undefined, 'area', 'eq', '', '{"area":""}'],
  [undefined, 'name', 'eq', '{"common": "Chad"}', '{"name":{"eq":{"common":"Chad"}}}'],
  [undefined, 'area', 'gte', '1000', '{"area":{"gte":1000}}'],
  ['{"area":{"gte":1000}}', 'area', 'lt', '2000', '{"area":{"gte":1000,"lt":2000}}'],
  ['{"area":{"gte":1000}}', 'area', 'gte', '5', '{"area":{"gte":5}}'],
  ['{"area":4}', 'area', 'lt', '5', '{"area":{"eq":4,"lt":5}}'],
  ['{"area":4}', 'region', 'eq', 'Asia', '{"area":4,"region":"Asia"}'],
  ['{"region":"Asia"}', 'region', 'eq', 'Europe', '{"region":"Europe"}'],
  [undefined, 'region', 'in', 'Asia, Europe', '{"region":{"in":["Asia","Europe"]}}'],
  [undefined, 'region', 'in', '["Asia"]', '{"region":{"in":["Asia"]}}'],
  [undefined, 'area', 'in', '4, null, five', '{"area":{"in":[4,null,"five"]}}'],
  [undefined, 'borders', 'has', 'FRA', '{"borders":{"has":"FRA"}}'],
  [undefined, 'languages', 'hasKey', '4', '{"languages":{"hasKey":"4"}}'],
  [undefined, 'region', 'exists', 'true', '{"region":{"exists":true}}'],
  [undefined, 'region', 'exists', 'false', '{"region":{"exists":false}}'],
  [' ', '__proto__', 'eq', '1', '{"__proto__":1}'],
  ['{"__proto__":{"gt":1}}', '__proto__', 'lt', '9', '{"__proto__":{"gt":1,"lt":9}}'],
  ['{}', 'constructor', 'eq', '1', '{"constructor":1}'],
];

t.test('A condition is added to a filter as the API takes it', async (t) => {
  for (const [where, property, operator, text, is] of CASES) {
    const now = withCondition(where, property, operator, text);
    t.equal(now, is, `${where ?? 'none'} + ${property} ${operator} ${text}`);
    t.doesNotThrow(() => parseFilter(now ?? '', 'where'), 'the API takes it');
  }
});

t.test('To what is no filter nothing is added', async (t) => {
  for (const where of ['{"a"', '[1]', '4', 'null', 'Europe'])
    t.equal(withCondition(where, 'a', 'eq', '1'), null, where);
});
