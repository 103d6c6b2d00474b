// The alerts, whichever page is shown: the topics watched, the events that arrived, and how many are unread.
//
// A read mark is a position in the log that the server keeps, so that all of a person's devices share it. Unread events
// are counted here where they are loaded, and by the server further back.

import { locks } from '../locks.js';
import { Presence } from '../presence.js';
import { Tidings } from '../tidings.js';
import { base, get, request, session } from './api.js';
import { summary } from './summary.js';

Tidings.locks ??= locks; // over plain HTTP a browser has six connections for all tabs, and no Web Locks

const FIRST = 50; // events at first
const PAGE = 100; // and for each step back
const KEPT = 100_000;
const MARKED = 64; // patterns that a read mark may have
const LOOK_EVERY = 30_000; // ms between reads of the mark, which another device may have moved
const LOOK_SOON = 5_000; // the same, after events have arrived
const NOTHING = '0'.repeat(26);

// It dispatches:
//   entry    one more at the end of entries
//   reset    entries start over
//   unread   the count or the mark has changed
//   state    of the connection
export class Inbox extends EventTarget {
  topics; // watched topics; none: everything that is granted
  entries = []; // loaded entries, oldest first: summaries of events, gaps, and where missed events ended
  mark = null; // everything up to here is read; null: not known yet
  state = 'connecting';
  transport = 'stream';
  problem = null; // why the server refused
  ready = false; // the first page is loaded
  #name;
  #granted; // patterns that the token may read
  #client;
  #tabs = new BroadcastChannel(`tidings console ${base}`); // tells this browser's other tabs: a mark has moved
  #signal;
  #known = 0; // unread entries
  #older = 0; // unread events before the first entry
  #capped = false; // and there are more
  #before; // where to read what came before the first entry; undefined if nothing did
  #lookAt = 0; #telling = 0; // timers
  #markers = 0;

  constructor(topics, granted, signal) {
    super();
    this.topics = topics;
    this.#granted = granted;
    this.#name = ['console', ...topics].join('+');
    this.#signal = signal;
    this.#open();
    const look = () => document.hidden || this.#look();
    document.addEventListener('visibilitychange', look, { signal });
    window.addEventListener('focus', look, { signal });
    const timer = setInterval(() => this.#look(), LOOK_EVERY);
    this.#tabs.onmessage = ({ data }) => data === this.#name && this.#look();
    signal.addEventListener('abort', () => {
      this.#tabs.close();
      clearInterval(timer);
      clearTimeout(this.#lookAt);
      this.#client?.close();
    });
  }

  get markName() { return this.#name; }
  get unread() { return this.#known + this.#older; }
  get capped() { return this.#capped; }
  get shown() { return this.state === 'live' && this.transport === 'poll' ? 'polling' : this.state; }
  get leads() { return Boolean(this.#client?.leads); }
  isUnread(entry) { return this.mark !== null && entry.id > this.mark; }

  async #open(wait = 1000) {
    try {
      const page = await get('/v1/events', { topic: this.topics, limit: FIRST }, this.#signal);
      this.entries = [...this.#lost(page), ...page.events.map(summary)];
      this.#before = page.prev;
      this.ready = true;
      this.#listen(page.next);
      this.#tell('reset');
      await this.#look(true);
    } catch (error) {
      if (this.#signal.aborted) return;
      if (error.lasting) return void this.#refused(error);
      setTimeout(() => this.#signal.aborted || this.#open(Math.min(2 * wait, 30_000)), wait);
    }
  }

  #refused(error) {
    this.problem = error;
    this.state = 'refused';
    this.#tell('state');
    if (error.status === 401) session.dispatchEvent(new Event('expired'));
  }

  // Events between the first page and the stream were not missed.
  #listen(after) {
    let first = true;
    const client = this.#client = new Tidings({ url: base, topics: this.topics, after });
    const presence = new Presence(client, { url: base });
    this.#signal.addEventListener('abort', () => presence.close());
    client.addEventListener('event', ({ detail }) => this.#came(detail));
    client.addEventListener('end', ({ detail }) => this.#came(detail));
    client.addEventListener('gap', ({ detail }) => this.#mention({ kind: 'gap', gap: detail }));
    client.addEventListener('live', ({ detail: { missed } }) => {
      if (missed && !first) this.#mention({ kind: 'missed', missed });
      first = false;
    });
    client.addEventListener('state', ({ detail }) => {
      Object.assign(this, { state: detail.state, transport: detail.transport });
      if (this.state !== 'refused') this.problem = null;
      this.#tell('state');
    });
    client.addEventListener('error', ({ detail }) => detail.code && this.#refused(detail));
  }

  #came(event) {
    const entry = summary(event);
    this.#add(entry);
    if (!this.isUnread(entry)) return;
    this.#known++;
    this.#counted();
    this.#lookAt ||= setTimeout(() => this.#look(), LOOK_SOON);
  }

  // mention adds something that is not an event.
  #mention(entry) {
    this.#add(this.#marker(entry));
  }

  #marker(entry) { return { ...entry, key: `${entry.kind} ${++this.#markers}`, id: '' }; }

  // lost returns the gap before the events of a page.
  #lost({ gap }) { return gap ? [this.#marker({ kind: 'gap', gap })] : []; }

  #add(entry) {
    this.entries.push(entry);
    if (this.entries.length > KEPT * 1.1) {
      this.entries.splice(0, this.entries.findIndex(({ id }, i) => id && i >= this.entries.length - KEPT));
      this.#before = this.entries[0].id;
    }
    this.#tell('entry', entry);
  }

  // older loads the events before the entries, and returns them, oldest first.
  async older() {
    if (!this.#before) return [];
    const page = await get('/v1/events', { topic: this.topics, before: this.#before, limit: PAGE }, this.#signal);
    const events = page.events.map(summary);
    const entries = [...this.#lost(page), ...events];
    this.entries.unshift(...entries);
    this.#before = page.prev;
    const unread = events.filter(entry => this.isUnread(entry)).length;
    this.#known += unread;
    this.#older = unread < events.length || !page.prev ? 0 : Math.max(0, this.#older - unread);
    return entries;
  }

  // --- the read mark

  // read marks as read everything up to an entry, or everything.
  async read(entry = this.entries.findLast(({ id }) => id)) {
    if (!entry || !this.isUnread(entry)) return;
    this.#marked(await this.#put(entry.id));
    this.#tabs.postMessage(this.#name);
  }

  get #path() { return `/v1/cursors/${encodeURIComponent(this.#name)}`; }

  async #look(first) {
    clearTimeout(this.#lookAt);
    this.#lookAt = 0;
    if (!this.ready) return;
    try {
      this.#marked(await (first ? this.#put(NOTHING) : this.#get()));
    } catch {
      // the mark has not moved, and the connection's state says what is wrong
    }
  }

  // get creates a mark if there is none, or none over granted topics, any more. A PUT that changes nothing returns the
  // mark if there is one.
  async #get() {
    try {
      return await get(this.#path, {}, this.#signal);
    } catch (error) {
      if (!error.lasting) throw error;
      return this.#put(NOTHING);
    }
  }

  async #put(id) {
    const topics = this.topics.length ? this.topics : this.#granted.slice(0, MARKED);
    if (!topics.length) return { id, unread: 0 }; // a mark needs topics
    const body = JSON.stringify({ id, topics });
    const answer = await request('PUT', this.#path, { body, headers: { 'Content-Type': 'application/json' }, signal: this.#signal });
    return answer.json();
  }

  #marked({ id, unread, capped }) {
    if (this.mark !== null && id < this.mark) return; // an outdated response
    this.mark = id;
    this.#known = 0;
    for (let i = this.entries.length - 1; i >= 0; i--) {
      const entry = this.entries[i];
      if (this.isUnread(entry)) this.#known++;
      else if (entry.id) break;
    }
    const first = this.entries.find(entry => entry.id);
    const before = this.#before && (!first || this.isUnread(first));
    this.#older = before ? Math.max(0, unread - this.#known) : 0;
    this.#capped = Boolean(before && capped);
    this.#counted();
  }

  // counted reports a change, at most ten times a second.
  #counted() {
    this.#telling ||= setTimeout(() => {
      this.#telling = 0;
      if (!this.#signal.aborted) this.#tell('unread');
    }, 100);
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
