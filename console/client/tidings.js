// The browser client of Tidings. docs/BROWSER.md says how to use it, tidings.d.ts what each part means.
//
// A tab is a cursor: the ID of the last event it was given. Everything is read after the cursor, and the cursor
// is kept where a reload finds it. Of all tabs with the same name and topics one leads: it holds the stream and
// tells the others what came and after which ID it came. A tab that finds a hole before what it is told, because
// it was frozen or has just been opened, reads the hole from the server itself. So it never matters what a
// leader that dies had told to whom.

const VERSION = 2; // of what tabs tell each other: those of another release are strangers
const TICK = 5_000; // how often silence is looked for
const OPEN_WITHIN = 10_000; // a stream that says nothing for so long is held up by something between
const LOCK_TICKS = 3; // what the browser does not answer by then it never does; a timer may be due before its answer
const TOKEN_WITHIN = 10_000; // a token function that takes longer has failed
const POLL_WAIT = 25_000; // how long the server may hold a poll
const POLL_FOR = 300_000; // then a stream is tried again
const RETRY_MIN = 1_000, RETRY_MAX = 30_000;
const PAGE = 250; // events that are handed over at a stretch
const EARLIEST = '0'.repeat(26); // the cursor before every event, those among them that are gone
const BEYOND = '~'; // above every ID
const NEEDED = ['fetch', 'AbortController', 'CustomEvent', 'URL'];
const STREAM = 'text/event-stream', PAGES = 'application/json', PROBLEM = 'application/problem+json';

export class Tidings extends EventTarget {
  #options; #url; #key;
  #cursor; #saved;
  #log; // that the cursor is of, once it is known
  #channel = null; // to the other tabs; null: this tab is on its own
  #present; // aborted when the tab is closed, frozen or put away
  #work = new AbortController(); // aborted when the tab turns to something else
  #source = null; // the EventSource
  #ticker;
  #bearer; // the promise of the token in use; undefined: it is to be asked for
  #leads = false;
  #asked = 0; // counts the ticks while a lock was asked for and there is no answer
  #reading = false; // pages, to catch up with the leader
  #behind = ''; // what the leader had come to meanwhile
  #leader = 'connecting'; // its state
  #opened = false; // the stream has said where it begins
  #heard = 0; // when the server, or the leader, was last heard of
  #heartbeat = 15_000;
  #failures = 0;
  #strange = false; // something that is no Tidings server has answered, and it has been told
  #deaths = 0; // streams in a row that had opened and fell silent
  #missed = 0; // events that came before the state was live
  #told; // the last gap
  #hole = ''; // its end: what comes next joins no cursor before it
  #state = 'connecting'; #transport = 'stream'; #persistent = false;
  #ready = deferred();
  #handling = Promise.resolve(); // what `handled` is at work on, and all that waits for it
  #unhandled = 0; // events among that

  constructor(options = {}) {
    super();
    const missing = NEEDED.find(name => !globalThis[name]);
    if (missing) throw new Error(`Tidings needs ${missing}, which there is not here: docs/BROWSER.md says where it runs`);
    this.#options = checked(options);
    const { url, name, after } = this.#options;
    this.#url = addressOf(url);
    this.#saved = name && `tidings ${this.#url} ${name}`;
    this.#cursor = this.#recall(after?.toUpperCase());
    this.#ready.promise.catch(() => {}); // perhaps nobody asks
    this.#join();
    for (const [target, event, react] of this.#surroundings()) target?.addEventListener?.(event, react);
    this.#enter();
  }

  get cursor() { return this.#cursor; }
  get state() { return this.#state; }
  get transport() { return this.#transport; }
  get leads() { return this.#leads; }
  get persistent() { return this.#persistent; }
  get ready() { return this.#ready.promise; }

  setTopics(topics) {
    this.#options.topics = checked({ topics }).topics;
    if (this.#state === 'closed') return;
    const away = this.#present.signal.aborted;
    this.#leave();
    this.#join();
    this.#set('connecting');
    if (!away) this.#enter();
  }

  reconnect() {
    if (this.#state === 'closed') return;
    this.#bearer = undefined;
    this.#failures = 0;
    if (this.#leads) return void this.#stream();
    this.#leave();
    this.#enter(true); // the leader may not have the new token
  }

  close() {
    for (const [target, event, react] of this.#surroundings()) target?.removeEventListener?.(event, react);
    this.#leave();
    this.#channel?.close();
    this.#channel = null;
    this.#ready.reject(new DOMException('the client was closed', 'AbortError'));
    this.#set('closed');
  }

  // --- what happens to the tab

  #surroundings() {
    const { document } = globalThis;
    return [
      [document, 'visibilitychange', this.#wake], [globalThis, 'online', this.#wake], [globalThis, 'focus', this.#resume],
      [document, 'freeze', this.#suspend], [globalThis, 'pagehide', this.#suspend],
      [document, 'resume', this.#resume], [globalThis, 'pageshow', this.#resume],
    ];
  }

  #wake = ({ type }) => {
    const hides = type === 'visibilitychange' && globalThis.document.visibilityState === 'hidden';
    if (hides || this.#state === 'ended') return;
    if (this.#present.signal.aborted) return void this.#enter(); // nobody said that it is back, but it runs and is seen
    const idle = this.#state === 'connecting' || this.#state === 'refused' || this.#source && this.#silence() > this.#heartbeat;
    if (!this.#leads) this.#catchUp();
    else if (type === 'online' || idle) this.#stream();
  };

  // A frozen tab must neither lead nor stand in line for it.
  #suspend = () => {
    if (this.#present.signal.aborted) return;
    this.#leave();
    this.#set('connecting');
  };

  // A browser may say that it puts a tab away, and not that it brings it back.
  #resume = () => {
    if (this.#present.signal.aborted && this.#state !== 'closed') this.#enter();
  };

  #enter(steal) {
    this.#present = new AbortController();
    this.#heard = Date.now();
    this.#ticker = setInterval(() => this.#tick(), TICK);
    this.#elect(this.#present.signal, steal);
  }

  #leave() {
    this.#present.abort();
    this.#begin();
    this.#leads = false;
    this.#asked = 0;
    clearInterval(this.#ticker);
  }

  #silence() {
    const since = Date.now() - this.#heard;
    return since < 0 ? Infinity : since; // the clock was set back
  }

  #tick() {
    if (this.#asked && ++this.#asked > LOCK_TICKS) return void this.#alone();
    if (!this.#leads) {
      // The leader speaks at every heartbeat and every tick. One that does not was suspended without being told.
      const over = this.#state === 'ended' || this.#state === 'refused';
      if (this.#channel && !over && this.#silence() > 3 * this.#heartbeat) {
        this.#leave();
        this.#enter(true);
      }
      return;
    }
    this.#say({});
    if (!this.#source) return; // polling, or waiting to try again: both have an end of their own
    if (this.#opened && this.#silence() > 2.5 * this.#heartbeat) this.#died();
    else if (!this.#opened && this.#silence() > OPEN_WITHIN) this.#poll();
  }

  // A connection may die without a word. A second one in a row, without a heartbeat that came in its time, stands in
  // a buffer of something between.
  #died() {
    if (++this.#deaths > 1) this.#poll();
    else this.#stream();
  }

  // --- who leads

  // join makes the tab one of those with the same topics.
  #join() {
    const { name, topics, shared = true } = this.#options;
    this.#key = `tidings ${VERSION} ${this.#url} ${name ?? ''} ${[...topics].sort().join(' ')}`;
    this.#channel?.close();
    this.#channel = null;
    if (!shared || !globalThis.navigator?.locks || !globalThis.BroadcastChannel) return;
    this.#channel = new BroadcastChannel(this.#key);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
  }

  async #elect(present, steal) {
    const channel = this.#channel;
    const lead = lock => {
      if (present.aborted || channel !== this.#channel) return;
      this.#asked = 0;
      return lock && new Promise(release => {
        present.addEventListener('abort', release);
        this.#leads = true;
        this.#stream();
      });
    };
    if (!channel) return void lead(true);
    const { locks } = navigator;
    while (!present.aborted && channel === this.#channel) {
      try {
        this.#asked = 1;
        await locks.request(this.#key, steal ? { steal } : { ifAvailable: true }, lead);
        if (present.aborted || channel !== this.#channel) return;
        this.#follow();
        await locks.request(this.#key, { signal: present }, lead);
      } catch (error) {
        if (error.name !== 'AbortError') return void (present.aborted || this.#alone()); // locks are refused here
      }
      steal = false; // this tab's lock was stolen, or it has left
    }
  }

  // alone has the tab go on without the others.
  #alone() {
    this.#channel?.close();
    this.#channel = null;
    this.#elect(this.#present.signal);
  }

  #follow() {
    this.#leads = false;
    this.#say({ hello: true });
    this.#catchUp();
  }

  // say tells the other tabs where this one is and, from the leader, what it came to and after which ID.
  #say(message) {
    if (!this.#leads && !message.hello) return;
    const { after = this.#cursor } = message;
    const tell = what => this.#channel?.postMessage({
      log: this.#log, at: this.#cursor, state: this.#state, transport: this.#transport, heartbeat: this.#heartbeat,
      ...what, after: this.#hole > after ? this.#hole : after,
    });
    try {
      tell(message);
    } catch { // the payload is too deep to be copied: they read it themselves
      tell({ gap: true });
    }
  }

  #hear({ hello, log, at, after, event, gap, bye, state = this.#leader, transport, heartbeat = this.#heartbeat }) {
    if (hello || this.#leads) {
      if (hello) this.#say({});
      return;
    }
    if (this.#present.signal.aborted) return;
    this.#heard = Date.now();
    this.#heartbeat = heartbeat;
    this.#leader = state;
    if (bye) this.#emit('bye', bye);
    const other = this.#log && log && log !== this.#log; // has taken the place of the one that the cursor is of
    this.#log = log ?? this.#log;
    if (this.#reading) {
      if (gap || other || at > this.#behind) this.#behind = gap || other ? BEYOND : at;
      return;
    }
    const joins = this.#cursor && (after === this.#cursor || after > EARLIEST && after < this.#cursor);
    const past = !event && state === 'live' && at < this.#cursor; // the leader is at the end: perhaps of another log
    if (gap || other || past || at && !joins) return void this.#catchUp(); // there is a hole before this
    if (event && at > this.#cursor) this.#give(event);
    else if (at > this.#cursor) this.#moveTo(at);
    this.#set(state, transport);
  }

  // --- reading from the server

  // begin ends what the tab was doing, and returns the signal of what it does next.
  #begin() {
    this.#work.abort();
    this.#work = new AbortController();
    this.#source?.close();
    this.#source = null;
    this.#reading = false;
    return this.#work.signal;
  }

  async #stream() {
    const signal = this.#begin();
    this.#heard = Date.now();
    this.#opened = false;
    this.#set('connecting', 'stream');
    let token;
    try {
      token = await this.#token(signal);
    } catch (error) {
      return void this.#failed(error, signal, () => this.#stream());
    }
    if (signal.aborted) return;
    const address = this.#address('/v1/stream', { format: 'cloudevents', access_token: token });
    const source = this.#source = new EventSource(address, { withCredentials: !!this.#options.withCredentials });
    const begun = this.#heard = Date.now();
    const on = (type, take) => source.addEventListener(type, frame => {
      const silence = this.#silence();
      this.#heard = Date.now();
      take(frame, silence);
    });
    on('message', frame => this.#take(fromEnvelope(frame.data)));
    on('tidings.gap', frame => this.#gap(JSON.parse(frame.data)));
    on('tidings.open', frame => {
      const { log, heartbeat_seconds } = JSON.parse(frame.data);
      this.#log = log;
      if (heartbeat_seconds) this.#heartbeat = heartbeat_seconds * 1000;
      this.#opened = true;
      this.#answered();
      this.#through(frame.lastEventId);
      this.#set('catching-up');
    });
    on('tidings.live', () => this.#set('live'));
    on('tidings.heartbeat', (frame, silence) => {
      if (silence > this.#heartbeat / 2) this.#deaths = 0; // not one of many that a buffer let go
      this.#through(frame.lastEventId);
    });
    on('tidings.bye', frame => {
      const bye = JSON.parse(frame.data);
      this.#emit('bye', bye);
      this.#say({ bye });
      if (bye.reason === 'expired-token' && !signal.aborted) this.#renew(Date.now() - begun);
    });
    on('error', () => {
      this.#opened = false;
      this.#set('connecting');
      if (source.readyState === EventSource.CLOSED) this.#inquire(address, signal); // else it tries again by itself
    });
  }

  // inquire asks why the stream was refused, which an EventSource does not tell.
  async #inquire(address, signal) {
    this.#source = null;
    try {
      const status = await this.#ask(address, STREAM, OPEN_WITHIN, signal, answer => answer.status);
      if (status === 204) return void this.#end();
      throw new Error('the stream broke');
    } catch (error) {
      this.#failed(error, signal, () => this.#stream());
    }
  }

  async #poll() {
    const signal = this.#begin();
    this.#set('connecting', 'poll');
    this.#later(POLL_FOR, signal, () => this.#stream());
    try {
      for (;;) {
        const wait = this.#state === 'live' ? `${POLL_WAIT / 1000}s` : undefined; // first, what is missing
        this.#set(await this.#page({ wait }, signal) ? 'live' : 'catching-up');
      }
    } catch (error) {
      this.#failed(error, signal, () => this.#stream());
    }
  }

  // catchUp reads what a tab that follows does not have, up to where the leader is.
  async #catchUp() {
    const signal = this.#begin();
    this.#reading = true;
    try {
      let caughtUp;
      do {
        this.#behind = '';
        caughtUp = await this.#page({}, signal);
        if (!caughtUp) this.#set('catching-up');
      } while (!caughtUp || this.#behind > this.#cursor);
      this.#reading = false;
      this.#set(this.#leader);
    } catch (error) {
      this.#failed(error, signal, () => this.#catchUp());
    }
  }

  // page reads a page, hands it over, and returns whether it is the last one for now.
  async #page(query, signal) {
    const token = await this.#token(signal);
    const page = await this.#ask(this.#address('/v1/events', { limit: PAGE, ...query }), PAGES, POLL_WAIT + OPEN_WITHIN, signal,
      pageOf, token ? { Authorization: `Bearer ${token}` } : {});
    signal.throwIfAborted();
    this.#answered();
    if (page.gap) this.#gap(page.gap);
    for (const event of page.events) {
      signal.throwIfAborted(); // a listener has turned the tab to something else
      this.#take(event);
    }
    signal.throwIfAborted();
    this.#through(page.next);
    return page.caught_up;
  }

  // ask fetches what is of the type wanted, and has read make something of the answer.
  async #ask(address, wanted, ms, signal, read, headers = {}) {
    signal.throwIfAborted();
    const own = new AbortController(), stop = () => own.abort(signal.reason);
    const timer = setTimeout(() => own.abort(new Error('there was no answer in time')), ms);
    signal.addEventListener('abort', stop);
    try {
      const answer = await fetch(address, { signal: own.signal, credentials: this.#credentials(), headers });
      if (!signal.aborted && (answer.status === 401 || answer.status === 403)) this.#bearer = undefined;
      const ended = answer.status === 204 && wanted === STREAM;
      if (!ended && (!answer.ok || typeOf(answer) !== wanted)) throw await problem(answer, wanted);
      return await read(answer);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      own.abort(); // the rest of the answer
    }
  }

  // answered notes that the server has answered as it should.
  #answered() {
    this.#failures = 0;
    this.#strange = false;
  }

  // failed tells the page, and tries again after a pause, unless that is for somebody else to decide. Only the server
  // itself refuses. What something between answers is weather: it passes, and is told once.
  #failed(error, signal, again) {
    if (signal.aborted) return;
    this.#set('connecting');
    const { name, status } = error;
    const refused = name === 'ProblemError' && status < 500 && ![408, 425, 429].includes(status);
    const strange = name === 'AnswerError' && !this.#strange;
    if (strange) this.#strange = true;
    if (refused || strange) this.#emit('error', error);
    if (signal.aborted) return; // a listener has turned the tab to something else
    if (refused) {
      const renewable = typeof this.#options.token === 'function' && (status === 401 || status === 403);
      if (!renewable) {
        this.#ready.reject(error);
        return void this.#set('refused');
      }
      if (this.#failures++ === 0) return void again(); // with another token
    }
    this.#later(this.#pause(), signal, again);
  }

  #pause() { return pause(this.#failures++); }

  // later does something after so many milliseconds, unless the tab has turned to something else.
  #later(ms, signal, act) {
    const timer = setTimeout(act, ms);
    signal.addEventListener('abort', () => clearTimeout(timer));
  }

  // renew goes on with another token; after a pause if the last one lived no longer than that.
  #renew(lived) {
    if (typeof this.#options.token !== 'function') return;
    this.#bearer = undefined;
    if (lived > RETRY_MIN) return void this.#stream();
    const signal = this.#begin();
    this.#set('connecting');
    this.#later(this.#pause(), signal, () => this.#stream());
  }

  // token gets the token, undefined if there is none. One call of the page's function serves all that ask while it is
  // under way. What a call brings that was given up, for a session that is over, reaches nobody.
  async #token(signal) {
    const { token } = this.#options;
    if (typeof token !== 'function') return token || undefined;
    const asked = this.#bearer ??= within(TOKEN_WITHIN, async () => tokenOf(await token()));
    try {
      return await asked;
    } catch (error) {
      if (this.#bearer === asked) this.#bearer = undefined;
      if (!signal.aborted) this.#emit('error', error);
      throw new Error('there is no token now');
    }
  }

  #credentials() { return this.#options.withCredentials ? 'include' : 'same-origin'; }

  #address(path, query) {
    const address = new URL(this.#url + path);
    for (const topic of this.#options.topics) address.searchParams.append('topic', topic);
    const { since, last = 0 } = this.#options;
    const start = this.#cursor ? { after: this.#cursor } : since ? { since } : { last };
    for (const [name, value] of Object.entries({ ...query, ...start })) {
      if (value !== undefined) address.searchParams.set(name, value);
    }
    return String(address);
  }

  // --- handing over

  // take hands an event over to this tab and then to the others; through moves them where nothing matched.
  #take(event) {
    const after = this.#cursor;
    this.#give(event);
    this.#say({ after, event });
  }

  #through(id) {
    const after = this.#cursor;
    this.#moveTo(id);
    this.#say({ after });
  }

  // The cursor moves when the listeners have returned: in the same task, so that a reload comes before both or after.
  #give(event) {
    const leads = this.#leads; // a listener may close the client
    if (this.#state !== 'live') this.#missed++;
    this.#emit(event.type === 'tidings.end' ? 'end' : 'event', event);
    if (this.#options.handled) this.#handle(event);
    this.#moveTo(event.id, leads);
  }

  // handle has the page's function handle the event once those before are handled, and again if it fails.
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
    if (told !== this.#told) this.#emit('gap', gap); // the server repeats itself until the cursor is past it
    this.#told = told;
    this.#hole = gap.through;
    this.#say({ gap: true });
  }

  #end() {
    this.#set('ended');
    this.#say({});
  }

  #set(state, transport = this.#transport) {
    if (state === this.#state && transport === this.#transport) return;
    const live = state === 'live' && this.#state !== 'live';
    this.#state = state;
    this.#transport = transport;
    this.#say({});
    this.#emit('state', { state, transport, leads: this.#leads });
    if (this.#state === 'live' || this.#state === 'ended') this.#ready.resolve();
    if (!live || this.#state !== 'live') return;
    const missed = this.#missed;
    this.#missed = 0;
    this.#emit('live', { missed });
  }

  #emit(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  // --- the cursor's place: this tab's own survives a reload, the one of all tabs a closed tab

  // recall returns where to begin: after what the page says, or else what is stored.
  #recall(after) {
    this.#persistent = !!this.#saved;
    if (!this.#saved) return after ?? null;
    let cursor = after ?? null;
    try {
      cursor ??= sessionStorage.getItem(this.#saved) ?? localStorage.getItem(this.#saved);
      if (cursor) sessionStorage.setItem(this.#saved, cursor); // a reload begins here, wherever the leader is by then
    } catch {
      this.#persistent = false; // storage is disabled
    }
    return cursor;
  }

  #moveTo(id, leads = this.#leads) {
    const back = id < this.#cursor; // another log took this one's place
    this.#cursor = id;
    if (!this.#unhandled) return this.#store(id, leads, back);
    this.#handling = this.#handling.then(() => this.#state === 'closed' || this.#store(id, leads, back));
  }

  #store(id, leads, back) {
    if (!this.#persistent) return;
    try {
      sessionStorage.setItem(this.#saved, id);
      if (leads && (back || id > (localStorage.getItem(this.#saved) ?? ''))) localStorage.setItem(this.#saved, id);
    } catch {
      this.#persistent = false; // storage is full
    }
  }
}

// pause is how long to wait after so many failures in a row: twice as long each time, in the mean.
function pause(failures) { return Math.min(RETRY_MAX, RETRY_MIN * 2 ** failures) * (0.5 + Math.random() / 2); }

// deferred is a promise whose outcome is said later.
function deferred() {
  let settle;
  const promise = new Promise((resolve, reject) => { settle = { resolve, reject }; });
  return { promise, ...settle };
}

// OPTIONS are what each option may be, and how it is said to who gave it something else.
const OPTIONS = {
  url: [v => v instanceof URL || isText(v), "the server's address"],
  topics: [v => Array.isArray(v) && v.every(isText), "an array of topics or patterns, such as ['orders']"],
  name: [isText, 'text that is not empty'],
  after: [v => typeof v === 'string' && /^[0-9a-z]{26}$/i.test(v), 'the ID of an event: 26 letters and digits'],
  since: [isText, "'earliest', 'latest', a duration such as '15m', or a time in RFC 3339"],
  last: [v => Number.isSafeInteger(v) && v >= 0, 'a whole number from 0 on'],
  token: [v => typeof v === 'function' || typeof v === 'string', 'a token, or a function that gets one'],
  handled: [v => typeof v === 'function', 'a function'],
  shared: [isBoolean, 'true or false'],
  withCredentials: [isBoolean, 'true or false'],
};

function isText(value) { return typeof value === 'string' && value !== ''; }
function isBoolean(value) { return typeof value === 'boolean'; }

// checked returns the options that are given; undefined is as if it were not there.
function checked(options) {
  const given = { topics: [] };
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(OPTIONS, name)) {
      throw new TypeError(`there is no option ${name}; there are ${Object.keys(OPTIONS).join(', ')}`);
    }
    const [fits, expected] = OPTIONS[name];
    if (!fits(value)) throw new TypeError(`${name}: expected ${expected}, but got ${name === 'token' ? typeof value : shown(value)}`);
    given[name] = Array.isArray(value) ? [...value] : value;
  }
  return given;
}

function shown(value) {
  if (typeof value === 'string' || Array.isArray(value)) return JSON.stringify(value);
  return typeof value === 'number' || value === null ? String(value) : typeof value;
}

// addressOf is the server's address: where the module is from, unless the page says. Only what the page says itself can
// have a user and a password: a page that was opened with them hands them to its scripts.
function addressOf(url) {
  const expected = `url: expected the server's address, http(s)://host/path without user, query and fragment`;
  let address;
  try {
    const base = new URL(url === undefined ? import.meta.url : globalThis.location?.href ?? 'none:');
    base.username = base.password = '';
    address = new URL(url ?? '.', base);
  } catch {
    throw new TypeError(`${expected}, but got ${shown(String(url))}`);
  }
  const { protocol, username, password, search, hash } = address;
  const wrong = !/^https?:$/.test(protocol) ? `one with ${protocol}` : username || password ? 'one with a user' :
    search || hash ? `one with ${search || hash}` : '';
  if (wrong) throw new TypeError(`${expected}, but got ${wrong}`);
  return address.href.replace(/[?#]+$/, '').replace(/\/+$/, '');
}

// within makes a call, and gives up waiting for it after so many milliseconds.
function within(ms, call) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`token: the function did not answer within ${ms / 1000} s`)), ms);
  });
  return Promise.race([call(), late]).finally(() => clearTimeout(timer));
}

// tokenOf is what a token function returned, if that can be a token (RFC 6750 §2.1). Nothing is no token.
function tokenOf(token) {
  if (token === undefined || token === null || token === '') return undefined;
  if (typeof token === 'string' && /^[\w.~+/-]+=*$/.test(token)) return token;
  const got = typeof token === 'string' ? 'other text' : typeof token;
  throw new TypeError(`token: expected a bearer token, or nothing, but got ${got}`);
}

function typeOf(answer) { return (answer.headers.get('Content-Type') ?? '').split(';')[0].trim().toLowerCase(); }

async function pageOf(answer) {
  const page = await answer.json().catch(error => {
    if (error.name !== 'SyntaxError') throw error;
  });
  if (!Array.isArray(page?.events) || typeof page.next !== 'string') throw answerError(answer, PAGES);
  return page;
}

// problem makes an error of an answer that is not what was wanted: a ProblemError if it is the server's (RFC 9457).
async function problem(answer, wanted) {
  const { title, detail, code } = typeOf(answer) === PROBLEM ? await answer.json().catch(() => ({})) : {};
  if (typeof code !== 'string') return answerError(answer, wanted);
  return Object.assign(new Error(detail ?? title ?? code), { name: 'ProblemError', status: answer.status, code });
}

function answerError(answer, wanted) {
  const { origin, pathname } = new URL(answer.url); // its query may have the token
  const got = `${typeOf(answer) || 'nothing'} (HTTP ${answer.status})`;
  const thing = wanted === STREAM ? 'an event stream' : 'a page of events';
  const text = `${origin}${pathname} answered ${got} instead of ${thing}: is this the server's address, or a sign-in page?`;
  return Object.assign(new Error(text), { name: 'AnswerError' });
}

// fromEnvelope turns a CloudEvent into what a page of events holds.
function fromEnvelope(text) {
  const { specversion, sequence, topic, type, datacontenttype, data, data_base64, ...ce } = JSON.parse(text);
  const event = { id: sequence, topic, type, time: timeOf(sequence) };
  if (datacontenttype !== undefined) event.datacontenttype = datacontenttype;
  if (data_base64 !== undefined) event.data_base64 = data_base64;
  else event.data = data ?? null;
  if (ce.id !== sequence || ce.source !== `/v1/topics/${topic}`) event.ce = ce;
  return event;
}

// timeOf is the time in an ID: its first ten characters are milliseconds in Crockford's base 32.
function timeOf(id) {
  let ms = 0;
  for (const c of id.slice(0, 10)) ms = ms * 32 + '0123456789ABCDEFGHJKMNPQRSTVWXYZ'.indexOf(c);
  return new Date(ms).toISOString();
}
