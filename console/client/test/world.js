// A browser with up to four tabs of one origin, a network and a server, all driven by one clock. A schedule of
// faults is done to them; then the faults end, and everything must come right.
//
// What it leaves out: browsers that differ from the standards but for what network.js says, other origins and
// windows, workers, storage that another tab sees late or that fills up in use, locks and channels that are missing,
// listeners that throw or close the client, topics that end, several names at once, IDs that two lives of a restored
// log have in common, and what a restored log has that was trimmed before.

import { Channels } from './channels.js';
import { Clock, randomFrom, turn } from './clock.js';
import { Ledger } from './ledger.js';
import { Locks } from './locks.js';
import { ZERO } from './log.js';
import { Network } from './network.js';
import { Server } from './server.js';
import { Tab } from './tab.js';

const KEY = 'tidings https://tidings.example console'; // of the stored cursors

export class World {
  clock = new Clock();
  wall = Date.UTC(2026, 0, 1); // what the clocks of the tabs say is this and the time
  local = new Map(); // localStorage
  slots = [{}, {}, {}, {}]; // places for tabs: {session, ledger, tab, client}
  failure; // the first
  #compiled; #options; #matches;

  constructor(compiled, seed) {
    this.#compiled = compiled;
    const random = this.random = randomFrom(seed);
    this.speed = 1; // of everything that is under way: 10 takes ten times as long
    const delay = (least, most) => () => this.speed * (least + (most - least) * random() ** 3);
    this.throttle = random() < 0.3 ? 60_000 : 0; // of the timers of hidden tabs
    this.server = new Server(this.clock, random, random() < 0.5);
    this.network = new Network(this.clock, random, this.server, delay(2, 300));
    this.channels = new Channels(this.clock, random, delay(0, 100));
    this.locks = new Locks(this.clock, delay(0, 200));
    const topics = random() < 0.5 ? ['orders'] : [];
    this.#matches = event => topics.length === 0 || topics.includes(event.topic);
    this.#options = { name: 'console', topics };
    if (random() < 0.3) this.#options.since = 'earliest';
    this.clock.after = () => this.look();
  }

  #getToken(tab) {
    return new Promise((resolve, reject) => tab.later(50, () => {
      if (this.network.mode === 'refuse') reject(new Error('no token now'));
      else resolve(this.server.token);
    }));
  }

  fail(message) { this.failure ??= `at ${Math.round(this.clock.now)} ms: ${message}`; }

  // --- tabs

  // open loads the client in a slot. What is loaded there again goes on as the same reader, if it ever began.
  open(slot, session) {
    slot.storage ??= pick(this.random(), [['ok', 0.85], ['full', 0.07], ['denied', 0.08]]);
    slot.refusesLocks ??= slot.storage === 'denied' && this.random() < 0.5;
    const isNew = !slot.ledger || slot.storage !== 'ok' || slot.tab.cursor === null;
    if (isNew) Object.assign(slot, { session: new Map(session), ledger: new Ledger(this.server, this.#matches) });
    const { ledger } = slot, tab = slot.tab = new Tab(this, slot);
    const Tidings = tab.load(this.#compiled), token = this.server.token && (() => this.#getToken(tab));
    const client = slot.client = new Tidings({ ...this.#options, token });
    if (isNew && !session && slot.storage === 'ok' && client.cursor !== (this.local.get(KEY) ?? null)) {
      this.fail(`a new tab begins at ${client.cursor} and not where the leaders had come to`);
    }
    if (isNew && client.cursor) ledger.begin(client.cursor);
    else if (isNew && this.#options.since) ledger.begin(ZERO);
    client.addEventListener('event', ({ detail: { id } }) => {
      if (slot.diesAtNext) this.crash(slot);
      if (!tab.dead) this.#wrong(slot, ledger.event(id));
      if (slot.reconnectsAtNext) client.reconnect();
      slot.reconnectsAtNext = false;
    });
    client.addEventListener('gap', ({ detail }) => tab.dead || ledger.gap(detail));
    client.addEventListener('live', () => tab.dead || this.#wrong(slot, !client.cursor && 'it is live without a cursor'));
  }

  #wrong(slot, message) {
    if (message) this.fail(`tab ${this.slots.indexOf(slot)}: ${message}\n  ${slot.ledger.lines.slice(-12).join('\n  ')}`);
  }

  close(slot) {
    this.#end(slot, true);
    Object.assign(slot, { session: undefined, ledger: undefined, storage: undefined, refusesLocks: undefined });
  }

  reload(slot, told) {
    this.#end(slot, told);
    this.open(slot);
  }

  crash(slot) { this.#end(slot, false); }

  #end(slot, told) {
    if (told && !slot.tab.frozen && !slot.tab.dead) slot.tab.fire('pagehide');
    slot.tab.die();
    slot.diesAtNext = false;
  }

  // look notes what can be seen of the tabs after each task. What the leader has come to must be where a new tab
  // begins.
  look() {
    for (const { tab, client, ledger, storage } of this.living()) {
      if (client.cursor === tab.cursor) continue;
      const back = client.cursor < tab.cursor;
      tab.cursor = client.cursor;
      if (!ledger.begun) ledger.begin(client.cursor);
      const stored = this.local.get(KEY);
      if (storage === 'ok' && client.leads && (back ? stored !== client.cursor : !(stored >= client.cursor))) {
        this.fail(`the leader has come to ${client.cursor}, a new tab would begin at ${stored}`);
      }
    }
  }

  living() { return this.slots.filter(({ tab }) => tab && !tab.dead); }

  #awake() { return this.living().filter(({ tab }) => !tab.frozen); }

  // --- the run

  // run does the schedule, and returns what went wrong, if something did.
  async run(schedule, actions) {
    const unhandled = error => this.fail(`unhandled: ${error?.stack ?? error}`);
    process.on('unhandledRejection', unhandled).on('uncaughtException', unhandled);
    try {
      this.open(this.slots[0]);
      for (const step of schedule) {
        await this.clock.advance(step.after);
        if (this.failure) return this.failure;
        actions[step.act](this, step);
        await turn();
        this.look();
      }
      await this.#calmDown();
      await turn();
      return this.failure;
    } finally {
      process.off('unhandledRejection', unhandled).off('uncaughtException', unhandled);
    }
  }

  // calmDown ends the faults in two steps. First the tabs that are awake must come right, though others sleep on and
  // something may still hold streams back; then all.
  async #calmDown() {
    this.speed = 1;
    this.server.overloaded = false;
    this.server.down = 0;
    if (this.network.mode !== 'buffer') this.network.become('ok');
    await this.#allWell('it does not come right while others sleep', 180_000, () => this.#amiss(this.#awake()));
    this.network.become('ok');
    for (const { tab } of this.living()) {
      if (tab.away) tab.takeOut();
      tab.thaw();
      tab.show(true);
    }
    await this.#allWell('it does not come right', 420_000, () => this.#amiss(this.living()) || this.#manyStreams());
    this.server.publish('orders');
    await this.clock.advance(5_000);
    await this.#allWell('an event after the faults does not come through', 180_000, () => this.#amiss(this.living()));
  }

  // allWell waits until nothing is amiss. The times are what the client's own add up to: silence, a stream that does
  // not open, a poll, the longest pause before it tries again; and, until there is a stream again, POLL_FOR.
  async #allWell(message, within, amiss) {
    const until = this.clock.now + within;
    while (amiss() && this.clock.now < until && !this.failure) await this.clock.advance(5_000);
    if (amiss()) this.fail(`${message}: ${amiss()}`);
  }

  #amiss(slots) {
    for (const slot of slots) {
      const { client, ledger } = slot, name = `tab ${this.slots.indexOf(slot)}`;
      if (client.state !== 'live') return `${name} is ${client.state}`;
      if (client.cursor !== this.server.log.head) return `${name} is at ${client.cursor}, the log at ${this.server.log.head}`;
      const missing = ledger.missing();
      if (missing) return `${name}: ${missing}\n  ${ledger.lines.slice(-12).join('\n  ')}`;
    }
  }

  // One tab leads and has a stream, of all that may share.
  #manyStreams() {
    const sharing = this.living().filter(slot => !slot.refusesLocks);
    if (sharing.length === 0) return;
    const streams = sharing.reduce((n, { tab }) => n + this.network.streamsOf(tab), 0);
    if (streams !== 1) return `${streams} streams are open`;
    const leaders = sharing.filter(({ client }) => client.leads).length;
    if (leaders !== 1) return `${leaders} tabs lead`;
  }
}

function pick(at, choices) {
  for (const [value, share] of choices) {
    if ((at -= share) < 0) return value;
  }
  return choices[0][0];
}
