import t from 'tap';
import { memoryOf, settingsFor } from '../../src/embedded/settings.js';

const GB = 2 ** 30;

t.test('the cache is a quarter of the memory, within bounds', async (t) => {
  const cases: [memory: number, buffers: string][] = [
    [GB / 4, '128MB'],
    [GB / 2, '128MB'],
    [GB, '256MB'],
    [6.5 * GB, '1664MB'],
    [16 * GB, '4096MB'],
    [256 * GB, '4096MB'],
  ];
  for (const [memory, buffers] of cases) t.equal(settingsFor(memory).shared_buffers, buffers, String(memory));
});

t.test('a container has what it is granted, which may be no bound at all', async (t) => {
  const cases: [machine: number, container: number | undefined, memory: number][] = [
    [16 * GB, undefined, 16 * GB],
    [16 * GB, 0, 16 * GB],
    [16 * GB, 2 * GB, 2 * GB],
    [16 * GB, 2 ** 64, 16 * GB],
  ];
  for (const [machine, container, memory] of cases) t.equal(memoryOf(machine, container), memory, String(container));
});
