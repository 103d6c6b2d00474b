// A browser with up to four tabs of one origin, a network and a server, all driven by one clock. A schedule of faults
// is applied; then the faults end, and everything must recover.
//
// There are two people, two names and several sets of topics. A tab's person is set by a cookie that all tabs share, by
// the tab's token function, or by a fixed token.
//
// What it leaves out: browsers that differ from the standards but for what network.js says, other origins and
// windows, workers, storage that another tab sees late or that fills up in use, channels that are missing,
// listeners that throw or close the client, topics that end, IDs that two lives of a restored
// log have in common, and what a restored log has that was trimmed before.

import { Channels } from './channels.js';
import { Clock, randomFrom, turn } from './clock.js';
import { Ledger } from './ledger.js';
import { Locks } from './locks.js';
import { ZERO } from './log.js';
import { Network } from './network.js';
import { Server } from './server.js';
import { Tab } from './tab.js';

export const SETS = [['orders'], [], ['orders', 'tickets'], ['tickets']];

export class World {
  clock = new Clock();
  wall = Date.UTC(2026, 0, 1); // the tabs' clocks show this plus the time
  local = new Map(); // localStorage
  slots = [{}, {}, {}, {}]; // places for tabs: {session, name, topics, person, readers, tab, client}
  person = ''; // whose the cookie is
  failure; // the first
  #compiled; #names; #sets; #since; #mode;
  #given = new Map(); // name and person -> {events, from: topic -> where it was first read from}

  constructor(compiled, seed) {
    this.#compiled = compiled;
    const random = this.random = randomFrom(seed);
    this.speed = 1; // of everything in flight: 10 takes ten times as long
    const delay = (least, most) => () => this.speed * (least + (most - least) * random() ** 3);
    this.throttle = random() < 0.3 ? 60_000 : 0; // of the timers of hidden tabs
    this.server = new Server(this.clock, random, random() < 0.6);
    this.network = new Network(this.clock, random, this.server, delay(2, 300));
    this.channels = new Channels(this.clock, random, delay(0, 100));
    if (random() < 0.85) this.locks = new Locks(this.clock, delay(0, 200));
    else this.throttle = 0; // those of locks.js: a browser lets all that is due in a hidden tab go at once, which late() does not
    this.#names = random() < 0.7 ? ['console'] : ['console', 'kiosk'];
    this.#sets = random() < 0.6 ? SETS.slice(0, 1 + Math.floor(random() * 2)).slice(-1) : SETS;
    this.#since = random() < 0.3 ? 'earliest' : undefined;
    this.#mode = this.server.token && pick(random(), [['cookie', 0.4], ['function', 0.5], ['fixed', 0.1]]);
    this.signIn({}, random() < 0.5 ? 'ann' : '');
    this.clock.after = () => this.look();
  }

  // --- people

  // signIn gives the browser, or a tab, another person's token, or a new one of the same person.
  signIn(slot, person) {
    if (this.#mode === 'cookie') {
      this.person = person;
      this.network.cookie = `Bearer ${this.server.tokenOf(person)}`;
    } else if (this.#mode === 'function') slot.person = person;
    slot.tab?.run(() => slot.client.reconnect());
  }

  #personOf(slot) { return this.#mode === 'cookie' ? this.person : this.#mode ? slot.person : ''; }

  // tokenOf returns a tab's token option.
  #tokenOf(slot) {
    const token = this.server.tokenOf(slot.person);
    if (this.#mode === 'fixed') return slot.fixed = token;
    if (this.#mode !== 'function') return undefined;
    const { tab } = slot;
    return () => new Promise((resolve, reject) => tab.later(50, () => {
      if (this.network.mode === 'refuse' || slot.sick === 'throws') reject(new Error('no token now'));
      else if (slot.sick !== 'hangs') resolve({ none: '', wrong: 'wrong' }[slot.sick] ?? this.server.tokenOf(slot.person));
    }));
  }

  // spent reports whether a tab's fixed token has expired. Such a tab is live only while another one reads for it.
  #spent(slot) { return this.#mode === 'fixed' && slot.fixed !== this.server.tokenOf(slot.person); }

  fail(message) { this.failure ??= `at ${Math.round(this.clock.now)} ms: ${message}`; }

  // --- tabs

  // open loads the client in a slot. A client reloaded there continues as the same reader, if it ever started.
  open(slot, copied) {
    const { random } = this;
    slot.storage ??= pick(random(), [['ok', 0.85], ['full', 0.07], ['denied', 0.08]]);
    slot.refusesLocks ??= slot.storage === 'denied' && random() < 0.5 && !!this.locks;
    slot.ignoresLocks ??= random() < 0.03 && !!this.locks;
    const isNew = !slot.readers || slot.storage !== 'ok';
    if (!slot.session) {
      slot.name = copied?.name ?? this.#names[Math.floor(random() * this.#names.length)];
      slot.topics = copied?.topics ?? this.#sets[Math.floor(random() * this.#sets.length)];
      slot.person = copied?.person ?? (random() < 0.5 ? 'ann' : 'ben');
    }
    if (isNew) Object.assign(slot, { session: new Map(copied?.session), readers: new Map() });
    slot.who = undefined;
    const stored = new Set(this.local.keys()), tab = slot.tab = new Tab(this, slot), { name, topics } = slot;
    const Tidings = tab.load(this.#compiled);
    const client = slot.client = new Tidings({ name, topics, since: this.#since, token: this.#tokenOf(slot) });
    const person = personOf(client.who); // what was copied may have no place for it: then it begins as a new tab does
    if (isNew && slot.storage === 'ok' && !copied?.session.has(this.#key(slot, person))) this.#begins(slot, person, stored);
    client.addEventListener('event', ({ detail: { id } }) => {
      if (slot.diesAtNext) this.crash(slot);
      if (!tab.dead) this.#event(slot, id);
      if (slot.reconnectsAtNext) client.reconnect();
      slot.reconnectsAtNext = false;
    });
    client.addEventListener('gap', ({ detail }) => tab.dead || this.#reader(slot).gap(detail));
    client.addEventListener('live', () => tab.dead || this.#wrong(slot, !client.cursor && 'it is live without a cursor'));
  }

  // reader returns the ledger of a tab's current person.
  #reader(slot) {
    const { client, readers, topics } = slot, person = personOf(client.who);
    if (!readers.has(person)) {
      const matches = e => isOf(topics, e) && this.server.mayHave(person, e);
      const ledger = new Ledger(this.server, matches, e => this.server.isDue(person, e));
      readers.set(person, ledger);
      const from = client.cursor ?? (this.#since && ZERO);
      if (from) ledger.begin(from);
    }
    return readers.get(person);
  }

  // readsFrom records from where a name reads what. A new one may start beyond where others have got to.
  #readsFrom(slot, id) {
    const { from } = this.#givenTo(slot), at = slot.isFresh && !slot.client.cursor && this.#since ? ZERO : id;
    for (const topic of listOf(slot.topics)) {
      if (!from.has(topic) || slot.isFresh && at > from.get(topic)) from.set(topic, at);
    }
    slot.isFresh = false;
  }

  #event(slot, id) {
    const { client } = slot, ledger = this.#reader(slot);
    if (!ledger.begun && client.cursor) ledger.begin(client.cursor);
    this.#wrong(slot, ledger.event(id));
    if (slot.storage !== 'ok') return; // its cursor is stored nowhere
    this.#givenTo(slot).events.add(id);
    this.#readsFrom(slot, client.cursor ?? id);
  }

  #givenTo({ name, client }) {
    const reader = `${name} ${personOf(client.who)}`;
    if (!this.#given.has(reader)) this.#given.set(reader, { events: new Set(), from: new Map() });
    return this.#given.get(reader);
  }

  #wrong(slot, message) {
    if (!message) return;
    const lines = slot.readers.get(personOf(slot.client.who))?.lines.slice(-12) ?? [];
    this.fail(`tab ${this.slots.indexOf(slot)}, ${slot.client.who}: ${message}\n  ${lines.join('\n  ')}`);
  }

  close(slot) {
    this.#end(slot, true);
    for (const key of ['session', 'readers', 'storage', 'refusesLocks', 'ignoresLocks', 'sick']) delete slot[key];
  }

  reload(slot, told) {
    this.#end(slot, told);
    this.open(slot);
  }

  // change loads a page that reads other topics in a tab: it starts where it last was with these, or else where the
  // previous one was, or earlier.
  change(slot, topics) {
    if (slot.storage !== 'ok' || slot.topics === topics || !slot.client.cursor) return;
    this.#end(slot, true);
    const was = slot.client.cursor, person = personOf(slot.client.who);
    Object.assign(slot, { topics, readers: new Map() });
    const own = this.#own(slot, person);
    this.open(slot);
    const { who, cursor } = slot.client, sameLog = this.server.logs.length === 1; // else a gap is reported
    if (sameLog && personOf(who) === person && !(own ? cursor === own : cursor <= was)) {
      this.fail(`it was at ${was}, with these topics at ${own}, and begins with them at ${cursor}`);
    }
  }

  crash(slot) { this.#end(slot, false); }

  #end(slot, told) {
    if (told && !slot.tab.frozen && !slot.tab.dead) slot.tab.fire('pagehide');
    slot.tab.die();
    slot.diesAtNext = false;
  }

  // --- what is stored

  #key({ name }, person) { return `tidings https://tidings.example ${name}${person && ` ${person}`}`; }

  #places(slot, person) { return JSON.parse(this.local.get(this.#key(slot, person)) ?? '{}').sets; }

  // start returns where a new tab starts.
  #start(slot, person) {
    const sets = this.#places(slot, person) ?? (person && this.#places(slot, '')) ?? {};
    return sets[setOf(slot.topics)] ?? Object.values(sets).sort()[0] ?? null;
  }

  // own returns where a tab last was with its topics.
  #own(slot, person) { return JSON.parse(slot.session.get(this.#key(slot, person)) ?? '{}').sets?.[setOf(slot.topics)]; }

  // begins checks where a new tab starts: at the cursor of its topics, else at the oldest one. Up to there somebody
  // under the name got everything since it was first read.
  #begins(slot, person, stored) {
    const { client, topics } = slot, at = this.#start(slot, person);
    if (client.cursor !== at) this.fail(`a new tab of ${client.who} begins at ${client.cursor} and not at ${at}`);
    slot.isFresh = !stored.has(this.#key(slot, person));
    const { events, from } = this.#givenTo(slot), { log, logs } = this.server;
    if (logs.length > 1 || slot.isFresh) return; // gaps are left to the ledgers
    const lost = log.retained.find(e => e.id <= at && listOf(topics).includes(e.topic) && e.id > from.get(e.topic) && !events.has(e.id));
    if (lost) this.fail(`a new tab of ${client.who} begins at ${at}: ${lost.id} of ${lost.topic} was given to nobody`);
  }

  // look records what can be seen of the tabs after each task. A new tab must start where the leader has got to.
  look() {
    for (const slot of this.living()) {
      const { tab, client, storage, readers, led } = slot;
      slot.led = client.leads;
      const same = client.who === slot.who; // else it is at another person's cursor
      if (client.who !== slot.who) {
        const person = personOf(client.who), other = slot.who !== undefined && person !== personOf(slot.who);
        if (other && storage !== 'ok') readers.delete(person); // what is stored nowhere starts over
        else if (other && !readers.has(person)) this.#began(slot);
        slot.who = client.who;
      }
      if (client.cursor === tab.cursor) continue;
      const back = client.cursor < tab.cursor;
      tab.cursor = client.cursor;
      if (!client.cursor) continue;
      const ledger = this.#reader(slot);
      if (!ledger.begun) ledger.begin(client.cursor);
      if (slot.isFresh) this.#readsFrom(slot, client.cursor);
      const stored = this.#start(slot, personOf(client.who));
      if (same && led && client.leads && storage === 'ok' && (back ? stored !== client.cursor : !(stored >= client.cursor))) {
        this.fail(`the leader has come to ${client.cursor}, a new tab would begin at ${stored}`);
      }
    }
  }

  // began checks where a tab starts for a person other than before.
  #began(slot) {
    const { client, session } = slot, person = personOf(client.who);
    slot.isFresh = true; // or takes over what was nobody's
    if (!session.get(this.#key(slot, person))) return void (person && client.cursor && this.fail(`${person} begins at somebody's ${client.cursor}`));
    if (this.#own(slot, person) !== client.cursor) this.fail(`${person} goes on at ${client.cursor}, not at its place`);
  }

  living() { return this.slots.filter(({ tab }) => tab && !tab.dead); }

  awake() { return this.living().filter(({ tab }) => !tab.frozen); }

  // --- the run

  // run executes the schedule, and returns what went wrong, if anything.
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

  // calmDown ends the faults in two steps. First the tabs that are awake must recover, though others still sleep and
  // something may still hold streams back; then all.
  async #calmDown() {
    this.speed = 1;
    this.server.overloaded = false;
    this.server.down = 0;
    this.network.answer = undefined;
    for (const slot of this.slots) slot.sick = slot.diesAtNext = undefined;
    if (this.network.mode !== 'buffer') this.network.become('ok');
    this.#renew();
    await this.#allWell('it does not come right while others sleep', 180_000, () => this.#amiss(this.awake()));
    this.network.become('ok');
    for (const { tab } of this.living()) {
      if (tab.away) tab.takeOut();
      tab.thaw();
      tab.show(true);
    }
    await this.clock.advance(1000);
    this.#renew();
    await this.#allWell('it does not come right', 420_000, () => this.#amiss(this.living()) || this.#manyStreams());
    this.server.publish('orders');
    await this.clock.advance(5_000);
    await this.#allWell('an event after the faults does not come through', 180_000, () => this.#amiss(this.living()));
    const requests = this.network.requests = [];
    await this.clock.advance(10_000);
    if (requests.length > 5 * this.living().length) this.fail(`${requests.length} requests in 10 s of peace`);
  }

  // renew signs somebody in again in one tab. The others must learn of it.
  #renew() {
    const [slot] = this.awake();
    if (slot && this.#mode === 'cookie') this.signIn(slot, this.person);
  }

  // allWell waits until nothing is wrong. The times are sums of the client's own: silence, a stream that does not open,
  // a poll, the longest pause before a retry; and, until there is a stream again, POLL_FOR.
  async #allWell(message, within, amiss) {
    const until = this.clock.now + within;
    while (amiss() && this.clock.now < until && !this.failure) await this.clock.advance(5_000);
    if (amiss()) this.fail(`${message}: ${amiss()}`);
  }

  #amiss(slots) {
    for (const slot of slots) {
      if (this.#spent(slot)) continue;
      const { client } = slot, name = `tab ${this.slots.indexOf(slot)}`, person = this.#personOf(slot);
      if (client.state !== 'live') return `${name} is ${client.state}`;
      if (personOf(client.who) !== person) return `${name} is for ${client.who}, not ${person}`;
      if (client.cursor !== this.server.log.head) return `${name} is at ${client.cursor}, the log at ${this.server.log.head}`;
      const ledger = this.#reader(slot), missing = ledger.missing();
      if (missing) return `${name}: ${missing}\n  ${ledger.lines.slice(-12).join('\n  ')}`;
    }
  }

  // Of the tabs that may share, and read the same as the same person, one leads and has a stream.
  #manyStreams() {
    const groups = new Map();
    for (const slot of this.living()) {
      if (slot.refusesLocks || slot.ignoresLocks || this.#spent(slot)) continue;
      const group = [slot.client.who, slot.name, setOf(slot.topics)].join(' ');
      groups.set(group, [...groups.get(group) ?? [], slot]);
    }
    for (const [group, slots] of groups) {
      const streams = slots.reduce((n, { tab }) => n + this.network.streamsOf(tab), 0);
      if (streams !== 1) return `${streams} streams are open for ${group}`;
      const leaders = slots.filter(({ client }) => client.leads).length;
      if (leaders !== 1) return `${leaders} tabs lead ${group}`;
    }
  }
}

function isOf(topics, { topic }) { return topics.length === 0 || topics.includes(topic); }

// listOf leaves out what only some may read.
function listOf(topics) { return topics.length ? topics : ['orders', 'tickets']; }

function setOf(topics) { return [...topics].sort().join(' '); }

function personOf(who = '') { return who.split('.')[0]; }

function pick(at, choices) {
  for (const [value, share] of choices) {
    if ((at -= share) < 0) return value;
  }
  return choices[0][0];
}
