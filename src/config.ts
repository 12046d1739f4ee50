/** How the service runs. */
export type Config = Readonly<{
  host: string;
  port: number;
  /** Absent: the embedded database, kept in `dataDir`. */
  databaseUrl: string | undefined;
  dataDir: string;
  logLevel: string;
  /** Where callers reach the service, without a slash at the end; absent: URLs in answers have no scheme and host. */
  publicUrl: string | undefined;
  /** The names by which callers may speak of the service, without ports; null: any. */
  hosts: readonly string[] | null;
  /** How long a stopping service still takes connections, in seconds, while it says that it is not ready. */
  drainSeconds: number;
  /** Whether every change of an entity needs If-Match or If-None-Match. */
  requireCondition: boolean;
}>;

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

/** A setting that makes no sense. The message is for whoever runs the service, and shows no value that may be secret. */
export class BadSetting extends Error {
  override readonly name = 'BadSetting';
}

/**
 * Reads the configuration from the environment. An empty variable counts as absent.
 * @throws BadSetting
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const read = (name: string): string | undefined => env[name] || undefined;

  const port = read('PORT') ?? '3000';
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new BadSetting('PORT must be a number from 0 to 65535.');

  const logLevel = read('LOG_LEVEL') ?? 'info';
  if (!LOG_LEVELS.includes(logLevel)) throw new BadSetting(`LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}.`);

  const databaseUrl = readDatabaseUrl(env);

  const publicUrl = read('PUBLIC_URL');
  if (publicUrl !== undefined && !isPublicUrl(publicUrl))
    throw new BadSetting('PUBLIC_URL must be a URL such as https://example.org/clocktick, without query and fragment.');

  const drainSeconds = read('DRAIN_SECONDS') ?? '0';
  if (!/^\d{1,3}$/.test(drainSeconds)) throw new BadSetting('DRAIN_SECONDS must be a number from 0 to 999.');

  const requireCondition = read('REQUIRE_CONDITION') ?? 'false';
  if (!['true', 'false'].includes(requireCondition)) throw new BadSetting('REQUIRE_CONDITION must be true or false.');

  const host = read('HOST') ?? '127.0.0.1';
  const allowed = (read('ALLOWED_HOSTS') ?? '').split(',').map((name) => name.trim());
  if (allowed.some((name) => name !== '' && !/^(?:[\w.-]+|\[[\da-f:.]+\])$/i.test(name)))
    throw new BadSetting(
      'ALLOWED_HOSTS must be names such as clocktick.example.org, separated by commas, without ports.',
    );

  return Object.freeze({
    host,
    hosts: hostsOf(host, allowed.filter(Boolean), publicUrl),
    port: Number(port),
    databaseUrl,
    dataDir: read('DATA_DIR') ?? '.clocktick',
    logLevel,
    publicUrl: publicUrl && new URL(publicUrl).href.replace(/\/+$/, ''),
    drainSeconds: Number(drainSeconds),
    requireCondition: requireCondition === 'true',
  });
}

/** What the command line of the service asks for: only whether there is to be a sample history. @throws BadSetting */
export function readArguments(args: readonly string[]): { demo: boolean } {
  const other = args.find((argument) => argument !== '--demo');
  if (other !== undefined)
    throw new BadSetting(
      `the service takes no argument ${other}: there is only --demo, which adds a sample history. The environment says all else.`,
    );
  return { demo: args.includes('--demo') };
}

/** What only this machine can reach. */
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
export const isLoopback = (host: string): boolean => host === '::1' || /^127\./.test(host) || LOOPBACK.includes(host);

/**
 * On loopback only names of loopback count, and those that are configured: any other was given to this machine by somebody else (DNS
 * rebinding). Elsewhere nobody knows by which names it is reached, unless that is configured.
 */
function hostsOf(host: string, allowed: readonly string[], publicUrl: string | undefined): readonly string[] | null {
  if (!isLoopback(host) && allowed.length === 0) return null;
  return [...LOOPBACK, ...allowed, ...(publicUrl ? [new URL(publicUrl).hostname] : [])];
}

/**
 * Reads only which database; undefined where none is named.
 * @throws BadSetting
 */
export function readDatabaseUrl(env: NodeJS.ProcessEnv): string | undefined {
  const url = env.DATABASE_URL || undefined;
  if (url !== undefined && !isDatabaseUrl(url))
    throw new BadSetting('DATABASE_URL must be a URL such as postgres://user:password@host:5432/database.');
  return url;
}

/**
 * Reads where a running service is, for the commands that call one.
 * @param given what the command line says
 * @throws BadSetting
 */
export function readServiceUrl(env: NodeJS.ProcessEnv, given: string | undefined): URL {
  const url = given ?? (env.CLOCKTICK_URL || 'http://127.0.0.1:3000');
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new BadSetting('--url, or CLOCKTICK_URL, must be a URL such as http://127.0.0.1:3000.');
  return new URL(url.endsWith('/') ? url : `${url}/`);
}

/** Whether a text can name a database. */
export const isDatabaseUrl = (text: string): boolean =>
  /^postgres(ql)?:$/.test(URL.canParse(text) ? new URL(text).protocol : '');

function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, search, hash, username, password } = new URL(text);
  return /^https?:$/.test(protocol) && `${search}${hash}${username}${password}` === '' && !/[\s<>"?#]/.test(text);
}
