import autocannon from 'autocannon';

/*
 * The load, a process of its own: what it takes to make requests must not slow down who answers them. Is told by a message
 * what to send, and answers with what came of it.
 */

/** Requests to send: to each path in turn. A body is made anew for each, `#` in it being a number never used before. */
export type Load = {
  url: string;
  method: 'GET' | 'PATCH' | 'POST' | 'PUT';
  paths: string[];
  body: string | null;
  connections: number;
  seconds: number;
};

/** Answers of success a second, and how many requests had no such answer. */
export type Measured = { perSecond: number; failed: number };

process.once('message', async (load: Load) => {
  process.send?.(await send(load));
  process.disconnect();
});

async function send(load: Load): Promise<Measured> {
  // No two runs may send the same value: a write that changes nothing is cheap.
  let sent = Date.now() * 1000;
  let turn = Math.floor(Math.random() * load.paths.length);
  const result = await autocannon({
    url: load.url,
    connections: load.connections,
    duration: load.seconds,
    requests: [
      {
        method: load.method,
        headers: load.body === null ? {} : { 'content-type': 'application/json' },
        setupRequest: (request) => {
          turn = (turn + 1) % load.paths.length;
          const path = load.paths[turn] ?? '/';
          return {
            ...request,
            path,
            ...(load.body === null ? {} : { body: load.body.replaceAll('#', String(sent++)) }),
          };
        },
      },
    ],
  });
  return {
    perSecond: result['2xx'] / result.duration,
    failed: result.non2xx + result.errors + result.timeouts,
  };
}
