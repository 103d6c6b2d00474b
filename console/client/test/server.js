// The model server: streams and pages of docs/DESIGN.md §4 over a Log. It has people with expiring tokens and changing
// grants, restarts, and its own clock. A token is `t1`, or `ann.t1`. Left out: topics that end, corrupt and malformed,
// ndjson, limits.

import { Cursor, Log } from './log.js';

const CHUNK = 3; // events read at once: few, so that much can happen between two reads
const HEARTBEAT = 15_000;
const EPOCH = Date.UTC(2026, 0, 1);

export class Server {
  logs = [new Log('log0')]; // the last one is served
  offset = 0; // of the server's clock
  down = 0; // until then
  overloaded = false;
  grants = []; // changes: {person, privy}
  #streams = new Set();
  #waiting = new Set(); // pages
  #token = 1; // the number of the accepted ones; 0: none is needed
  #privy = new Map(); // person -> since when it may read `salaries`, or may not
  #backup;

  constructor(clock, random, auth) {
    this.clock = clock;
    this.random = random;
    if (!auth) this.#token = 0;
  }

  get log() { return this.logs.at(-1); }
  get isUp() { return this.clock.now >= this.down; }
  get token() { return this.tokenOf(''); }

  tokenOf(person) { return this.#token ? `${person && `${person}.`}t${this.#token}` : undefined; }

  // who returns Tidings-Who for an accepted token.
  who(authorization) {
    const person = personOf(authorization);
    return `${person}.${this.privy(person) ? 'all' : 'less'}`;
  }

  privy(person) { return this.#privy.get(person) ?? false; }

  // grant changes what a person may read. All tokens are renewed.
  grant(person, privy) {
    if (!this.#token) return;
    this.#privy.set(person, privy);
    this.grants.push({ person, privy });
    this.expireToken();
  }

  // mayHave reports whether a person may have got an event, and isDue whether they must: they were privy all the time.
  mayHave(person, { topic, granted }) {
    return topic !== 'salaries' || this.#privyAt(person, granted) || this.#since(person, granted).some(({ privy }) => privy);
  }

  isDue(person, { topic, granted }) {
    return topic !== 'salaries' || this.#privyAt(person, granted) && this.#since(person, granted).length === 0;
  }

  #privyAt(person, granted) {
    return this.grants.slice(0, granted).findLast(grant => grant.person === person)?.privy ?? false;
  }

  #since(person, granted) { return this.grants.slice(granted).filter(grant => grant.person === person); }

  #accepts(authorization) { return !this.#token || authorization?.endsWith(`t${this.#token}`); }

  publish(topic, data = null) {
    if (!this.isUp) return;
    const event = this.log.append(EPOCH + Math.floor(this.clock.now + this.offset), this.random(), topic);
    Object.assign(event, { data, granted: this.grants.length });
    this.#wake();
  }

  #wake() {
    for (const stream of [...this.#streams]) stream.pump();
    for (const look of [...this.#waiting]) look();
  }

  trim(keep) { this.log.trim(keep); }

  expireToken() {
    if (!this.#token) return;
    this.#token++;
    for (const stream of [...this.#streams]) stream.end('expired-token');
    for (const look of [...this.#waiting]) look();
  }

  restart(ms, bye) {
    this.down = this.clock.now + ms;
    for (const stream of [...this.#streams]) stream.end(bye && 'shutdown');
    for (const look of [...this.#waiting]) look();
  }

  backup() { this.#backup = this.log.copy(); }

  // restore replaces the log with the backup, once. What was trimmed since is trimmed there, too.
  restore() {
    this.restart(500, true);
    if (!this.#backup) return;
    const restored = new Log(`log${this.logs.length}`, this.#backup);
    restored.trimmed = [this.log.trimmed, restored.head].sort()[0];
    this.logs.push(restored);
    this.#backup = undefined;
  }

  // stream answers a request; out takes frames, and is notified at the end. It returns the status, and what to call
  // when the client has gone.
  stream(query, lastEventID, token, out) {
    if (!this.#accepts(token)) return { status: 401 };
    if (this.overloaded) {
      out.frame({ event: 'tidings.bye', data: { reason: 'overloaded' }, retry: 2000 });
      out.end();
      return { status: 200, leave() {} };
    }
    const stream = new Stream(this, this.#cursor(query, token, lastEventID), out, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    return { status: 200, leave: () => stream.leave() };
  }

  // page answers a request, once there is something or its wait is over. It returns what to call if the client goes.
  page(query, token, answer) {
    if (this.overloaded) return void answer(503, { code: 'overloaded' });
    if (!this.#accepts(token)) return void answer(401, { code: 'token-invalid' });
    const cursor = this.#cursor(query, token);
    const until = this.clock.now + parseInt(query.get('wait') ?? '0') * 1000;
    const look = () => {
      const over = this.clock.now >= until || !this.isUp || !this.#accepts(token);
      const page = readPage(cursor, this.log);
      if (page.events.length === 0 && !page.gap && !over) return;
      leave();
      answer(200, page);
    };
    const timer = this.clock.at(until, look);
    const leave = () => {
      this.clock.cancel(timer);
      this.#waiting.delete(look);
    };
    this.#waiting.add(look);
    look();
    return leave;
  }

  #cursor(query, token, lastEventID) {
    const topics = query.getAll('topic'), privy = this.privy(personOf(token));
    const matches = ({ topic }) => (topics.length === 0 || topics.includes(topic)) && (privy || topic !== 'salaries');
    return new Cursor(this.log, matches, { after: lastEventID || query.get('after'), since: query.get('since') });
  }
}

function personOf(authorization = '') { return /^Bearer (.*)\.t/.exec(authorization)?.[1] ?? ''; }

// readPage reads a page: the gap, if one is due, and the events after it.
function readPage(cursor, log) {
  let { gap = null, events } = cursor.next(CHUNK);
  if (gap && events.length === 0) ({ events } = cursor.next(CHUNK));
  events = events.map(({ id, topic, data }) => ({ id, topic, type: 'message', data }));
  return { events, next: cursor.position, gap, caught_up: cursor.position === log.head };
}

// Stream is one connection: a cursor read a few events at a time. Past and live are the same to it.
class Stream {
  #server; #cursor; #out; #forget;
  #live = false; #busy = false;
  #timer; #heartbeat;
  #retry; // sent in the next frame

  constructor(server, cursor, out, forget) {
    this.#server = server;
    this.#cursor = cursor;
    this.#out = out;
    this.#forget = forget;
    this.#retry = 1000 + Math.floor(server.random() * 3000);
    const first = cursor.next(CHUNK);
    if (first.gap) this.#send('tidings.gap', first.gap);
    this.#send('tidings.open', { log: server.log.id, resume: cursor.resumed, heartbeat_seconds: HEARTBEAT / 1000, subscriber: 'one' }, cursor.open);
    this.#write({ ...first, gap: null });
  }

  // pump looks for more, unless that is already scheduled.
  pump() { if (!this.#busy) this.#step(); }

  #step() { this.#write(this.#cursor.next(CHUNK)); }

  #write({ gap, events, caughtUp }) {
    if (gap) this.#send('tidings.gap', gap);
    for (const { id, topic, data } of events) {
      const source = `/v1/topics/${topic}`;
      this.#send('message', { specversion: '1.0', id, source, type: 'message', topic, sequence: id, data }, id);
    }
    this.#busy = !caughtUp;
    if (this.#busy) {
      this.#timer = this.#server.clock.at(this.#server.clock.now + this.#server.random() * 40, () => this.#step());
    } else if (!this.#live) {
      this.#live = true;
      this.#send('tidings.live', { last: this.#cursor.position });
    }
  }

  #send(event, data, id) {
    this.#out.frame({ event, data, id, retry: this.#retry });
    this.#retry = undefined;
    this.#server.clock.cancel(this.#heartbeat);
    this.#heartbeat = this.#server.clock.at(this.#server.clock.now + HEARTBEAT, () => this.#beat());
  }

  #beat() {
    this.pump();
    if (!this.#busy) this.#send('tidings.heartbeat', {}, this.#cursor.position);
  }

  end(reason) {
    if (reason) this.#send('tidings.bye', { reason });
    this.leave();
    this.#out.end();
  }

  leave() {
    this.#server.clock.cancel(this.#timer);
    this.#server.clock.cancel(this.#heartbeat);
    this.#forget();
  }
}
