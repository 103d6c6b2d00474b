// The network between tabs and the server: fetch, over connections that break, hang and hold things back, and split
// what they carry anywhere. Left out: CORS.

import { Lane } from './clock.js';

export class Network {
  mode = 'ok'; // or refuse: nothing connects; hang: nothing goes through; buffer: streams are held back
  answer; // an intermediary's response in the server's place: {status, type, body, cut}
  bodiless = false; // whether the browser has no streams
  cookie; // what the browser sends by itself, as Authorization here
  requests; // an array, to record them
  passes = Infinity; // frames of each stream before the rest is held back
  #connections = new Set();

  constructor(clock, random, server, delay) {
    this.clock = clock;
    this.random = random;
    this.server = server;
    this.delay = delay;
  }

  // open connects. serve gets the connection at the server; broken is called in the tab if it is not established, or
  // breaks.
  open(tab, streams, serve, broken) {
    const connection = new Connection(this, tab, streams, broken);
    this.#connections.add(connection);
    connection.up(() => {
      if (this.mode === 'refuse' || !this.server.isUp) connection.break();
      else serve(connection);
    });
    return connection;
  }

  // stream makes the server respond with a stream. Its frames arrive in pieces.
  stream(connection, url, query, { authorization, lastEventID }, body, resolve, answer) {
    let frames = 0;
    const end = ['\n', '\r\n', '\r'][Math.floor(this.random() * 3)];
    const head = who => connection.down(() => {
      resolve({ ...headOf(url, 200, 'text/event-stream', who), body: this.bodiless ? null : body });
    });
    const push = bytes => connection.down(() => body.push(bytes));
    const frame = what => {
      if (frames === 0) head(who);
      if (++frames > this.passes) return;
      const bytes = new TextEncoder().encode((frames === 1 ? '\uFEFF' : '') + textOf(what, end));
      const cut = Math.floor(this.random() * bytes.length);
      push(bytes.slice(0, cut));
      push(bytes.slice(cut));
    };
    const who = this.server.who(authorization);
    const { status, leave } = this.server.stream(query, lastEventID, authorization, {
      frame, end: () => connection.end(() => body.end()),
    });
    connection.leave = leave;
    if (status !== 200) answer(status, { code: 'token-invalid' });
  }

  // streamsOf counts a tab's open streams.
  streamsOf(tab) { return [...this.#connections].filter(c => c.tab === tab && c.streams).length; }

  become(mode) {
    this.mode = mode;
    for (const c of [...this.#connections]) {
      if (this.blocks(c)) continue;
      const fate = c.held.length > 0 ? this.random() : 1;
      if (fate < 0.3) c.break();
      else if (fate < 0.6) c.stuck = true; // forgotten by an intermediary: silent forever
      else c.flush();
    }
  }

  // blocks reports whether a connection is blocked now.
  blocks({ streams, stuck }) { return stuck || this.mode === 'hang' || this.mode === 'buffer' && streams; }

  drop(chance) {
    for (const c of [...this.#connections]) if (this.random() < chance) c.break();
  }

  // lose drops the connections of a tab that is gone.
  lose(tab) {
    for (const c of [...this.#connections]) if (c.tab === tab) c.abort();
  }

  forget(connection) { this.#connections.delete(connection); }
}

class Connection {
  held = []; // what waits for the network to let it through
  stuck = false;
  over = false; // for the tab
  leave = () => {}; // the server's: the client has gone
  #network; #broken; #up; #down;

  constructor(network, tab, streams, broken) {
    Object.assign(this, { tab, streams });
    this.#network = network;
    this.#broken = broken;
    this.#up = new Lane(network.clock, network.delay);
    this.#down = new Lane(network.clock, network.delay);
  }

  up(run) { this.#pass(() => this.#up.send(() => this.over || run())); }

  // down makes the tab do something, after everything that was sent before.
  down(run) {
    this.#pass(() => this.#down.send(() => this.tab.run(() => this.over || run())));
  }

  end(run) {
    this.down(() => {
      this.#close();
      run();
    });
  }

  #pass(send) {
    if (this.held.length > 0 || this.#network.blocks(this)) this.held.push(send);
    else send();
  }

  flush() { for (const send of this.held.splice(0)) send(); }

  // break loses what is in flight.
  break() {
    if (this.over) return;
    this.#close();
    this.tab.later(this.#network.delay(), this.#broken);
  }

  abort() {
    if (!this.over) this.#close();
  }

  #close() {
    this.over = true;
    this.#network.forget(this);
    this.#network.clock.at(this.#network.clock.now + this.#network.delay(), () => this.leave?.());
  }
}

// Body is a fetch's response body, read a piece at a time.
class Body {
  #pieces = []; #error; #over = false; #wake = () => {};

  push(piece) {
    this.#pieces.push(piece);
    this.#wake();
  }

  end(error) {
    if (this.#over) return;
    [this.#over, this.#error] = [true, error];
    this.#wake();
  }

  getReader() { return { read: () => this.#read() }; }

  async #read() {
    while (!this.#over && this.#pieces.length === 0) await new Promise(done => { this.#wake = done; });
    if (this.#error) throw this.#error;
    return this.#pieces.length ? { done: false, value: this.#pieces.shift() } : { done: true };
  }
}

// textOf returns a frame as the server writes it, with the line ends that an intermediary may convert.
function textOf({ event, data, id, retry }, end) {
  const lines = [`event: ${event}`, ...JSON.stringify(data, null, 1).split('\n').map(line => `data: ${line}`)];
  if (id) lines.unshift(`id:${id}`);
  if (retry) lines.unshift(`retry: ${retry}`);
  return [...lines, '', ''].join(end);
}

export function fetchOf(tab, network) {
  return (url, { signal, headers = {}, ...rest }) => new Promise((resolve, reject) => {
    if (tab.dead) return;
    network.requests?.push({ url, headers, ...rest });
    if (signal.aborted) return reject(signal.reason);
    const { Authorization: authorization = network.cookie } = headers;
    let arrive, lose;
    const body = new Promise((...both) => { [arrive, lose] = both; });
    body.catch(() => {}); // perhaps nobody reads it
    const fail = error => [reject, lose].forEach(settle => settle(error));

    const { pathname, searchParams } = new URL(url), streams = pathname === '/v1/stream', stream = new Body();
    const connection = network.open(tab, streams, connection => {
      const who = network.server.who(authorization);
      const answer = (status, content, type = status === 200 ? 'application/json' : 'application/problem+json') => {
        const head = headOf(url, status, type, status === 200 && !network.answer && who);
        connection.down(() => resolve({ ...head, json: () => body }));
        if (network.answer?.cut) return connection.end(() => lose(new TypeError('network error')));
        connection.end(() => typeof content === 'string' ? lose(new SyntaxError(content)) : arrive(JSON.parse(JSON.stringify(content))));
      };
      if (network.answer) {
        const { status, body: content = '<html>', type } = network.answer;
        answer(status, content, type);
      } else if (streams) {
        network.stream(connection, url, searchParams, { authorization, lastEventID: headers['Last-Event-ID'] }, stream, resolve, answer);
      } else connection.leave = network.server.page(searchParams, authorization, answer);
    }, () => {
      fail(new TypeError('network error'));
      stream.end(new TypeError('network error'));
    });
    signal.addEventListener('abort', () => {
      connection.abort();
      fail(signal.reason);
      stream.end(signal.reason);
    });
  });
}

function headOf(url, status, type, who) {
  const redirects = status >= 300 && status < 400; // about which a page learns nothing more (Fetch §3.1)
  if (redirects) return { url, status: 0, type: 'opaqueredirect', headers: new Headers(), ok: false };
  const headers = new Headers({ 'Content-Type': type });
  if (who) headers.set('Tidings-Who', who);
  return { url, status, headers, ok: status === 200 };
}
