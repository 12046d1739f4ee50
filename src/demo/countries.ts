import type { JsonObject } from '../temporal/json.js';

/*
 * Thirteen years of a few invented countries, for those who want to look around before they have data of their own: what is edited by hand, what
 * programs write every month, a schema that changes, vandalism and its undoing, a deletion. It ends in 2025, so that all of it is past.
 */

/** The type of the countries. */
export const DEMO_TYPE = 'country';

/** Who changed which countries, when and why. No two have the same instant. */
type Commit = { at: string; actor: string; reason: string; changes: readonly Change[] };

/** What a commit does to a country: its whole state, the values of some properties, or a tombstone. */
type Change = { key: string } & (
  | { properties: JsonObject }
  | { op: 'set'; set: JsonObject; clear?: readonly string[] }
  | { op: 'delete' }
);

const create = (key: string, properties: JsonObject): Change => ({ key, properties });
const set = (key: string, values: JsonObject, clear: readonly string[] = []): Change => ({
  key,
  op: 'set',
  set: values,
  clear,
});

const CROWN = { RUK: { name: 'Ruritanian crown', symbol: 'kr' } };
const GAVVO = { GRG: { name: 'Graustark gavvo', symbol: 'G' } };

const RURITANIA = {
  first: 'Ruritania is a kingdom of forests and castles, a day by rail from Dresden.',
  second:
    'Ruritania is a kingdom of forests and castles, a day by rail from Dresden. The king is crowned in the cathedral of Strelsau; his summer residence is the castle of Zenda.',
  third:
    'Ruritania is a constitutional monarchy of forests and castles, five hours by rail from Dresden. The sovereign is crowned in the cathedral of Strelsau; the castle of Zenda is a museum.',
};

const EDITED: readonly Commit[] = [
  {
    at: '2012-03-05T09:12:40Z',
    actor: 'Jonathan',
    reason: 'the countries of the voyages',
    changes: [
      create('LIL', {
        name: 'Lilliput',
        capital: 'Mildendo',
        currency: 'sprug',
        languages: ['Lilliputian'],
        area: 12.4,
      }),
      create('BRO', {
        name: 'Brobdingnag',
        capital: 'Lorbrulgrud',
        currency: 'great crown',
        languages: ['Brobdingnagian'],
        area: 1_790_000,
      }),
      create('LAP', { name: 'Laputa', capital: null, currency: 'none', languages: ['Laputan'], area: 40.9 }),
    ],
  },
  {
    at: '2012-03-19T15:40:02Z',
    actor: 'Anthony',
    reason: 'Ruritania',
    changes: [
      create('RUR', {
        name: 'Ruritania',
        capital: 'Strelsau',
        currency: 'crown',
        languages: ['German'],
        area: 41_300,
        summary: RURITANIA.first,
      }),
    ],
  },
  {
    at: '2012-03-21T08:05:51Z',
    actor: 'George',
    reason: 'its neighbour',
    changes: [
      create('GRA', { name: 'Graustark', capital: 'Edelweis', currency: 'gavvo', languages: ['German'], area: 8_100 }),
    ],
  },
  {
    at: '2012-05-02T10:30:00Z',
    actor: 'Samuel',
    reason: 'Erewhon, from the survey',
    changes: [
      create('ERE', {
        name: 'Erewhon',
        capital: null,
        currency: 'musical money',
        languages: ['Erewhonian'],
        area: 268_000,
        summary: 'Erewhon lies behind the mountains. It is an offence there to be ill.',
      }),
    ],
  },
  {
    at: '2012-09-11T19:22:13Z',
    actor: 'Miguel',
    reason: 'Barataria, as far as it is known',
    changes: [
      create('BAR', { name: 'Barataria', capital: 'Barataria', currency: 'real', languages: ['Spanish'], area: null }),
    ],
  },
  {
    at: '2013-11-08T11:47:33Z',
    actor: 'Anthony',
    reason: 'more of Ruritania',
    changes: [set('RUR', { summary: RURITANIA.second, borders: ['GRA'] }), set('GRA', { borders: ['RUR'] })],
  },
  {
    at: '2014-02-03T16:02:09Z',
    actor: 'Flavia',
    reason: 'languages have codes',
    changes: [
      set('LIL', { languages: { lil: 'Lilliputian' } }),
      set('BRO', { languages: { bro: 'Brobdingnagian' } }),
      set('LAP', { languages: { lap: 'Laputan' } }),
      set('RUR', { languages: { deu: 'German', rur: 'Ruritanian' } }),
      set('GRA', { languages: { deu: 'German', gra: 'Graustarkian' } }),
      set('ERE', { languages: { ere: 'Erewhonian' } }),
      set('BAR', { languages: { spa: 'Spanish' } }),
    ],
  },
  {
    at: '2015-06-22T13:18:45Z',
    actor: 'Flavia',
    reason: 'official names beside the common ones',
    changes: [
      set('LIL', { name: { common: 'Lilliput', official: 'Empire of Lilliput' } }),
      set('BRO', { name: { common: 'Brobdingnag', official: 'Kingdom of Brobdingnag' } }),
      set('LAP', { name: { common: 'Laputa', official: 'Flying Island of Laputa' } }),
      set('RUR', { name: { common: 'Ruritania', official: 'Kingdom of Ruritania' } }),
      set('GRA', { name: { common: 'Graustark', official: 'Principality of Graustark' } }),
      set('ERE', { name: { common: 'Erewhon', official: 'Kingdom of Erewhon' } }),
      set('BAR', { name: { common: 'Barataria', official: 'Island of Barataria' } }),
    ],
  },
  {
    at: '2016-01-27T09:55:10Z',
    actor: 'Flavia',
    reason: 'currencies by their codes',
    changes: [
      set('LIL', { currencies: { LLS: { name: 'Lilliputian sprug', symbol: 's' } } }, ['currency']),
      set('BRO', { currencies: { BRC: { name: 'Great crown', symbol: 'C' } } }, ['currency']),
      set('LAP', { currencies: {} }, ['currency']),
      set('RUR', { currencies: CROWN }, ['currency']),
      set('GRA', { currencies: GAVVO }, ['currency']),
      set('ERE', { currencies: { ERM: { name: 'Musical money', symbol: '♪' } } }, ['currency']),
      set('BAR', { currencies: { BAR: { name: 'Baratarian real', symbol: 'r' } } }, ['currency']),
    ],
  },
  {
    at: '2016-10-10T07:31:58Z',
    actor: 'Sancho',
    reason: 'I have walked around it',
    changes: [set('BAR', { area: 2.1 })],
  },
  {
    at: '2017-04-01T00:00:01Z',
    actor: 'Anatole',
    reason: 'found it',
    changes: [
      create('COC', {
        name: { common: 'Cockaigne', official: 'Land of Cockaigne' },
        capital: 'Gingerbread',
        languages: { fro: 'Old French' },
        currencies: {},
        area: 777,
      }),
    ],
  },
  {
    at: '2017-04-02T08:14:27Z',
    actor: 'Flavia',
    reason: 'an April fool',
    changes: [{ key: 'COC', op: 'delete' }],
  },
  {
    at: '2018-08-14T12:00:00Z',
    actor: 'Samuel',
    reason: 'no machines, no figures of their use',
    changes: [
      set(
        'ERE',
        { summary: 'Erewhon lies behind the mountains. It is an offence there to be ill, or to own a machine.' },
        ['internetUsers'],
      ),
    ],
  },
  {
    at: '2019-05-01T10:00:00Z',
    actor: 'Flavia',
    reason: 'the League of Small States is founded',
    changes: [
      set('LIL', { memberOf: ['League of Small States'] }),
      set('RUR', { memberOf: ['League of Small States'] }),
      set('BAR', { memberOf: ['League of Small States'] }),
    ],
  },
  {
    at: '2019-09-30T14:41:06Z',
    actor: 'George',
    reason: 'Graustark joins the League',
    changes: [set('GRA', { memberOf: ['League of Small States'] })],
  },
  {
    at: '2020-02-12T17:26:39Z',
    actor: 'Sancho',
    reason: 'the tide was out when I walked',
    changes: [set('BAR', {}, ['area'])],
  },
  {
    at: '2021-03-14T02:11:50Z',
    actor: 'visitor 4711',
    reason: 'lol',
    changes: [
      set('LIL', { capital: 'Shoebox' }),
      set('BRO', { capital: 'Shoebox' }),
      set('RUR', { capital: 'Zenda', summary: 'Ruritania is where I live.' }),
      set('GRA', { capital: 'Zenda' }),
      set('BAR', { capital: 'Zenda' }),
    ],
  },
  {
    at: '2021-03-14T07:40:18Z',
    actor: 'Flavia',
    reason: 'undoes what visitor 4711 did last night',
    changes: [
      set('LIL', { capital: 'Mildendo' }),
      set('BRO', { capital: 'Lorbrulgrud' }),
      set('RUR', { capital: 'Strelsau', summary: RURITANIA.second }),
      set('GRA', { capital: 'Edelweis' }),
      set('BAR', { capital: 'Barataria' }),
    ],
  },
  {
    at: '2022-01-01T00:00:00Z',
    actor: 'George',
    reason: 'Graustark takes the crown of Ruritania for its own',
    changes: [set('GRA', { currencies: CROWN })],
  },
  {
    at: '2022-11-17T15:09:22Z',
    actor: 'Anthony',
    reason: 'the constitution, the new line, the museum',
    changes: [
      set('RUR', {
        name: { common: 'Ruritania', official: 'Constitutional Kingdom of Ruritania' },
        summary: RURITANIA.third,
      }),
    ],
  },
  {
    at: '2023-06-05T09:00:00Z',
    actor: 'Flavia',
    reason: 'Ruritania and Graustark join the Customs Union',
    changes: [
      set('RUR', { memberOf: ['League of Small States', 'Customs Union'] }),
      set('GRA', { memberOf: ['Customs Union', 'League of Small States'] }),
    ],
  },
  {
    at: '2024-10-21T18:33:44Z',
    actor: 'George',
    reason: 'Graustark leaves the League',
    changes: [set('GRA', { memberOf: ['Customs Union'] })],
  },
];

/** People in 2013, how many more there are each year, and which part of them used the internet then, in percent. */
const CENSUS: readonly [key: string, people: number, growth: number, online: number][] = [
  ['LIL', 512_300, 1.012, 31],
  ['BRO', 31_040_000, 1.004, 22],
  ['LAP', 9_870, 0.991, 88],
  ['RUR', 2_310_000, 0.997, 57],
  ['GRA', 604_000, 1.006, 61],
  ['ERE', 1_140_000, 1.001, 3],
  ['BAR', 1_008, 1.021, 12],
];

/** Each August the figures of all countries. Erewhon has no machines from 2018 on. */
const counted: readonly Commit[] = Array.from({ length: 12 }, (_, n) => ({
  at: `${2013 + n}-08-15T06:00:00Z`,
  actor: 'statistics',
  reason: `figures of ${2012 + n}`,
  changes: CENSUS.map(([key, people, growth, online]) =>
    set(key, {
      population: Math.round(people * growth ** n),
      ...(key === 'ERE' && n > 4 ? {} : { internetUsers: Math.min(97, online + 4 * n) }),
    }),
  ),
}));

/** On the first of each month what a euro costs, while there are two currencies and after that. */
const rated: readonly Commit[] = Array.from({ length: 78 }, (_, n) => {
  const [year, month] = [2019 + Math.floor(n / 12), 1 + (n % 12)];
  const crowns = Number((24 + 2 * Math.sin(n / 7) + n / 40).toFixed(3));
  const gavvos = Number((3.1 + 0.4 * Math.cos(n / 5)).toFixed(3));
  return {
    at: `${year}-${String(month).padStart(2, '0')}-01T05:30:00Z`,
    actor: 'exchange',
    reason: `rates of ${year}-${String(month).padStart(2, '0')}`,
    changes: [set('RUR', { perEuro: crowns }), set('GRA', { perEuro: year < 2022 ? gavvos : crowns })],
  };
});

/** Laputa flies: each quarter of a year it is somewhere else. */
const sighted: readonly Commit[] = Array.from({ length: 48 }, (_, n) => {
  const [year, month] = [2013 + Math.floor(n / 4), 2 + 3 * (n % 4)];
  return {
    at: `${year}-${String(month).padStart(2, '0')}-20T${String((n * 7) % 24).padStart(2, '0')}:15:00Z`,
    actor: 'lookout',
    reason: 'sighted',
    changes: [
      set('LAP', {
        position: {
          latitude: Number((46 + 3 * Math.sin(n / 3)).toFixed(3)),
          longitude: Number((-170 + 4 * Math.cos(n / 4)).toFixed(3)),
        },
      }),
    ],
  };
});

/** All of it in the order in which it happened, as lines that an import takes. */
export function demoLines(): string {
  return [...EDITED, ...counted, ...rated, ...sighted]
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .flatMap(({ at, actor, reason, changes }) =>
      changes.map((change) => `${JSON.stringify({ type: DEMO_TYPE, at, activity: { actor, reason }, ...change })}\n`),
    )
    .join('');
}
