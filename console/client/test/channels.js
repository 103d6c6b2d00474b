// BroadcastChannel between the tabs of an origin (WHATWG HTML §9.5): in order from each sender to each receiver,
// otherwise in any order. What a tab sent before it crashes may be lost on the way.

import { Lane } from './clock.js';

export class Channels {
  #open = new Set();
  #lanes = new Map();

  constructor(clock, random, delay) {
    this.clock = clock;
    this.random = random;
    this.delay = delay;
  }

  of(tab) {
    const channels = this;
    return class BroadcastChannel {
      onmessage = null;

      constructor(name) {
        Object.assign(this, { name, tab });
        channels.#open.add(this);
      }

      postMessage(message) {
        if (message.event?.data === 'deep') throw new RangeError('Maximum call stack size exceeded');
        if (!tab.dead && !tab.away) channels.#send(this, JSON.stringify(message));
      }

      close() { channels.#open.delete(this); }
    };
  }

  #send(from, text) {
    for (const to of this.#open) {
      if (to === from || to.name !== from.name || to.tab.away) continue;
      this.#lane(from, to).send(() => {
        if (from.tab.lost?.has(to)) return;
        to.tab.run(() => this.#open.has(to) && to.onmessage?.({ data: JSON.parse(text) }));
      });
    }
  }

  // say sends a tab a message that none of its own release would send.
  say(tab, data) {
    for (const to of this.#open) if (to.tab === tab) tab.run(() => to.onmessage({ data }));
  }

  #lane(from, to) {
    if (!this.#lanes.has(from)) this.#lanes.set(from, new Map());
    const lanes = this.#lanes.get(from);
    if (!lanes.has(to)) lanes.set(to, new Lane(this.clock, this.delay));
    return lanes.get(to);
  }

  // gone loses what some of the others have not yet heard from a tab.
  gone(tab) {
    tab.lost = new Set([...this.#open].filter(() => this.random() < 0.5));
    for (const channel of this.#open) if (channel.tab === tab) this.#open.delete(channel);
  }
}
