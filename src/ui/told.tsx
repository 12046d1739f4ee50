import type { Tick } from '../client/types.js';
import { sentenceOf } from './core/sentences.js';
import { hrefOf } from './state.js';

/**
 * Who did what, and why, with a link to all else that the activity did.
 * @param head the tick, as far as it is known
 * @param tick the same with what it changed; until that is known, it is told that it changed something
 */
export function Told({ head, tick }: { head: Pick<Tick, 'op' | 'activity'>; tick: Tick | undefined }) {
  const { who, what, why } = sentenceOf(tick ?? head);
  return (
    <>
      {head.activity ? <a href={hrefOf({ activity: head.activity.id })}>{who ?? 'somebody'}</a> : 'somebody'} {what}
      {why !== null && <q>{why}</q>}
    </>
  );
}
