// The log's history, read by pages from any place in both directions, newest first.

import { fail, request } from './api.js';
import { isText } from './curl.js';
import { members } from './raw-json.js';

const PAGE = 100; // events
const PAGE_SEARCHED = 1000; // when most of a page may be left out
const SEARCHED = 20_000; // events that are looked through for a type before one is asked whether to go on
const SUMMARY = 300; // characters

// page reads a page as lines: in them numbers are as they were sent.
export async function page(query, signal) {
  const answer = await request('GET', '/v1/events', { query, headers: { Accept: 'application/x-ndjson' }, signal });
  if (!answer.headers.has('Tidings-Caught-Up')) fail(answer);
  const gap = answer.headers.get('Tidings-Gap');
  return {
    lines: (await answer.text()).split('\n').slice(0, -1),
    next: answer.headers.get('Tidings-Next'),
    prev: answer.headers.get('Tidings-Prev'), // null at the start of what there is
    caughtUp: answer.headers.get('Tidings-Caught-Up') === 'true',
    gap: gap && JSON.parse(gap),
  };
}

// Reader reads events of a topic or pattern, and of a type; without them all that the token grants.
export class Reader {
  before; // read older events from here; null at the start of the log
  after; // read newer events from here
  newest = false; // there was nothing newer
  searched = 0; // events looked through since one of the type was found
  since; // the time at which this began; undefined where nothing has come since

  constructor({ topic, type, signal }) {
    Object.assign(this, { topic, type, signal, limit: type ? PAGE_SEARCHED : PAGE });
  }

  // start gives the first events since a time, if any have come since then, else the newest. Among them is { id, gap } where
  // something is gone, as it is among older and newer.
  async start(since) {
    const { lines, next, prev, caughtUp, gap } = await this.#page({ since });
    if (since && !lines.length && !gap && caughtUp) return this.start();
    Object.assign(this, { after: next, newest: caughtUp, since });
    this.before = since ? [gap?.through, lines[0] && JSON.parse(lines[0]).id].filter(Boolean).sort()[0] : prev; // the first that is told
    return this.#wanted(lines, gap);
  }

  // older and newer give events, or none at the end of the log, and where SEARCHED of them were of other types.
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

// brief is an event without its payload but for the start of it: thousands of them are held.
function brief(line) {
  const event = JSON.parse(line);
  const { id, topic, type, time } = event;
  return { id, topic, type, time, summary: startOf(event, line).slice(0, SUMMARY) };
}

// startOf is the payload, or as much as can be told of one that cannot be taken apart: it is one event of many.
function startOf(event, line) {
  try {
    return isText(event) ? event.data : members(line).get('data') ?? event.data_base64;
  } catch {
    return '…';
  }
}
