// The client in a model of browsers (world.js), on random schedules (schedule.js): no schedule loses, repeats or
// reorders an event, except for what a gap reported; and when the faults end, every tab is live at the head of the log,
// over one stream.
//
// TIDINGS_SEED and TIDINGS_SCHEDULES set which schedules and how many. A failure is reported with its seed, reduced to
// the steps that it needs; with the same seed it fails again.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describe, explore, shrink } from './schedule.js';
import { compile } from './tab.js';

const source = readFileSync(new URL('../tidings.js', import.meta.url), 'utf8');
const seed = Number(process.env.TIDINGS_SEED ?? 1);
const schedules = Number(process.env.TIDINGS_SCHEDULES ?? 500);

test(`no schedule loses, repeats or reorders (TIDINGS_SEED=${seed} TIDINGS_SCHEDULES=${schedules})`, async () => {
  const client = compile(source), found = await explore(client, seed, schedules);
  if (found) assert.fail(describe(await shrink(client, found)));
});

// The property bites: each of these changes to the client must break it, whatever the seed above. A rare failure names
// the seed at which the search starts.
const SABOTAGES = {
  'a follower ignores holes': ['if (gap || other || past || at && !joins) return', 'if (false) return'],
  'a follower takes what it has': ['if (event && at > this.#cursor) this.#give(event);', 'if (event) this.#give(event);'],
  'a follower takes events while it reads': ['if (this.#reading) {', 'if (false) {'],
  'the cursor moves before the event is handed over': [
    /( +this\.#emit\(event\.type.*\n.*\n)( +this\.#moveTo\(event\.id.*\n)/, '$2$1',
  ],
  'a tab does not store its cursor': ['keep(sessionStorage, place, { id, from', '({ id, from'],
  'the leader does not store its cursor': ['follows: !leads', 'follows: true'],
  'nobody takes the lead from a silent leader': ['this.#silence() > 3 * this.#heartbeat;', 'false;'],
  'a silent stream is kept': ['this.#silence() <= 2.5 * this.#heartbeat) return;', 'true) return;'],
  'a stream that is held back is waited for': ['this.#silence() > OPEN_WITHIN) return void this.#poll();', 'false) return;'],
  'a tab that has turned to something else takes what comes': [/signal\.throwIfAborted\(\);?( \/\/.*)?\n/g, '\n'],
  'the old stream stays open': ["own.abort(signal.reason)", '0'],
  'tabs of several people share': [/\$\{this\.#who\} (?=.*#hear)|if \(who !== this\.#who\) return;/g, ''],
  'what came for another person is handed over': [/\n    this\.#restart\(\);\n  \}\n\n  \/\/ meet hears/, '\n  }\n\n  // meet hears'],
  'another person goes on where the one before was': ['&& personOf(who) !== personOf(was)', '&& false'],
  'nobody says that somebody has signed in': ['this.#lobby?.postMessage(who);', ';'],
  'every answer is told': ['if (!this.#served || who !== was) this.#lobby', 'this.#lobby'],
  'a tab that was refused hears nobody': ["'refused') return void (who && this.#restart());", "'refused') return;"],
  'all topics have one place': ['set: this.#topics };', "set: '' };"],
  'a new set of topics begins at the newest place': ['Object.values(all)).sort();', 'Object.values(all)).sort().reverse();'],
  'a token that has ended is used again': ['status === 403) this.#bearer = undefined;', 'status === 403) ;'],
};

for (const [name, [text, instead, first = 1]] of Object.entries(SABOTAGES)) {
  test(`it is found when ${name}`, async () => {
    assert.equal(source.split(text).length > 1, true, 'the client has no such text any more');
    assert.notEqual(await explore(compile(source.replace(text, instead)), first, 1000), undefined);
  });
}
