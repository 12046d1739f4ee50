import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { Unfit } from '../unfit.js';

/* Where the bytes go that a command writes. */

export type Output = { write: (bytes: Buffer) => Promise<void>; end: () => Promise<void>; close: () => void };

/**
 * A file, or standard output. Whoever writes waits until it takes more. The file is made when there is something to write: an export that is
 * refused leaves none.
 */
export function openOutput(file: string): Output {
  const partial = `${file}.partial`;
  const input = new PassThrough();
  let taken: Promise<void> | undefined;
  const begin = (): Promise<void> => {
    const end = file === '-' ? process.stdout : createWriteStream(partial);
    const parts = file.endsWith('.gz') ? [input, createGzip(), end] : [input, end];
    const whole = pipeline(parts, { end: file !== '-' }).catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      throw new Unfit(`${file === '-' ? 'standard output' : partial} could not be written: ${why}.`);
    });
    // It may fail while nobody writes.
    whole.catch(() => {});
    return whole;
  };
  return {
    write: async (bytes) => {
      taken ??= begin();
      if (!input.destroyed && !input.write(bytes)) await drained(input);
      if (input.destroyed) await taken;
    },
    end: async () => {
      taken ??= begin();
      input.end();
      await taken;
      if (file !== '-') await rename(partial, file);
    },
    close: () => void input.destroy(),
  };
}

/** Waits until a stream takes more, or never will. */
const drained = (stream: PassThrough): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('close', done);
  });
