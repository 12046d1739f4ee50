import { Refusal } from '../../temporal/refusal.js';

/** How questions share statements. A flight is a statement under way, with the questions that share it. */
export type Bounds = {
  /** How many questions share a statement at most. */
  batch: number;
  /** How much these may weigh together, in what `weigh` gives; a single question may weigh more. */
  weight: number;
  /** How many flights there are at once. */
  flights: number;
  /** How many flights there are at most: more than `flights` when the last one is late, or when a whole batch waits. */
  most: number;
  /** How long the last flight may take before it is late, in milliseconds. */
  patience: number;
  /** How many questions may wait, and how long each may, in milliseconds. */
  waiting: number;
  wait: number;
};

/**
 * Asks a question. When `signal` is aborted, nobody waits for the answer any more: then the question is dropped, unless it is
 * under way already.
 * @throws Refusal `overloaded` when too many questions wait already, when this one has waited for too long, or when it is dropped
 */
export type Shared<Question, Answer> = (question: Question, signal?: AbortSignal) => Promise<Answer>;

/** What became of the questions so far, and what is going on: read only. */
export type Tally = {
  /** How many statements have been sent, and how many questions they carried together. */
  statements: number;
  questions: number;
  underWay: number;
  waiting: number;
};

/** A question that waits or is under way, until when it may wait, and how its caller is told. `alone`: it shares no statement any more. */
type Member<Question, Answer> = {
  question: Question;
  signal: AbortSignal | undefined;
  until: number;
  alone: boolean;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
};

/**
 * Lets questions that are asked at the same time share statements, because a statement costs more than the answers in it. When
 * nothing is under way, a question is asked at once. Otherwise it waits, in order, for the next statement.
 *
 * When a shared statement fails, each of its questions is asked again alone. So a question that cannot be answered fails alone.
 * @param answerAll answers all questions in one statement, in their order
 * @param options `weigh` gives the weight of a question, for `bounds.weight`. `isForAll` says whether an error has nothing to do
 * with the questions: then it fails all of them. `failureOf` makes of an error what the caller is told.
 */
export function share<Question, Answer>(
  answerAll: (questions: readonly Question[]) => Promise<readonly Answer[]>,
  {
    bounds,
    weigh,
    isForAll,
    failureOf = (error) => error,
  }: {
    bounds: Bounds;
    weigh: (question: Question) => number;
    isForAll: (error: unknown) => boolean;
    failureOf?: (error: unknown) => unknown;
  },
): Shared<Question, Answer> & { tally: () => Tally } {
  const waiting: Member<Question, Answer>[] = [];
  let flights = 0;
  let statements = 0;
  let questions = 0;
  let isDue = false;
  /** Whether the last flight has taken longer than `patience`. */
  let isLate = false;
  let hurrying: NodeJS.Timeout | undefined;
  let expiring: NodeJS.Timeout | undefined;

  const ask: Shared<Question, Answer> = (question, signal) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= bounds.waiting) {
        reject(new Refusal('overloaded', 'More requests wait than this service can keep. Nothing was done.'));
        return;
      }
      waiting.push({ question, signal, until: performance.now() + bounds.wait, alone: false, resolve, reject });
      if (expiring === undefined) expiring = setTimeout(expire, bounds.wait).unref();
      if (isDue || !mayDepart()) return;
      // Not at once, but when Node has read everything that has arrived by now: those questions share the statement.
      isDue = true;
      setImmediate(depart);
    });
  return Object.assign(ask, { tally: () => ({ statements, questions, underWay: flights, waiting: waiting.length }) });

  function mayDepart(): boolean {
    if (flights < bounds.flights) return true;
    return flights < bounds.most && (isLate || waiting.length >= bounds.batch);
  }

  function depart(): void {
    isDue = false;
    while (waiting.length > 0 && mayDepart()) {
      const members = board();
      if (members.length > 0) void fly(members);
    }
  }

  function hurry(): void {
    isLate = true;
    depart();
  }

  /** Refuses those that have waited for too long, the oldest of whom is the first, and looks again when the next one has. */
  function expire(): void {
    const now = performance.now();
    for (let [first] = waiting; first && first.until <= now; [first] = waiting) {
      waiting.shift();
      first.reject(new Refusal('overloaded', 'The database takes too long for what came before. Nothing was done.'));
    }
    const [next] = waiting;
    expiring = next && setTimeout(expire, next.until - now).unref();
  }

  /** Takes as many questions from the queue as fit into one statement. Drops those for which nobody waits. */
  function board(): Member<Question, Answer>[] {
    let weight = 0;
    const end = waiting.findIndex(({ question, alone }, place) => {
      weight += weigh(question);
      return place > 0 && (alone || waiting[0]?.alone || place === bounds.batch || weight > bounds.weight);
    });
    return waiting.splice(0, end === -1 ? waiting.length : end).filter((member) => {
      if (!member.signal?.aborted) return true;
      member.reject(new Refusal('overloaded', 'Whoever asked went away before it was done. Nothing was done.'));
      return false;
    });
  }

  async function fly(members: readonly Member<Question, Answer>[]): Promise<void> {
    flights++;
    statements++;
    questions += members.length;
    isLate = false;
    clearTimeout(hurrying);
    hurrying = setTimeout(hurry, bounds.patience);
    try {
      const answers = await answerAll(members.map(({ question }) => question));
      if (answers.length !== members.length) throw new Error('not every question was answered');
      for (const [place, answer] of answers.entries()) members[place]?.resolve(answer);
    } catch (error) {
      if (members.length > 1 && !isForAll(error))
        waiting.unshift(...members.map((member) => ({ ...member, alone: true })));
      else for (const member of members) member.reject(failureOf(error));
    }
    flights--;
    if (flights === 0) clearTimeout(hurrying);
    depart();
  }
}
