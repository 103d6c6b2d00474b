// The log's history, read by pages from any position in both directions, newest first.

import { fail, request } from './api.js';
import { isText } from './curl.js';
import { members } from './raw-json.js';

const PAGE = 100; // events
const PAGE_SEARCHED = 1000; // if most of a page may be skipped
const SEARCHED = 20_000; // events searched for a type before asking whether to continue
const SUMMARY = 300; // characters

// page reads a page as lines, which keep numbers as sent.
export async function page(query, signal) {
  const answer = await request('GET', '/v1/events', { query, headers: { Accept: 'application/x-ndjson' }, signal });
  if (!answer.headers.has('Tidings-Caught-Up')) fail(answer);
  const gap = answer.headers.get('Tidings-Gap');
  return {
    lines: (await answer.text()).split('\n').slice(0, -1),
    next: answer.headers.get('Tidings-Next'),
    prev: answer.headers.get('Tidings-Prev'), // null at the start of the retained events
    caughtUp: answer.headers.get('Tidings-Caught-Up') === 'true',
    gap: gap && JSON.parse(gap),
  };
}

// Reader reads the events of a topic or pattern, and of a type; without these, all that the token grants.
export class Reader {
  before; // read older events from here; null at the start of the log
  after; // read newer events from here
  newest = false; // there was nothing newer
  searched = 0; // events searched since the last one of the type
  since; // the time at which reading started; undefined if nothing has arrived since

  constructor({ topic, type, signal }) {
    Object.assign(this, { topic, type, signal, limit: type ? PAGE_SEARCHED : PAGE });
  }

  // start returns the first events since a time, if any have arrived since then, else the newest. { id, gap } among
  // them marks where something is gone, as it does in older and newer.
  async start(since) {
    const { lines, next, prev, caughtUp, gap } = await this.#page({ since });
    if (since && !lines.length && !gap && caughtUp) return this.start();
    Object.assign(this, { after: next, newest: caughtUp, since });
    this.before = since ? [gap?.through, lines[0] && JSON.parse(lines[0]).id].filter(Boolean).sort()[0] : prev; // the first one reported
    return this.#wanted(lines, gap);
  }

  // older and newer return events; none at the end of the log, or if SEARCHED events were of other types.
  async older() {
    this.searched = 0;
    while (this.before && this.searched < SEARCHED) {
      const { lines, prev, gap } = await this.#page({ before: this.before });
      this.before = prev;
      const found = this.#wanted(lines, gap);
      if (found.length) return found;
    }
    return [];
  }

  async newer() {
    this.searched = 0;
    do {
      const { lines, next, caughtUp, gap } = await this.#page({ after: this.after });
      Object.assign(this, { after: next, newest: caughtUp });
      const found = this.#wanted(lines, gap);
      if (found.length) return found;
    } while (!this.newest && this.searched < SEARCHED);
    return [];
  }

  #page(query) {
    return page({ topic: this.topic, limit: this.limit, ...query }, this.signal);
  }

  #wanted(lines, gap) {
    this.searched += lines.length;
    const events = lines.filter(line => isOfType(line, this.type)).map(brief).reverse();
    return gap ? [...events, { id: gap.through, gap }] : events;
  }
}

export const isOfType = (line, type) => !type || JSON.parse(line).type === type;

// brief returns an event with only the start of its payload: thousands of them are held.
function brief(line) {
  const event = JSON.parse(line);
  const { id, topic, type, time } = event;
  return { id, topic, type, time, summary: startOf(event, line).slice(0, SUMMARY) };
}

// startOf returns the payload, or what can be shown of one that cannot be parsed: it is one event of many.
function startOf(event, line) {
  try {
    return isText(event) ? event.data : members(line).get('data') ?? event.data_base64;
  } catch {
    return '…';
  }
}
