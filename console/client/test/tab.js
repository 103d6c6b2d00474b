// A tab: what a page finds in its global scope, and what happens to it. Tasks of a frozen tab wait; those of a dead
// one, and its pending requests, come to nothing.

import { readFileSync } from 'node:fs';
import vm from 'node:vm';
import { fetchOf } from './network.js';

const ADDRESS = 'https://tidings.example/tidings.js';

const GLOBALS = [
  'globalThis', 'navigator', 'BroadcastChannel', 'fetch', 'sessionStorage', 'localStorage',
  'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'Math', 'URL', 'EventTarget', 'CustomEvent',
  'AbortController', 'DOMException', 'TextDecoder',
];

const locksOver = compiled('locks.js', readFileSync(new URL('../locks.js', import.meta.url), 'utf8'), 'locks');

// compile turns the module's text into a function of the names that it finds in its global scope. It runs in a context
// that has nothing but ECMAScript's own globals: a missing name is a ReferenceError.
export function compile(source) { return compiled('tidings.js', source, 'Tidings'); }

function compiled(filename, source, name) {
  const body = source.replace(/^export /gm, '').replaceAll('import.meta.url', JSON.stringify(ADDRESS));
  return vm.compileFunction(`${body}\nreturn ${name};`, GLOBALS, { filename, parsingContext: vm.createContext() });
}

export class Tab {
  dead = false;
  away = false; // in the back/forward cache
  cursor = null; // as last seen
  #world; #window; #document; #session; #local;
  #frozen = false;
  #told = false; // about it
  #parked = []; // tasks of a frozen tab
  #timers = new Map();
  #lastTimer = 0;

  constructor(world, { session, storage, refusesLocks, ignoresLocks }) {
    this.#world = world;
    Object.assign(this, { refusesLocks, ignoresLocks });
    this.#window = new EventTarget();
    this.#document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    this.#window.document = this.#document;
    this.#window.location = new URL(ADDRESS);
    this.#session = storageOf(this, session, storage);
    this.#local = storageOf(this, world.local, storage);
  }

  // without removes from the tab what an old browser lacks.
  without(name) { delete this.#window[name]; }

  get frozen() { return this.#frozen; }

  // load runs the module, and returns its class.
  load(compiled) {
    const scope = this.#scope();
    Object.assign(this.#window, scope);
    const globals = GLOBALS.map(name => name === 'globalThis' ? this.#window : scope[name]);
    const Tidings = compiled(...globals);
    if (!this.#world.locks) Tidings.locks = locksOver(...globals);
    return Tidings;
  }

  #scope() {
    const { clock, network, channels, locks, random } = this.#world;
    const math = Object.create(Math, { random: { value: random } });
    const now = () => Math.floor(clock.now + this.#world.wall);
    return {
      navigator: { locks: locks?.of(this) },
      BroadcastChannel: channels.of(this),
      fetch: fetchOf(this, network),
      sessionStorage: this.#session, localStorage: this.#local,
      setTimeout: (run, ms) => this.#timer(run, ms, false), clearTimeout: id => this.#clear(id),
      setInterval: (run, ms) => this.#timer(run, ms, true), clearInterval: id => this.#clear(id),
      Date: class extends Date { static now() { return now(); } },
      Math: math, URL, EventTarget, CustomEvent, AbortController, DOMException, TextDecoder,
    };
  }

  // run executes a task of the tab; if the tab is frozen, later.
  run(task) {
    if (this.dead) return;
    if (this.#frozen) this.#parked.push(task);
    else task();
  }

  later(ms, task) { return this.#world.clock.at(this.#world.clock.now + ms, () => this.run(task)); }

  #timer(run, ms, again) {
    const id = ++this.#lastTimer;
    const set = () => this.#timers.set(id, this.later(ms + this.#late(), () => {
      if (!this.#timers.has(id)) return; // cleared while the tab was frozen
      if (again) set();
      else this.#timers.delete(id);
      run();
    }));
    set();
    return id;
  }

  // late draws the delay of a timer, as in hidden tabs.
  #late() {
    const hidden = this.#document.visibilityState === 'hidden';
    return hidden ? this.#world.random() * this.#world.throttle : 0;
  }

  #clear(id) {
    this.#world.clock.cancel(this.#timers.get(id));
    this.#timers.delete(id);
  }

  // --- what happens to it

  fire(type) { this.#window.dispatchEvent(new Event(type)); }

  tell(type) { this.#document.dispatchEvent(new Event(type)); }

  show(visible) {
    this.#document.visibilityState = visible ? 'visible' : 'hidden';
    this.run(() => this.#document.dispatchEvent(new Event('visibilitychange')));
  }

  // freeze stops the tab, like a browser that announces it, or a machine that sleeps.
  freeze(told) {
    if (this.#frozen || this.dead) return;
    this.#told = told;
    if (told) this.#document.dispatchEvent(new Event('freeze'));
    this.#frozen = true;
  }

  thaw() {
    if (!this.#frozen || this.dead) return;
    this.#frozen = false;
    if (this.#told) this.later(0, () => this.#document.dispatchEvent(new Event('resume')));
    for (const task of this.#parked.splice(0)) this.later(0, task);
  }

  // putAway and takeOut move the tab into and out of the back/forward cache.
  putAway() {
    if (this.#frozen || this.dead) return;
    this.fire('pagehide');
    this.away = this.#frozen = true;
    this.#world.network.lose(this);
  }

  takeOut() {
    this.away = this.#frozen = false;
    this.later(0, () => this.fire('pageshow'));
    for (const task of this.#parked.splice(0)) this.later(0, task);
  }

  die() {
    this.dead = true;
    this.#world.network.lose(this);
    this.#world.locks?.gone(this);
    this.#world.channels.gone(this);
  }
}

// storageOf is a view of a Map, like sessionStorage and localStorage: ok, full (accepts nothing) or denied.
function storageOf(tab, map, mode) {
  return {
    getItem(key) {
      if (mode === 'denied') throw new DOMException('storage is disabled', 'SecurityError');
      return map.get(key) ?? null;
    },
    setItem(key, value) {
      if (mode !== 'ok') throw new DOMException('storage takes nothing', 'QuotaExceededError');
      if (!tab.dead) map.set(key, String(value));
    },
    removeItem(key) {
      if (!tab.dead) map.delete(key);
    },
  };
}
