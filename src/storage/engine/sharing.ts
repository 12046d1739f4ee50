import { Refusal } from '../../temporal/refusal.js';

export type Bounds = {
  /** How many questions share a statement, and what they may weigh together; one always fits. */
  batch: number;
  weight: number;
  /** How many statements are under way at once. */
  flights: number;
  /** … and how many at most, when the last of them takes longer than `patience` (milliseconds) or a whole batch waits. */
  most: number;
  patience: number;
  /** How many questions may wait. */
  waiting: number;
};

/**
 * Asks a question. Once `signal` is aborted nobody waits for the answer any more: then the question is not asked, unless it
 * is under way already.
 * @throws Refusal `overloaded` when too many wait already, or nobody does
 */
export type Shared<Question, Answer> = (question: Question, signal?: AbortSignal) => Promise<Answer>;

type Member<Question, Answer> = {
  question: Question;
  signal: AbortSignal | undefined;
  alone: boolean;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
};

/**
 * Lets questions that are asked at the same time share statements, because a statement costs more than what it answers:
 * when nothing is under way a question is asked at once, otherwise it waits, in order, for the next statement.
 *
 * When a statement fails, every one of its questions is asked again alone, so that one that cannot be answered fails for
 * itself only. `isForAll` tells the errors that have nothing to do with the question, which fail all of them. `failureOf`
 * makes of an error what whoever asked is told.
 * @param answerAll answers each question, in their order, in one statement
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
): Shared<Question, Answer> {
  const waiting: Member<Question, Answer>[] = [];
  let flights = 0;
  let isDue = false;
  /** Whether the statement that left last has taken its time. */
  let isLate = false;
  let hurrying: NodeJS.Timeout | undefined;

  return (question, signal) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= bounds.waiting) {
        reject(new Refusal('overloaded', 'More requests wait than this service can keep. Nothing was done.'));
        return;
      }
      waiting.push({ question, signal, alone: false, resolve, reject });
      if (isDue || !mayDepart()) return;
      // Once everything that has arrived by now has been read: it shares the statement.
      isDue = true;
      setImmediate(depart);
    });

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

  /** Takes as many from the queue as go into one statement. */
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
