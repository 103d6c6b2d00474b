// What one reader got, over all its reloads, compared with the log: the property. A reader is a tab with a
// sessionStorage; without storage every load is a reader of its own.

import { ZERO } from './log.js';

export class Ledger {
  lines = []; // what the reader got, for the report
  #server; #matches; #isDue;
  #seen = new Set();
  #position; // the last event received, or where reading started; undefined: nowhere yet
  #log; // the log that the position belongs to
  #covered = ZERO; // trimmed events up to here have been reported

  // matches reports whether the reader may get an event, isDue whether it must.
  constructor(server, matches, isDue) {
    this.#server = server;
    this.#matches = matches;
    this.#isDue = isDue;
  }

  get begun() { return this.#position !== undefined; }

  // begin makes everything after id due.
  begin(id) {
    this.lines.push(`begin ${id}`);
    this.#log = this.#logOf(id) ?? this.#server.log;
    this.#position = id;
  }

  // event returns what is wrong with getting this event now, if anything.
  event(id) {
    this.lines.push(`event ${id}`);
    const log = this.#logOf(id);
    if (!log) return `event ${id} was never committed`;
    if (this.#seen.has(id)) return `event ${id} is repeated`;
    this.#seen.add(id);
    if (!this.#matches(log.events.find(e => e.id === id))) return `event ${id} was not asked for`;
    if (!this.begun) this.begin(log.events.findLast(e => e.id < id)?.id ?? ZERO);
    this.#turnTo(log);
    if (id <= this.#position) return `event ${id} comes after ${this.#position}`;
    const lost = this.#due(log, id);
    this.#position = id;
    return lost && `event ${lost.id} was lost before ${id}`;
  }

  gap({ reason, through }) {
    this.lines.push(`gap ${reason} ${through}`);
    const log = this.#logOf(through) ?? this.#server.log;
    if (!this.begun) this.begin(through);
    this.#turnTo(log);
    if (reason === 'expired') this.#covered = later(this.#covered, through);
    else this.#position = later(this.#position, through);
  }

  // missing returns what is missing at the end, if anything.
  missing() {
    if (!this.begun) return 'it never began';
    this.#turnTo(this.#server.log);
    const lost = this.#due(this.#log);
    return lost && `event ${lost.id} is missing`;
  }

  // due returns the first event that should have arrived and has not.
  #due(log, before = '~') {
    if (this.#position === ZERO) this.#covered = log.trimmed; // the start of the log is wherever it is now
    return log.events.find(e => e.id > this.#position && e.id < before && this.#matches(e) && this.#isDue(e) &&
      !(e.id <= log.trimmed && e.id <= this.#covered));
  }

  #logOf(id) { return this.#server.logs.findLast(log => log.has(id)); }

  // turnTo moves the position to another log: what the two share stays read. What was in progress when a log was
  // replaced may arrive late: then back to it, as long as nothing else was read.
  #turnTo(log) {
    const { logs } = this.#server, from = logs.indexOf(this.#log), to = logs.indexOf(log);
    const between = logs.slice(Math.min(from, to) + 1, Math.max(from, to) + 1);
    const shared = between.map(l => l.shared).sort()[0] ?? this.#position;
    if (this.#position > shared && to > from) this.#position = shared;
    if (this.#covered > shared && to > from) this.#covered = shared;
    if (this.#position <= shared) this.#log = log;
  }
}

function later(a, b) { return a > b ? a : b; }
