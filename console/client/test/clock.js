// Time that passes only on request, the queue of everything due, and seeded randomness.

import { setMaxListeners } from 'node:events';

setMaxListeners(0); // Node's warning does not apply: a signal lives as long as its tab

export class Clock {
  now = 0; // ms
  after = () => {}; // called after every entry of the queue
  #queue = [];

  // at schedules run for a time. Entries due at the same time run in call order.
  at(time, run) {
    const entry = { time, run };
    let i = this.#queue.length;
    while (i > 0 && this.#queue[i - 1].time > time) i--;
    this.#queue.splice(i, 0, entry);
    return entry;
  }

  cancel(entry) { if (entry) entry.run = () => {}; }

  // advance lets time pass: each entry runs with all its promises before the next.
  async advance(ms) {
    const until = this.now + ms;
    await settle();
    while (this.#queue[0]?.time <= until) {
      const { time, run } = this.#queue.shift();
      this.now = Math.max(this.now, time);
      run();
      await settle();
      this.after();
    }
    this.now = until;
  }
}

// settle waits for every promise that can continue: Node reaches its ticks when no microtasks are left.
function settle() { return new Promise(done => process.nextTick(done)); }

// turn lets Node's event loop turn, which is when it reports unhandled rejections.
export function turn() { return new Promise(done => setImmediate(done)); }

// Lane is a path on which nothing overtakes: a connection, or a channel between two tabs.
export class Lane {
  #last = 0;

  constructor(clock, delay) {
    this.clock = clock;
    this.delay = delay; // draws the delay
  }

  send(run) {
    this.#last = Math.max(this.#last, this.clock.now + this.delay());
    this.clock.at(this.#last, run);
  }
}

// randomFrom returns a generator of numbers in [0, 1) (mulberry32).
export function randomFrom(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6D2B79F5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
