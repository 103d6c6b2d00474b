// The Web Locks API between the tabs of an origin: one exclusive lock per name, with ifAvailable, steal and signal (W3C
// Web Locks §5). Requests and answers are delayed and may cross.

import { Lane } from './clock.js';

export class Locks {
  #held = new Map(); // name -> request
  #queue = [];

  constructor(clock, delay) {
    this.clock = clock;
    this.delay = () => Math.min(2000, delay()); // a browser's internal messages are never as slow as a network
  }

  // of returns a tab's navigator.locks.
  of(tab) {
    const up = new Lane(this.clock, this.delay), down = new Lane(this.clock, this.delay);
    return { request: (name, options, callback) => new Promise((resolve, reject) => {
      const request = { tab, name, ...options, callback, resolve, reject, up, down };
      if (tab.ignoresLocks) return;
      if (tab.refusesLocks) return reject(new DOMException('locks are refused', 'SecurityError'));
      if (request.signal?.aborted) return reject(request.signal.reason);
      request.signal?.addEventListener('abort', () => {
        if (request.called) return;
        reject(request.signal.reason);
        up.send(() => this.#withdraw(request));
      });
      up.send(() => tab.dead || this.#arrive(request));
    }) };
  }

  #arrive(request) {
    const { name } = request, holder = this.#held.get(name);
    if (request.steal && holder) {
      this.#grant(request);
      this.#tell(holder, () => holder.reject(new DOMException('the lock was stolen', 'AbortError')));
    } else if (!holder && !this.#queue.some(r => r.name === name)) this.#grant(request);
    else if (request.ifAvailable) this.#tell(request, () => this.#call(request, null));
    else this.#queue.push(request);
  }

  #grant(request) {
    this.#held.set(request.name, request);
    this.#tell(request, () => {
      if (request.signal?.aborted) request.up.send(() => this.#release(request));
      else this.#call(request, { name: request.name, mode: 'exclusive' });
    });
  }

  #tell(request, run) { request.down.send(() => request.tab.run(run)); }

  async #call(request, lock) {
    request.called = true;
    try {
      request.resolve(await request.callback(lock));
    } catch (error) {
      request.reject(error);
    }
    if (lock) request.up.send(() => this.#release(request));
  }

  #withdraw(request) {
    if (this.#held.get(request.name) === request) return; // the callback sees that it was aborted
    this.#queue = this.#queue.filter(r => r !== request);
  }

  #release(request) {
    if (this.#held.get(request.name) !== request) return;
    this.#held.delete(request.name);
    const next = this.#queue.findIndex(r => r.name === request.name);
    if (next >= 0) this.#grant(...this.#queue.splice(next, 1));
  }

  // gone frees what a tab held that no longer exists.
  gone(tab) {
    this.clock.at(this.clock.now + this.delay(), () => {
      this.#queue = this.#queue.filter(r => r.tab !== tab);
      for (const request of [...this.#held.values()]) if (request.tab === tab) this.#release(request);
    });
  }
}
