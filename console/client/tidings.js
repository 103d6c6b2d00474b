// The browser client of Tidings. docs/BROWSER.md describes its use, tidings.d.ts each part.
//
// A tab is a cursor. Of all tabs with one name, topics and identity (docs/adr/0012) one leads: it holds the stream and
// tells the others what arrived after which ID. A tab that finds a hole reads it from the server (docs/adr/0007).

const VERSION = 3; // of the tabs' messages
const TICK = 5_000; // ms, like all times: how often silence is checked
const OPEN_WITHIN = 10_000; // else something on the way holds the stream up
const LOCK_WITHIN = 12_000; // else the browser never responds
const TOKEN_WITHIN = 10_000;
const POLL_WAIT = 25_000; // how long the server may hold a poll
const POLL_FOR = 300_000; // then a stream is retried
const RETRY_MIN = 1_000, RETRY_MAX = 30_000;
const SETS = 50; // of topics, with a stored cursor each
const PAGE = 250; // events handed over at once
const EARLIEST = '0'.repeat(26), BEYOND = '~'; // below and above every ID
const STREAM = 'text/event-stream', PAGES = 'application/json';

export class Tidings extends EventTarget {
  #options; #url;
  #who; // person.grant, from the server
  #served; // false: the server has refused
  #cursor; #saved; // its storage key
  #log; // that the cursor belongs to
  #lobby; // a channel to all tabs
  #group; // a channel to those that share, if this tab does
  #meets; #shares; // whether it may have these
  #life = new AbortController(); // aborted when the client is closed,
  #present; // also when the tab is put away,
  #work = new AbortController(); // also when it starts something else
  #streaming = false; #opened; // requested; its ID, once it has opened
  #retry = 0; // the server's pause
  #ticker;
  #bearer; // promise of a token
  #sent; // with the last request
  #leads = false;
  #steals = false; // the lead, once the server has responded
  #asked = 0; // ticks waiting for a lock
  #reading = false; #behind = ''; // pages; where the leader got meanwhile
  #leader = 'connecting'; // its state
  #heard = 0; // when the server, or a connected leader, was
  #heartbeat = 15_000;
  #failures = 0;
  #strange = false; // after an AnswerError
  #deaths = 0; // streams in a row that fell silent
  #missed = 0; // events before the state was live
  #told; #hole = ''; // the last gap; its end: later events join no cursor before it
  #state = 'connecting'; #transport = 'stream'; #persistent = false;
  #ready; #settle;
  #handling = Promise.resolve(); // all that `handled` must do
  #unhandled = 0; #full = false; // events; nothing more is read

  static locks = globalThis.navigator?.locks; // on plain HTTP: locks.js

  constructor(options = {}) {
    super();
    const missing = ['fetch', 'CustomEvent', 'TextDecoder'].find(name => !globalThis[name]);
    if (missing) throw new Error(`Tidings needs ${missing}`);
    this.#options = checked(options);
    const { url, name, shared = true } = this.#options;
    this.#url = addressOf(url);
    this.#meets = shared && globalThis.location && globalThis.BroadcastChannel;
    this.#shares = this.#meets && Tidings.locks;
    this.#persistent = !!name;
    this.#saved = `tidings ${this.#url} ${name}`;
    const last = `${this.#saved} who`;
    this.#who = this.#stored(() => sessionStorage.getItem(last) ?? localStorage.getItem(last));
    this.#cursor = this.#recall() ?? null;
    this.#ready = new Promise((resolve, reject) => { this.#settle = { resolve, reject }; });
    this.#ready.catch(() => {});
    const on = (target, type) => target?.addEventListener?.(type, this.#happens, { signal: this.#life.signal });
    for (const type of ['online', 'focus', 'pagehide', 'pageshow']) on(globalThis, type);
    for (const type of ['visibilitychange', 'freeze', 'resume']) on(globalThis.document, type);
    this.#restart();
  }

  get who() { return this.#who; }
  get cursor() { return this.#cursor; }
  get state() { return this.#state; }
  get transport() { return this.#transport; }
  get leads() { return this.#leads; }
  get group() { return this.#group?.name; }
  get persistent() { return this.#persistent; }
  get ready() { return this.#ready; }

  setTopics(topics) {
    this.#options.topics = checked({ topics }).topics;
    if (!this.#present.signal.aborted) this.#restart();
  }

  reconnect() {
    if (this.#state === 'closed') return;
    this.#bearer = undefined;
    this.#failures = 0;
    this.#steals = true; // the leader may not have the new token
    this.#served &&= undefined; // so that the others learn of it
    this.#restart();
  }

  close() {
    this.#life.abort();
    this.#quit();
    this.#settle.reject(new DOMException('the client was closed', 'AbortError'));
    this.#set('closed');
  }

  // --- the tab

  #happens = ({ type }) => {
    const looks = type === 'visibilitychange';
    if (type === 'freeze' || type === 'pagehide') {
      this.#quit(); // it must not lead, nor wait to lead
      return void this.#set('connecting');
    }
    if (looks && globalThis.document.visibilityState === 'hidden') return;
    if (this.#present.signal.aborted) return void this.#restart(); // it runs, so it is back
    if (!looks && type !== 'online' || this.#state === 'ended') return;
    if (this.#state === 'refused') return void this.#restart();
    const idle = this.#state === 'connecting' || this.#streaming && this.#silence() > this.#heartbeat;
    if (!this.#leads) this.#catchUp();
    else if (!looks || idle) this.#stream();
  };

  #leave() {
    this.#present?.abort();
    this.#begin();
    this.#leads = false;
    this.#asked = 0;
    clearInterval(this.#ticker);
    this.#group = this.#group?.close();
  }

  #quit() {
    this.#leave();
    this.#lobby = this.#lobby?.close();
  }

  #reset() {
    this.#leave();
    this.#present = new AbortController();
    this.#heard = Date.now();
    this.#ticker = setInterval(() => this.#tick(), TICK);
    if (this.#meets) this.#lobby ??= this.#channel('', who => this.#meet(who));
  }

  #restart() {
    this.#reset();
    this.#set('connecting');
    if (this.#state === 'closed') return; // by a listener
    if (this.#shares) return void this.#catchUp();
    this.#leads = true;
    this.#stream();
  }

  #silence() {
    const since = Date.now() - this.#heard;
    return since < 0 ? Infinity : since; // the clock was set back
  }

  #tick() {
    if (this.#asked) return void (++this.#asked < 3 || this.#silence() < LOCK_WITHIN || this.#alone());
    const follows = this.#group && this.#state !== 'ended' && !this.#reading;
    if (!this.#leads) return void (follows && this.#lost() && this.#catchUp());
    this.#say({});
    if (this.#full) this.#heard = Date.now(); // nobody reads
    if (!this.#streaming) return; // polls and pauses end by themselves
    if (!this.#opened && this.#silence() > OPEN_WITHIN) return void this.#poll();
    if (!this.#opened || this.#silence() <= 2.5 * this.#heartbeat) return;
    if (++this.#deaths > 1) this.#poll(); // stuck in a buffer
    else this.#stream();
  }

  // --- who leads

  #channel(name, hear) {
    const channel = new BroadcastChannel(`tidings ${VERSION} ${this.#url} ${name}`);
    channel.onmessage = ({ data }) => hear(data);
    return channel;
  }

  async #join(steal) {
    const { signal } = this.#present, { locks } = Tidings;
    this.#group = this.#channel(`${this.#who} ${this.#options.name ?? ''} ${this.#topics}`, message => this.#hear(message));
    this.#leader = 'connecting';
    this.#heard = Date.now();
    const lead = lock => {
      if (signal.aborted) return;
      this.#asked = 0;
      return lock && new Promise(release => {
        signal.addEventListener('abort', release);
        this.#leads = true;
        this.#stream();
      });
    };
    try {
      this.#asked = 1;
      await locks.request(this.#group.name, steal ? { steal } : { ifAvailable: true }, lead);
      if (signal.aborted) return;
      this.#say({ hello: true });
      await locks.request(this.#group.name, { signal }, lead);
    } catch (error) {
      if (signal.aborted) return;
      if (error.name === 'AbortError') this.#restart(); // this tab's lock was stolen
      else this.#alone(); // locks are refused here
    }
  }

  #alone() {
    this.#shares = false;
    this.#restart();
  }

  // lost: the leader, which speaks at each tick, is suspended, or cannot reach the server.
  #lost() { return this.#silence() > 3 * this.#heartbeat; }

  // met learns from an answer who reads. Another person continues at their own cursor.
  #met(who) {
    if (!who) return; // not Tidings, or an earlier one
    const was = this.#who, other = personOf(who) ? null : this.#cursor;
    if (!this.#served || who !== was) this.#lobby?.postMessage(who);
    this.#served = true;
    if (who === was) return;
    this.#who = who;
    this.#stored(() => [sessionStorage, localStorage].forEach(storage => storage.setItem(`${this.#saved} who`, who)));
    this.#told = undefined;
    if (!was) return; // then only recalled state may change
    if (this.#options.name && personOf(who) !== personOf(was)) this.#cursor = this.#recall(other) ?? other;
    this.#restart();
  }

  // meet hears that another tab was served or refused: somebody may have signed in or out.
  #meet(who) {
    if (this.#state === 'refused') return void (who && this.#restart());
    if (!who) this.#served = undefined;
    else if (who === this.#who && this.#served) return;
    if (this.#state === 'ended' || isText(this.#options.token)) return;
    this.#bearer = undefined;
    if (this.#leads) this.#stream();
    else this.#catchUp();
  }

  // say tells the others where the leader got, and after which ID.
  #say(message) {
    if (!this.#leads && !message.hello) return;
    const { after = this.#cursor } = message;
    const tell = what => this.#group?.postMessage({
      who: this.#who, log: this.#log, at: this.#cursor, state: this.#state, transport: this.#transport, heartbeat: this.#heartbeat,
      ...what, after: this.#hole > after ? this.#hole : after,
    });
    try {
      tell(message);
    } catch { // too deep to copy: they read it
      tell({ gap: true });
    }
  }

  #hear({ who, hello, log, at, after, event, gap, bye, state = this.#leader, transport, heartbeat = this.#heartbeat }) {
    if (who !== this.#who) return;
    if (hello || this.#leads) return void (hello && this.#say({}));
    if (state !== 'connecting') this.#heard = Date.now();
    this.#heartbeat = heartbeat;
    this.#leader = state;
    if (bye) this.#emit('bye', bye);
    const other = this.#log && log && log !== this.#log; // replaced it
    this.#log = log ?? this.#log;
    if (this.#reading) {
      if (gap || other || at > this.#behind) this.#behind = gap || other ? BEYOND : at;
      return;
    }
    const joins = this.#cursor && (after === this.#cursor || after > EARLIEST && after < this.#cursor);
    const past = !event && state === 'live' && at < this.#cursor; // beyond the end, perhaps of another log
    if (gap || other || past || at && !joins) return void this.#catchUp(); // a hole
    if (event && this.#unhandled > PAGE) return void this.#catchUp(); // when there is time
    if (event && at > this.#cursor) this.#give(event);
    else if (at > this.#cursor) this.#moveTo(at);
    this.#set(state, transport);
  }

  // --- reading

  // begin ends what the tab was doing. It returns the signal of what follows.
  #begin() {
    this.#work.abort();
    this.#work = new AbortController();
    this.#streaming = this.#reading = false;
    this.#retry = 0;
    return this.#work.signal;
  }

  #stream = async () => {
    const signal = this.#begin();
    this.#heard = Date.now();
    this.#opened = '';
    this.#set('connecting', 'stream');
    try {
      await this.#ask(STREAM, { format: 'cloudevents' }, signal, answer => this.#listen(answer, signal));
    } catch (error) {
      this.#failed(error, signal, this.#stream);
    }
  };

  async #listen(answer, signal) {
    if (answer.status === 204) return void this.#set('ended');
    if (!answer.body) return void this.#poll(); // no streams in this browser
    const frames = framer(), reader = answer.body.getReader(), begun = Date.now();
    for (;;) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) throw new Error('the stream ended');
      for (const frame of frames(value)) {
        this.#frame(frame, begun, signal);
        signal.throwIfAborted(); // a listener started something else
      }
      await this.#room();
    }
  }

  #frame({ type, data, id, retry = this.#retry }, begun, signal) {
    const silence = this.#silence();
    this.#heard = Date.now();
    this.#retry = retry;
    if (type === 'message') this.#take(id, fromEnvelope(data));
    else if (type === 'tidings.gap') this.#gap(JSON.parse(data));
    else if (type === 'tidings.live') this.#set('live');
    else if (type === 'tidings.open') {
      const { log, heartbeat_seconds, subscriber } = JSON.parse(data);
      this.#log = log;
      if (heartbeat_seconds) this.#heartbeat = heartbeat_seconds * 1000;
      this.#opened = subscriber ?? true;
      this.#answered();
      this.#take(id);
      if (!signal.aborted) this.#set('catching-up');
    } else if (type === 'tidings.heartbeat') {
      if (silence > this.#heartbeat / 2) this.#deaths = 0; // else a buffer released many
      this.#take(id);
    } else if (type === 'tidings.bye') {
      const bye = JSON.parse(data);
      this.#emit('bye', bye);
      this.#say({ bye });
      if (bye.reason !== 'expired-token' || signal.aborted) return;
      this.#bearer = undefined;
      if (isFunction(this.#options.token) && Date.now() - begun > RETRY_MIN) this.#stream(); // else once it ends
    }
    if (isText(this.#opened)) this.#emit('beat', { subscriber: this.#opened, heartbeat: this.#heartbeat, token: this.#sent });
  }

  async #poll() {
    const signal = this.#begin();
    this.#later(signal, this.#stream, POLL_FOR);
    this.#set('connecting', 'poll');
    try {
      for (let end; ; this.#set(end ? 'live' : 'catching-up')) {
        end = await this.#page(signal, end && { wait: `${POLL_WAIT / 1000}s` }); // first catch up
        signal.throwIfAborted();
      }
    } catch (error) {
      this.#failed(error, signal, this.#stream);
    }
  }

  // catchUp reads up to the leader's cursor, and replaces a lost leader.
  #catchUp = async () => {
    const signal = this.#begin();
    this.#reading = true;
    try {
      for (let end; !end || this.#behind > this.#cursor;) {
        this.#behind = '';
        end = await this.#page(signal);
        signal.throwIfAborted();
        if (!end) this.#set('catching-up');
      }
      this.#reading = false;
      const lost = this.#group && this.#lost();
      if (lost) this.#reset();
      if (!this.#group) this.#join(lost || this.#steals);
      else this.#set(this.#leader);
      this.#steals = false;
    } catch (error) {
      this.#failed(error, signal, this.#catchUp);
    }
  };

  async #page(signal, wait) {
    await this.#room();
    const page = await this.#ask(PAGES, { limit: PAGE, ...wait }, signal, pageOf);
    signal.throwIfAborted();
    this.#answered();
    if (page.gap) this.#gap(page.gap);
    for (const event of page.events) {
      signal.throwIfAborted();
      this.#take(event.id, event);
    }
    signal.throwIfAborted();
    this.#take(page.next);
    return page.caught_up;
  }

  async #ask(wanted, query, signal, read) {
    const token = await this.#token(signal);
    signal.throwIfAborted();
    this.#sent = token;
    const { topics, since, last = 0, withCredentials } = this.#options, cursor = this.#cursor;
    const streams = wanted === STREAM, headers = { Accept: wanted };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (streams && cursor) headers['Last-Event-ID'] = cursor;
    else Object.assign(query, cursor ? { after: cursor } : since ? { since } : { last });
    const address = new URL(`${this.#url}/v1/${streams ? 'stream' : 'events'}`);
    for (const topic of topics) address.searchParams.append('topic', topic);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);

    const own = new AbortController(), stop = () => own.abort(signal.reason);
    const timer = streams ? 0 : setTimeout(() => own.abort(), POLL_WAIT + OPEN_WITHIN);
    signal.addEventListener('abort', stop);
    this.#streaming = streams;
    if (streams) this.#heard = Date.now();
    try {
      const answer = await fetch(String(address), {
        signal: own.signal, headers, cache: 'no-store', redirect: 'manual',
        credentials: withCredentials ? 'include' : 'same-origin',
      });
      signal.throwIfAborted();
      const { status } = answer;
      if (status === 401 || status === 403) this.#bearer = undefined;
      if (!(streams && status === 204) && (!answer.ok || typeOf(answer) !== wanted)) throw await errorOf(answer, wanted);
      this.#met(answer.headers.get('Tidings-Who'));
      signal.throwIfAborted();
      return await read(answer);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      own.abort(); // the rest of the answer
      if (!signal.aborted) this.#streaming = false;
    }
  }

  #answered() {
    [this.#failures, this.#strange] = [0, false];
    this.#options.after = undefined;
  }

  // failed: only the server refuses. Other answers are retried, and reported once.
  #failed(error, signal, again) {
    if (signal.aborted) return;
    this.#set('connecting');
    const { name, status } = error;
    const refused = name === 'ProblemError' && status < 500 && ![408, 425, 429].includes(status);
    const strange = name === 'AnswerError' && !this.#strange;
    this.#strange ||= strange;
    if (refused || strange) this.#emit('error', error);
    if (signal.aborted) return;
    const renewable = isFunction(this.#options.token) && (status === 401 || status === 403);
    if (refused && !renewable) {
      this.#reset(); // others may be served
      if (this.#served !== false) this.#lobby?.postMessage('');
      this.#served = false;
      this.#settle.reject(error);
      this.#set('refused');
    } else if (refused && this.#failures++ === 0) again(); // with a new token
    else this.#later(signal, again);
  }

  #later(signal, act, ms = Math.max(this.#retry, pause(this.#failures++))) {
    const timer = setTimeout(act, ms);
    signal.addEventListener('abort', () => clearTimeout(timer));
  }

  // token asks once for all that need it. A result for an earlier session is ignored.
  async #token(signal) {
    const { token } = this.#options;
    if (!isFunction(token)) return token;
    const asked = this.#bearer ??= tokenOf(token);
    try {
      return await asked;
    } catch (error) {
      if (this.#bearer === asked) this.#bearer = undefined;
      if (!signal.aborted) this.#emit('error', error);
      throw new Error('no token available');
    }
  }

  // --- handing over

  // take moves all tabs: with an event, or past what did not match.
  #take(id, event) {
    const after = this.#cursor;
    if (event) this.#give(event);
    else this.#moveTo(id);
    this.#say({ after, event });
  }

  // give moves the cursor after the listeners, in the same task: a reload comes before or after both.
  #give(event) {
    const leads = this.#leads; // a listener may close the client
    if (this.#state !== 'live') this.#missed++;
    this.#emit(event.type === 'tidings.end' ? 'end' : 'event', event);
    if (this.#options.handled) this.#handle(event);
    this.#moveTo(event.id, leads);
  }

  async #room() {
    if (this.#unhandled <= PAGE) return;
    this.#full = true;
    await this.#handling;
    this.#full = false;
    this.#heard = Date.now();
  }

  // handle lets the page handle events in order, each again if it fails.
  #handle(event) {
    this.#unhandled++;
    this.#handling = this.#handling.then(async () => {
      for (let failures = 0; this.#state !== 'closed'; failures++) {
        try {
          await this.#options.handled(event);
          break;
        } catch (error) {
          this.#emit('error', error);
          await new Promise(done => setTimeout(done, pause(failures)));
        }
      }
      this.#unhandled--;
    });
  }

  #gap(gap) {
    const told = `${gap.reason} ${gap.requested} ${gap.through}`;
    if (told !== this.#told) this.#emit('gap', gap); // the server repeats it until passed
    this.#told = told;
    this.#hole = gap.through;
    this.#say({ gap: true });
  }

  #set(state, transport = this.#transport) {
    if (state === this.#state && transport === this.#transport) return;
    const live = state === 'live' && this.#state !== 'live';
    this.#state = state;
    this.#transport = transport;
    this.#say({});
    this.#emit('state', { state, transport, leads: this.#leads });
    if (this.#state === 'live' || this.#state === 'ended') this.#settle.resolve();
    if (!live || this.#state !== 'live') return;
    const missed = this.#missed;
    this.#missed = 0;
    this.#emit('live', { missed });
  }

  #emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  // --- storage: a tab's cursor survives a reload, the shared one a closed tab

  get #topics() { return [...this.#options.topics].sort().join(' '); }

  get #place() {
    const key = `${this.#saved} ${personOf(this.#who)}`.trimEnd();
    return { key, saved: this.#saved, set: this.#topics };
  }

  #stored(act) {
    try {
      if (this.#persistent) return act() ?? undefined;
    } catch {
      this.#persistent = false; // it is disabled, or full
    }
  }

  // recall: topics not read together before start at the oldest cursor, so none is missed.
  #recall(other) {
    const { after } = this.#options, place = this.#place, { set } = place;
    if (after) return after.toUpperCase();
    return this.#stored(() => {
      const { sets: own } = placesOf(sessionStorage, place), { sets: all } = placesOf(localStorage, place);
      const [oldest] = Object.values(own).concat(all[set] ?? Object.values(all)).sort();
      const id = own[set] ?? oldest ?? other;
      if (id) keep(sessionStorage, place, { id }); // for a reload, wherever the leader is
      return id;
    });
  }

  #moveTo(id, leads = this.#leads) {
    const from = this.#cursor, log = this.#log, place = this.#place, back = id < from; // another log
    this.#cursor = id;
    const store = () => this.#stored(() => {
      keep(sessionStorage, place, { id, from, log, back: true });
      keep(localStorage, place, { id, from, log, back, follows: !leads });
    });
    if (!this.#unhandled) return store();
    this.#handling = this.#handling.then(() => this.#state === 'closed' || store());
  }
}

function personOf(who = '') { return who.split('.')[0]; }

// placesOf returns {log, sets}: a cursor for each set of topics. Whoever has none takes over those without a person;
// the single ID of an earlier release goes to the first.
function placesOf(storage, { key, saved, set }) {
  let text = storage.getItem(key);
  if (!text && !localStorage.getItem(key) && (text = storage.getItem(saved))) {
    storage.setItem(key, text);
    if (text[0] !== '{') storage.removeItem(saved);
  }
  try {
    return { sets: {}, ...JSON.parse(text) };
  } catch {
    return { sets: { [set]: text } };
  }
}

// keep stores that a set of topics, and its subsets, were read from one ID to another.
function keep(storage, place, { id, from, log, back, follows }) {
  const { set } = place, { log: was, sets } = placesOf(storage, place), has = topic => set.split(' ').includes(topic);
  if (follows && sets[set]) return; // only its start counts, then the leader
  for (const [other, at] of Object.entries(sets)) {
    if (from <= at && at < id && (set ? other.split(' ').every(has) : !other.includes('$'))) sets[other] = id;
  }
  if (back || was && log && log !== was || !(sets[set] >= id)) sets[set] = id;
  const others = Object.keys(sets).filter(name => name !== set).sort((a, b) => sets[a] < sets[b] ? -1 : 1);
  if (others.length > SETS) delete sets[others.pop()]; // whose topics then start earlier
  storage.setItem(place.key, JSON.stringify({ log: log ?? was, sets }));
}

function pause(failures) { return Math.min(RETRY_MAX, RETRY_MIN * 2 ** failures) * (0.5 + Math.random() / 2); }

const isText = value => typeof value === 'string' && value !== '';
const isToken = value => isText(value) && /^[\w.~+/-]+=*$/.test(value); // RFC 6750 §2.1
const isFunction = value => typeof value === 'function';

const OPTIONS = {
  url: [v => v instanceof URL || isText(v), "the server's address"],
  topics: [v => Array.isArray(v) && v.every(isText), "an array of topics or patterns, such as ['orders']"],
  name: [isText, 'some text'],
  after: [v => isText(v) && /^[0-9a-z]{26}$/i.test(v), 'the ID of an event'],
  since: [isText, "'earliest', 'latest', a duration or a time"],
  last: [v => Number.isSafeInteger(v) && v >= 0, 'a whole number, at least 0'],
  token: [v => isFunction(v) || v === '' || isToken(v), 'a token, or a function that returns one'],
  handled: [isFunction, 'a function'],
  shared: [v => v === !!v, 'true or false'],
};
OPTIONS.withCredentials = OPTIONS.shared;

function checked(options) {
  const given = { topics: [] };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(OPTIONS, name)) throw new TypeError(`there is no option ${name}, only ${Object.keys(OPTIONS)}`);
    const [fits, expected] = OPTIONS[name];
    if (!fits(value)) throw new TypeError(`${name}: expected ${expected}, but got ${value === '' ? 'empty text' : typeof value}`);
    given[name] = Array.isArray(value) ? [...value] : value;
  }
  return given;
}

// A user and password in the page's address are dropped.
function addressOf(url) {
  let address, got;
  try {
    const base = new URL(url === undefined ? import.meta.url : globalThis.location?.href ?? 'none:');
    base.username = base.password = '';
    address = new URL(url ?? '.', base);
    const { protocol, username, password, search, hash } = address;
    got = !/^https?:$/.test(protocol) ? protocol : username || password ? 'a user' : search || hash;
  } catch {
    got = url ?? 'nothing, and a bundle cannot know it';
  }
  if (got) throw new TypeError(`url: expected http(s)://host/path, without user, query or fragment, but got ${got}`);
  return address.href.replace(/[/?#]+$/, '');
}

async function tokenOf(call) {
  const asked = call();
  let timer;
  const late = new Promise((_, reject) => {
    const error = new Error(`token: the function took longer than ${TOKEN_WITHIN / 1000} s`);
    timer = setTimeout(() => reject(error), TOKEN_WITHIN);
  });
  const token = await Promise.race([asked, late]).finally(() => clearTimeout(timer)) ?? '';
  if (token === '' || isToken(token)) return token;
  throw new TypeError(`token: expected a bearer token, or nothing, but got ${isText(token) ? 'other text' : typeof token}`);
}

// framer returns a generator of the frames that end in a chunk of a stream (WHATWG HTML §9.2.6).
function framer() {
  const decoder = new TextDecoder(); // drops the byte order mark
  let rest = '', cr = false, id = '', type = '', data = [];
  return function* of(bytes) {
    let text = decoder.decode(bytes, { stream: true });
    if (!text) return;
    if (cr) text = text.replace(/^\n/, ''); // of a CRLF cut in two
    cr = text.endsWith('\r');
    const lines = (rest + text).split(/\r\n?|\n/);
    rest = lines.pop();
    for (const line of lines) {
      const [, name, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
      if (name === 'data') data.push(value);
      else if (name === 'event') type = value;
      else if (name === 'id' && !value.includes('\0')) id = value;
      else if (name === 'retry' && /^\d+$/.test(value)) yield { retry: +value };
      if (line) continue;
      if (data.length) yield { type: type || 'message', data: data.join('\n'), id };
      type = '';
      data = [];
    }
  };
}

function typeOf(answer) { return answer.headers.get('Content-Type')?.split(/\s*;/)[0].toLowerCase(); }

// jsonOf returns undefined for a body that is not JSON. It throws if the body does not arrive.
function jsonOf(answer) {
  return answer.json().catch(error => {
    if (error.name !== 'SyntaxError') throw error;
  });
}

async function pageOf(answer) {
  const page = await jsonOf(answer);
  if (!Array.isArray(page?.events) || typeof page.next !== 'string') throw await errorOf(answer, PAGES);
  return page;
}

// A ProblemError is the server's (RFC 9457).
async function errorOf(answer, wanted) {
  const { url, status } = answer, type = typeOf(answer);
  const { title, detail, code } = type === 'application/problem+json' && await jsonOf(answer) || {};
  if (isText(code)) return Object.assign(new Error(detail ?? title ?? code), { name: 'ProblemError', status, code });
  const { origin, pathname } = new URL(url);
  const got = answer.type === 'opaqueredirect' ? 'a redirect' : `${type || 'nothing'} (HTTP ${status})`;
  const thing = wanted === STREAM ? 'an event stream' : 'a page of events';
  const text = `${origin}${pathname} answered ${got} instead of ${thing}: is this the server's address, or a sign-in page?`;
  return Object.assign(new Error(text), { name: 'AnswerError' });
}

// fromEnvelope turns a CloudEvent into an event of a page.
function fromEnvelope(text) {
  const { specversion, sequence: id, topic, type, datacontenttype, data = null, data_base64, ...ce } = JSON.parse(text);
  const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'; // Crockford's
  const ms = [...id.slice(0, 10)].reduce((sum, c) => sum * 32 + digits.indexOf(c), 0);
  const event = { id, topic, type, time: new Date(ms).toISOString() };
  if (datacontenttype) event.datacontenttype = datacontenttype;
  Object.assign(event, data_base64 === undefined ? { data } : { data_base64 });
  if (ce.id !== id || ce.source !== `/v1/topics/${topic}`) event.ce = ce;
  return event;
}
