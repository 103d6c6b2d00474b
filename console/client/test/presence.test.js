// What tabs report to the server about what they can do. Beats are sent by hand, and a client is nothing but beats.

import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Presence } from '../presence.js';

const HEARTBEAT = 15_000;
let now, sent, answers, warned; // the reports, how the server responds, and the warnings

class Channel {
  static all = new Set();
  constructor(name) {
    this.name = name;
    Channel.all.add(this);
  }
  postMessage(data) {
    for (const other of Channel.all) if (other !== this && other.name === this.name) queueMicrotask(() => other.onmessage?.({ data }));
  }
  close() { Channel.all.delete(this); }
}

class Client extends EventTarget {
  group = 'group';
  state = 'live';
  taken = 0; // how often a Presence had it take the stream over
  reconnect() { this.taken++; }
  constructor(leads) {
    super();
    this.leads = leads;
  }
  async beat(subscriber = 'one', token) {
    this.dispatchEvent(new CustomEvent('beat', { detail: { subscriber, heartbeat: HEARTBEAT, token } }));
    await settled();
  }
}

const settled = () => new Promise(setImmediate);
const state = (armed, visible = true) => ({ visible, allowed: false, armed });
const told = () => sent.splice(0).map(({ body }) => JSON.parse(body));

afterEach(() => mock.timers.reset());
beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  [now, sent, answers, warned] = [1_000_000, [], 204, []];
  console.warn = text => warned.push(text);
  Channel.all.clear();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  globalThis.BroadcastChannel = Channel;
  Date.now = () => now;
  globalThis.fetch = async (url, { method, headers, body }) => {
    if (!answers) throw new TypeError('there is no network');
    sent.push({ url, method, headers, body });
    const problem = { code: 'subscriber-not-found', title: 'Not found', detail: 'no stream of yours has this ID' };
    return answers === 204 ? new Response(null, { status: 204 }) : Response.json(problem, { status: answers });
  };
});

function open(leads, armed) {
  const client = new Client(leads), tab = { client, armed };
  tab.presence = new Presence(client, { url: 'https://tidings.example/', armed: () => tab.armed });
  return tab;
}

test('it is told with each heartbeat, and on a busy stream once in half of one', async () => {
  const { client } = open(true, true);
  await client.beat('one', 'secret');
  assert.equal(sent[0].url, 'https://tidings.example/v1/subscribers/one/state');
  assert.equal(sent[0].method, 'PUT');
  assert.equal(sent[0].headers.Authorization, 'Bearer secret');
  assert.deepEqual(told(), [state(true)]);
  for (let ms = 0; ms < 4 * HEARTBEAT; ms += 100) {
    now += 100;
    await client.beat();
  }
  assert.equal(told().length, 8);
  now += HEARTBEAT;
  await client.beat();
  await client.beat('two'); // another stream has no report yet
  assert.equal(told().length, 2);
});

test('without an alarm it says that there is none, and what changes is told at once', async () => {
  const tab = open(true);
  await tab.client.beat();
  tab.presence.changed(); // nothing has changed
  document.visibilityState = 'hidden';
  document.dispatchEvent(new Event('visibilitychange'));
  await settled();
  tab.armed = false;
  tab.presence.changed();
  await settled();
  assert.deepEqual(told(), [state(null), state(null, false), state(false, false)]);
  tab.presence.close();
  tab.armed = true;
  tab.presence.changed();
  await tab.client.beat();
  assert.deepEqual(told(), []);
});

test('tabs that share a stream are one page; one that does not answer counts no more two heartbeats later', async () => {
  const leader = open(true, false), follower = open(false, true), third = open(false);
  await leader.client.beat();
  assert.deepEqual(told().at(-1), state(true));
  now += HEARTBEAT;
  await leader.client.beat();
  assert.deepEqual(told(), [state(true)]); // with no lesser report in between
  follower.presence.close(); // like one that hangs
  now += HEARTBEAT;
  await leader.client.beat();
  assert.deepEqual(told(), [state(true)]); // it had answered the last time
  now += HEARTBEAT;
  await leader.client.beat();
  assert.deepEqual(told(), [state(false)]);
  third.armed = true;
  third.presence.changed();
  await settled();
  assert.deepEqual(told(), [state(true)]);
});

test('a tab that holds no stream any more tells the server nothing', async () => {
  const { client, presence } = open(true, true);
  await client.beat();
  client.leads = false;
  client.dispatchEvent(new CustomEvent('state', { detail: {} }));
  presence.changed();
  await settled();
  assert.equal(told().length, 1);
});

test('what the server was not told it is told with the next heartbeat', async () => {
  const { client } = open(true, true);
  answers = 0;
  await client.beat();
  answers = 204;
  now += HEARTBEAT;
  await client.beat();
  assert.deepEqual(told(), [state(true)]);
});

test('each stream is reported of with the token that it was asked for with', async () => {
  const { client } = open(true, true);
  for (const token of ['first', 'second', undefined]) await client.beat(`of ${token}`, token);
  assert.deepEqual(sent.map(({ headers }) => headers.Authorization), ['Bearer first', 'Bearer second', undefined]);
});

test('that the server takes no report is said once, and not of a stream that has ended', async () => {
  const { client } = open(true, true);
  answers = 404;
  await Promise.all([client.beat(), client.beat('two')]); // in flight when the stream ended
  await settled();
  assert.equal(warned.length, 1);
  assert.match(warned[0], /would be heard: HTTP 404, no stream of yours has this ID$/);
  now += HEARTBEAT;
  await client.beat('two');
  assert.equal(warned.length, 1);
});

test('several of one client speak as one, with a group and without', async () => {
  for (const group of [undefined, 'group']) {
    const tab = open(true, true);
    tab.client.group = group;
    const second = new Presence(tab.client, { url: 'https://tidings.example' });
    for (let i = 0; i < 3; i++) {
      now += HEARTBEAT;
      await tab.client.beat();
    }
    assert.deepEqual(told(), [state(true), state(true), state(true)]);
    tab.armed = false;
    second.changed();
    await settled();
    assert.deepEqual(told(), [state(false)]);
    tab.presence.close(); // the other continues
    await tab.client.beat();
    assert.deepEqual(told(), [state(null)]);
    second.close();
  }
});

test('a tab takes the stream over from one without a Presence, and from no other', async () => {
  const pass = async (ms, act = () => {}) => {
    for (; ms > 0; ms -= 1000) {
      mock.timers.tick(1000);
      act();
      await settled();
    }
  };
  const silent = new Client(true), follower = open(false, true);
  await silent.beat();
  await pass(9_000);
  assert.equal(follower.client.taken, 0);
  follower.client.state = 'connecting'; // nobody has a stream now
  await pass(35_000);
  assert.equal(follower.client.taken, 0);
  follower.client.state = 'live';
  await pass(40_000);
  assert.equal(follower.client.taken, 1);

  const leader = open(true, false); // it answers, and a server that wants no reports has it ask nothing
  await pass(600_000);
  assert.equal(follower.client.taken, 1);
  leader.presence.close(); // a tab without one takes its place
  await pass(40_000);
  assert.equal(follower.client.taken, 2);
  follower.presence.close();
  await pass(600_000);
  assert.equal(follower.client.taken, 2);
});

test('a tab that begins to follow is told of at once, and asked no more when it leads', async () => {
  const leader = open(true, false);
  await leader.client.beat();
  const follower = open(false, true);
  await settled();
  assert.deepEqual(told(), [state(false), state(true)]);
  leader.presence.close();
  follower.client.leads = true;
  follower.client.dispatchEvent(new CustomEvent('state'));
  mock.timers.tick(600_000);
  assert.equal(follower.client.taken, 0);
});

test('tabs of which several seek, and ask, do not answer each other for ever', async () => {
  const leader = open(true, false), followers = [open(false, true), open(false)];
  let messages = 0;
  const post = Channel.prototype.postMessage;
  Channel.prototype.postMessage = function (data) {
    messages++;
    post.call(this, data);
  };
  await leader.client.beat();
  mock.timers.tick(30_000);
  for (let i = 0; i < 20; i++) await settled();
  Channel.prototype.postMessage = post;
  assert.ok(messages > 4 && messages < 20, `${messages} messages`);
  for (const { client } of followers) assert.equal(client.taken, 0);
});
