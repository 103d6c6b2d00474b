// Shared by react.js and vue.js: one client, and so one connection, for all components of a page. Each component asks
// for its topics; the client reads what any of them asks for, and each component sees its own.

import { locks } from './locks.js';
import { Tidings } from './tidings.js';
import { keyOfTopics, matcher, topicsOf } from './topics.js';

const KEPT = 1000; // events, unless the page says
const UNASKED = 20; // lists of topics still read after their last component has gone

/** The events and the status before there is a client, and on a server. */
export const NOTHING = Object.freeze([]);
export const IDLE = Object.freeze({
  client: null, state: 'connecting', transport: 'stream', leads: false, gap: null, error: null,
});

/**
 * What must stay the same for a client to continue: with other options a page needs another hub. Where to start counts
 * only once, and the client uses the newest functions and the newest token.
 */
export function keyOf({ url, name, shared, withCredentials, token, handled }) {
  if (url === undefined) {
    throw new TypeError("url: expected the Tidings server's address: a client in a bundle cannot know it");
  }
  return JSON.stringify([String(url), name, shared, withCredentials, typeof token, typeof handled]);
}

export class Hub {
  #options;
  #started = false;
  #client = null;
  #cursor = null; // where the previous client was
  #given = ''; // the last event from a client
  #handled = null; // the last event that the page's `handled` has finished
  #topics = ''; // that the client reads, as a key of topics.js
  #asked = new Map(); // number of components per key; the key released last comes last
  #listeners = new Set();
  #fresh = []; // events since the listeners were called
  #events = NOTHING; // newest first. Lists and statuses are replaced, never changed.
  #status = IDLE;
  #due = false; // something must be done before the task ends

  /** Creates no client yet: a server, and React while it renders, may create a hub and drop it. */
  constructor(options) { this.#options = options; }

  get status() { return this.#status; }

  /** Takes the current options, whose key is the same. A changed token is used at once. */
  use(options) {
    const { token } = this.#options;
    this.#options = options;
    if (typeof token === 'string' && token !== options.token) this.#client?.reconnect();
  }

  start() {
    this.#started = true;
    this.#later();
  }

  /** Closes the client. The next start creates one that continues where this one was. */
  stop() {
    this.#started = false;
    this.#later();
  }

  /** Reads topics until the returned function is called. */
  ask(key) {
    this.#asked.set(key, (this.#asked.get(key) ?? 0) + 1);
    this.#later();
    return () => {
      const others = this.#asked.get(key) - 1;
      this.#asked.delete(key);
      this.#asked.set(key, others);
      this.#later();
    };
  }

  /**
   * Calls the listener when events or the status have changed, once per task, until the returned function is called.
   */
  subscribe = listener => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Returns a function that returns the newest events of some topics: the same list until one of them changes. */
  view(key, limit = Infinity) {
    const matches = matcher(key);
    let all = NOTHING, list = NOTHING;
    return () => {
      if (all === this.#events) return list;
      all = this.#events;
      const now = all.filter(({ topic }) => matches(topic)).slice(0, limit);
      if (now.length !== list.length || now.some((event, i) => event !== list[i])) list = now;
      return list;
    };
  }

  /** Clears the events and the gap. Returns the cursor: nothing up to it is shown again. */
  clear = () => {
    this.#fresh = [];
    this.#events = NOTHING;
    this.#show({ gap: null });
    return this.#client?.cursor ?? this.#cursor;
  };

  // later settles once for everything in a task: effects that run, clean up and run again, or a burst of events.
  #later() {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      try {
        this.#settle();
      } catch (error) { // the options are wrong
        this.#started = false;
        this.#show({ state: 'refused', error });
        throw error;
      } finally {
        const { keep = KEPT } = this.#options;
        if (this.#fresh.length) this.#events = [...this.#fresh.reverse(), ...this.#events].slice(0, keep);
        this.#fresh = [];
        for (const listener of this.#listeners) listener();
      }
    });
  }

  #settle() {
    if (!this.#started) return void this.#close();
    const wanted = this.#wanted();
    if (wanted === undefined || this.#client && wanted === this.#topics) return;
    this.#topics = wanted;
    if (!this.#client) return void this.#open();
    this.#client.setTopics(topicsOf(wanted));
    // A component that asks again for a topic no longer read would see a list with a hole.
    const read = matcher(wanted);
    this.#events = this.#events.filter(({ topic }) => read(topic));
  }

  // wanted returns the key of what to read, undefined as long as nobody has asked.
  #wanted() {
    let unasked = [...this.#asked.values()].filter(n => n === 0).length;
    for (const [key, n] of this.#asked) if (n === 0 && unasked-- > UNASKED) this.#asked.delete(key);
    const keys = [...this.#asked.keys()];
    if (keys.length) return keys.includes('') ? '' : keyOfTopics(keys.flatMap(topicsOf));
  }

  #open() {
    const { keep, ...options } = this.#options;
    if (options.token !== undefined) options.token = () => call(this.#options.token);
    if (options.handled !== undefined) {
      options.handled = async event => {
        await this.#options.handled(event);
        this.#handled = event.id;
      };
    }
    if (this.#cursor) options.after = this.#cursor;
    Tidings.locks ??= locks;
    const client = this.#client = new Tidings({ ...options, topics: topicsOf(this.#topics) });
    const on = (type, react) => client.addEventListener(type, ({ detail }) => react(detail));
    on('event', event => {
      if (event.id <= this.#given) return; // read again, because it was not handled
      this.#given = event.id;
      this.#fresh.push(event);
      this.#later();
    });
    on('end', ({ id }) => { this.#given = id; });
    on('state', now => this.#show(now.state === 'live' ? { ...now, error: null } : now));
    on('gap', gap => {
      this.#given = ''; // perhaps of another log
      this.#show({ gap });
    });
    on('error', error => this.#show({ error }));
    this.#show({ client, state: client.state });
  }

  #close() {
    const client = this.#client;
    if (!client) return;
    client.close();
    const behind = this.#options.handled && (this.#handled ?? '') < this.#given;
    this.#cursor = behind ? this.#handled ?? this.#cursor : client.cursor ?? this.#cursor;
    this.#client = null;
    this.#show({ ...IDLE, gap: this.#status.gap });
  }

  #show(change) {
    this.#status = { ...this.#status, ...change };
    this.#later();
  }
}

function call(token) { return typeof token === 'function' ? token() : token; }
