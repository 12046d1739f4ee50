import { stopServer } from './server.js';

// Runs once, after all test files.
await stopServer();
process.exit(0);
