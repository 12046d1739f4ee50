import { fileURLToPath } from 'node:url';
import { Unfit } from '../../unfit.js';
import { driverFolder, missingMends } from './driver-mends.mjs';

/** Beside this file in src/ and in dist/, so it is there wherever the service can be started. */
const COMMAND = fileURLToPath(new URL('mend-postgres.mjs', import.meta.url));

/**
 * Refuses a driver with its published faults, which `npm ci --ignore-scripts` leaves in it: with them, statements get the
 * answers of others, or none, or the process ends.
 * @throws Unfit that says which command mends it
 */
export async function checkDriver(folder = driverFolder()): Promise<void> {
  const missing = await missingMends(folder);
  if (missing.length === 0) return;
  throw new Unfit(`The database driver in ${folder} has faults that installing mends: run \`node ${COMMAND}\`.`);
}
