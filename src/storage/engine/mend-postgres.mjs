// Mends the database driver where it is installed: see driver-mends.mjs. Run by `npm ci` and `npm run build`.
import { driverFolder, mendDriver } from './driver-mends.mjs';

await mendDriver(driverFolder());
