// The network between tabs and the server: EventSource (WHATWG HTML §9.2) and fetch, over connections that break,
// hang and hold things back. Left out: the text format of frames, redirects, CORS, cookies.

import { Lane } from './clock.js';

export class Network {
  mode = 'ok'; // or refuse: nothing connects; hang: nothing goes through; buffer: streams are held back
  answer; // what something between answers in the server's place: {status, type, body}
  passes = Infinity; // so many frames of each stream, before the rest is held back
  futile = false; // whether an EventSource gives up when it is refused, as Firefox's does
  #connections = new Set();

  constructor(clock, random, server, delay) {
    this.clock = clock;
    this.random = random;
    this.server = server;
    this.delay = delay;
  }

  // open connects. serve gets the connection at the server; broken is called in the tab when it does not come
  // about, or breaks.
  open(tab, streams, serve, broken) {
    const connection = new Connection(this, tab, streams, broken);
    this.#connections.add(connection);
    connection.up(() => {
      if (this.mode === 'refuse' || !this.server.isUp) connection.break();
      else serve(connection);
    });
    return connection;
  }

  become(mode) {
    this.mode = mode;
    for (const c of [...this.#connections]) {
      if (this.blocks(c)) continue;
      const fate = c.held.length > 0 ? this.random() : 1;
      if (fate < 0.3) c.break();
      else if (fate < 0.6) c.stuck = true; // forgotten by something between: silent for ever
      else c.flush();
    }
  }

  // blocks reports whether nothing goes through a connection now.
  blocks({ streams, stuck }) { return stuck || this.mode === 'hang' || this.mode === 'buffer' && streams; }

  drop(chance) {
    for (const c of [...this.#connections]) if (this.random() < chance) c.break();
  }

  // lose forgets the connections of a tab that is gone.
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

  // down has the tab do something, after everything that was sent before.
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

  // break loses what is under way.
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

export function eventSourceOf(tab, network) {
  return class EventSource extends EventTarget {
    static CONNECTING = 0;
    static OPEN = 1;
    static CLOSED = 2;
    readyState = EventSource.CONNECTING;
    #url; #connection; #timer;
    #lastEventID = '';
    #retry = 3000;

    constructor(url) {
      super();
      this.#url = new URL(url);
      tab.sources.add(this);
      this.#connect();
    }

    #connect() {
      const asked = this.#lastEventID;
      this.#connection = network.open(tab, true, connection => {
        if (network.answer) return connection.end(() => this.#fail());
        let frames = 0;
        const { status, leave } = network.server.stream(this.#url.searchParams, asked, {
          frame: frame => ++frames > network.passes || connection.down(() => this.#take(frame)),
          end: () => connection.end(() => this.#reestablish()),
        });
        connection.leave = leave;
        if (status !== 200) connection.end(() => this.#fail());
      }, () => network.futile && this.readyState === EventSource.CONNECTING ? this.#fail() : this.#reestablish());
    }

    #take({ event, data, id, retry }) {
      if (this.readyState === EventSource.CLOSED) return;
      this.readyState = EventSource.OPEN;
      if (retry) return void (this.#retry = retry);
      if (id) this.#lastEventID = id;
      this.dispatchEvent(Object.assign(new Event(event), { data: JSON.stringify(data), lastEventId: this.#lastEventID }));
    }

    #reestablish() {
      if (this.readyState === EventSource.CLOSED) return;
      this.readyState = EventSource.CONNECTING;
      this.dispatchEvent(new Event('error'));
      this.#timer = tab.later(this.#retry, () => this.readyState === EventSource.CONNECTING && this.#connect());
    }

    #fail() {
      if (this.readyState === EventSource.CLOSED) return;
      this.close();
      this.dispatchEvent(new Event('error'));
    }

    close() {
      this.readyState = EventSource.CLOSED;
      tab.sources.delete(this);
      network.clock.cancel(this.#timer);
      this.#connection.abort();
    }
  };
}

export function fetchOf(tab, network) {
  return (url, { signal, headers = {} }) => new Promise((resolve, reject) => {
    if (tab.dead) return;
    if (signal.aborted) return reject(signal.reason);
    let arrive, lose;
    const body = new Promise((...both) => { [arrive, lose] = both; });
    body.catch(() => {}); // perhaps nobody reads it
    const fail = error => [reject, lose].forEach(settle => settle(error));

    const { pathname, searchParams } = new URL(url);
    const connection = network.open(tab, pathname === '/v1/stream', connection => {
      const answer = (status, content, type = status === 200 ? 'application/json' : 'application/problem+json') => {
        const headers = new Headers({ 'Content-Type': type });
        connection.down(() => resolve({ url, status, headers, ok: status === 200, json: () => body }));
        connection.end(() => typeof content === 'string' ? lose(new SyntaxError(content)) : arrive(JSON.parse(JSON.stringify(content))));
      };
      if (network.answer) answer(network.answer.status, network.answer.body ?? '<html>', network.answer.type);
      else if (pathname === '/v1/events') {
        connection.leave = network.server.page(searchParams, headers.Authorization, answer);
      } else { // asks why a stream was refused: its body is not read
        const { status, leave } = network.server.stream(searchParams, null, { frame() {}, end() {} });
        connection.leave = leave;
        if (status === 200) answer(status, {}, 'text/event-stream');
        else answer(status, { code: 'token-invalid' });
      }
    }, () => fail(new TypeError('network error')));
    signal.addEventListener('abort', () => {
      connection.abort();
      fail(signal.reason);
    });
  });
}
