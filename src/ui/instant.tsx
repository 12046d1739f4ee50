import { signal } from '@preact/signals';
import { formatInstant } from './core/instants.js';
import { view } from './state.js';

/** The time of day, for instants told as “3 minutes ago”; it moves on twice a minute. */
const now = signal(new Date());
setInterval(() => {
  now.value = new Date();
}, 30_000);

/** An instant in the zone that was chosen; the whole of it stands in its title. */
export const Instant = ({ at }: { at: string }) => (
  <time dateTime={at} title={at}>
    {formatInstant(at, view.value.zone ?? 'utc', now.value)}
  </time>
);
