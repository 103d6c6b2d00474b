// The log of the model server, and cursors over it: docs/DESIGN.md §4. One Log is one life of the log: a restored copy
// is another one, with a shared beginning.

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
export const ZERO = '0'.repeat(26);

export class Log {
  shared = ZERO; // up to here it equals the log that it replaced
  events = []; // including trimmed ones, which readers must not see
  trimmed = ZERO; // the highest ID ever trimmed

  constructor(id, copied) {
    this.id = id;
    if (copied) Object.assign(this, { events: [...copied.events], shared: copied.head });
  }

  get head() { return this.events.at(-1)?.id ?? ZERO; }
  get retained() { return this.events.filter(e => e.id > this.trimmed); }

  copy() { return { events: [...this.events], head: this.head }; }
  has(id) { return this.events.some(e => e.id === id); }

  // append mints max(now, head + 1), with more than 1, so that two lives of a log with a slow clock differ.
  append(now, entropy, topic) {
    const random = BigInt(Math.floor(entropy * 2 ** 40)), fresh = (BigInt(now) << 80n) | random;
    const last = parse(this.head);
    const event = { id: format(fresh > last ? fresh : last + 1n + random), topic };
    this.events.push(event);
    return event;
  }

  // trim deletes all but the newest N.
  trim(keep) {
    const gone = this.retained.slice(0, keep ? -keep : undefined);
    if (gone.length > 0) this.trimmed = gone.at(-1).id;
  }

  // floor returns the newest ID at or below id that is, or is known to have been, an event's.
  floor(id) {
    const floor = this.retained.findLast(e => e.id <= id)?.id ?? ZERO;
    return floor < this.trimmed && this.trimmed <= id ? this.trimmed : floor;
  }
}

// Cursor reads from a start, and reports what is missing.
export class Cursor {
  #log; #matches; #told = ZERO; #gap; #asked;

  constructor(log, matches, { after, since }) {
    this.#log = log;
    this.#matches = matches;
    this.position = this.open = log.head;
    this.resumed = false;
    if (after) this.#resume(after);
    else if (since === 'earliest') this.position = this.open = ZERO;
  }

  #resume(id) {
    const { head, trimmed } = this.#log;
    this.#asked = id;
    if (id > head) return void (this.#gap = this.#gapOf('ahead', id, head));
    const floor = this.#log.floor(id);
    this.resumed = floor === id || id <= trimmed;
    if (this.resumed) return void (this.position = this.open = id);
    this.position = this.open = floor;
    this.#gap = this.#gapOf('unknown', id, floor);
  }

  // next returns first the gap, if there is one, then at most max events.
  next(max) {
    if (this.#gap) {
      const gap = this.#gap;
      this.#gap = undefined;
      return { gap, events: [], caughtUp: false };
    }
    const log = this.#log, after = log.events.filter(e => e.id > this.position && this.#matches(e));
    const gone = after.findLast(e => e.id <= log.trimmed)?.id ?? ZERO;
    if (this.position === ZERO && gone > this.#told) this.#told = gone; // the start of the log is wherever it is now
    let gap = null;
    if (gone > this.#told) {
      gap = this.#gapOf('expired', this.#asked ?? this.position, gone);
      this.#told = gone;
    }
    const events = after.filter(e => e.id > log.trimmed).slice(0, max);
    const through = events.length === max ? events.at(-1).id : log.head;
    if (through !== this.position) this.#asked = undefined;
    this.position = through;
    return { gap, events, caughtUp: !gap && events.length === 0 };
  }

  #gapOf(reason, requested, through) {
    const kept = this.#log.retained;
    return { reason, requested, through, first: kept[0]?.id ?? null, last: kept.at(-1)?.id ?? null, detail: reason };
  }
}

function parse(id) {
  let n = 0n;
  for (const c of id) n = n * 32n + BigInt(DIGITS.indexOf(c));
  return n;
}

function format(n) {
  let id = '';
  for (let i = 0; i < 26; i++, n /= 32n) id = DIGITS[Number(n % 32n)] + id;
  return id;
}
