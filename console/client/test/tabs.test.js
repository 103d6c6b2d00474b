// Tabs that are put away, whose locks never respond, or that cannot send each other an event.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

const AWAY = { pagehide: tab => tab.fire('pagehide'), freeze: tab => tab.tell('freeze') };
const BACK = {
  'is visible': tab => tab.show(true),
  'is online': tab => tab.fire('online'),
  'has the focus': tab => tab.fire('focus'),
  'is to reconnect': tab => tab.client.reconnect(),
};

for (const [away, put] of Object.entries(AWAY)) {
  for (const [back, bring] of Object.entries(BACK)) {
    test(`after ${away} a tab that ${back} is back, though nobody said so`, async () => {
      const stage = new Stage(), tab = stage.open({ name: 'me' });
      await stage.pass(1);
      put(tab);
      tab.show(false);
      await stage.pass(60);
      stage.server.publish('orders');
      await stage.pass(1);
      assert.equal(tab.of('event').length, 0);
      bring(tab);
      await stage.pass(2);
      assert.deepEqual([tab.client.state, tab.of('event').length], ['live', 1]);
    });
  }
}

test('a closed client stays closed', async () => {
  const stage = new Stage(), tab = stage.open();
  await stage.pass(1);
  tab.client.close();
  for (const bring of Object.values(BACK)) bring(tab);
  await stage.pass(2);
  assert.equal(tab.client.state, 'closed');
});

for (const [way, bodiless] of [['a page', false], ['a poll', true]]) {
  test(`a client that is closed once it has an event of ${way} does nothing more`, async () => {
    const stage = new Stage(), other = stage.open();
    await stage.pass(1);
    stage.server.publish('orders');
    stage.network.bodiless = bodiless;
    const tab = stage.open({ since: 'earliest', shared: !bodiless });
    tab.client.addEventListener('event', async () => {
      await null;
      tab.client.close();
    });
    await stage.pass(1);
    stage.server.publish('orders');
    await stage.pass(400);
    assert.deepEqual([tab.client.state, tab.client.group, tab.of('event').length], ['closed', undefined, 1]);
    assert.equal(other.of('event').length, 2);
  });
}

test('a client that is closed as it begins to poll tries no stream again', async () => {
  const stage = new Stage();
  stage.network.bodiless = true;
  const tab = stage.open({ shared: false });
  tab.client.addEventListener('state', ({ detail }) => detail.transport === 'poll' && tab.client.close());
  await stage.pass(1);
  stage.network.requests = [];
  await stage.pass(400);
  assert.deepEqual([tab.client.state, stage.network.requests], ['closed', []]);
});

test('a tab whose locks never answer goes on alone', async () => {
  const stage = new Stage(), tab = stage.open({ name: 'me' }, new Map(), { ignoresLocks: true });
  await stage.pass(16);
  stage.server.publish('orders');
  await stage.pass(1);
  assert.deepEqual([tab.client.state, tab.of('event').length], ['live', 1]);
  assert.deepEqual(tab.errors(), []);
});

test('what cannot be copied to another tab is read there at once', async () => {
  const stage = new Stage(), leader = stage.open({ name: 'me' });
  await stage.pass(1);
  const follower = stage.open({ name: 'me' });
  await stage.pass(1);
  stage.server.publish('orders', 'deep');
  await stage.pass(1);
  assert.equal(follower.of('event').length, 1);
  stage.server.publish('orders');
  await stage.pass(1);
  const ids = stage.server.log.events.map(({ id }) => id);
  for (const tab of [leader, follower]) assert.deepEqual(tab.of('event').map(({ id }) => id), ids);
});

test('a gap that the leader was told before a tab joined it is told there too', async () => {
  const stage = new Stage(), leader = stage.open({ name: 'me' });
  await stage.pass(1);
  stage.server.publish('orders');
  await stage.pass(1);
  stage.network.delay = () => 4000; // for the page of the next tab
  const follower = stage.open({ name: 'me' });
  await stage.pass(4.1);
  stage.network.delay = () => 10;
  stage.server.restart(0, false);
  stage.server.publish('orders');
  stage.server.trim(0);
  await stage.pass(6);
  stage.server.publish('orders');
  await stage.pass(1);
  for (const tab of [leader, follower]) assert.deepEqual(tab.of('gap').map(({ reason }) => reason), ['expired']);
});

test('a message of another release takes nothing away', async () => {
  const stage = new Stage(), leader = stage.open({ name: 'me' });
  await stage.pass(1);
  const follower = stage.open({ name: 'me' });
  await stage.pass(1);
  leader.freeze(false);
  stage.channels.say(follower, { at: follower.client.cursor, after: follower.client.cursor }); // no state, no heartbeat
  await stage.pass(60);
  assert.deepEqual([follower.client.leads, follower.client.state], [true, 'live']);
});

const LEADERS = {
  'is refused': { token: 'old' },
  'cannot get a token any more': { token: () => { throw new Error('the session is over'); } },
  'has a token function that never answers': { token: () => new Promise(() => {}) },
};

for (const [what, options] of Object.entries(LEADERS)) {
  for (const first of ['sick', 'well']) {
    test(`a leader that ${what} gives way to a tab that is served; the ${first} one comes first`, async () => {
      const stage = new Stage({ auth: true });
      const open = { sick: () => stage.open({ name: 'me', ...options }), well: () => stage.open({ name: 'me', token: stage.server.token }) };
      const tabs = { [first]: open[first]() };
      await stage.pass(1);
      const second = first === 'sick' ? 'well' : 'sick';
      tabs[second] = open[second]();
      await stage.pass(1);
      if (first === 'well') tabs.sick.client.reconnect(); // which takes the lead
      await stage.pass(100);
      stage.server.publish('orders');
      await stage.pass(1);
      assert.deepEqual([tabs.well.client.state, tabs.well.client.leads, tabs.well.of('event').length], ['live', true, 1]);
      assert.deepEqual(tabs.well.errors(), []);
      assert.ok(tabs.sick.errors().length > 0);
      if (what === 'is refused') assert.equal(tabs.sick.client.state, 'refused');
    });
  }
}

test('two tabs that are refused leave each other alone', async () => {
  const stage = new Stage({ auth: true });
  const tabs = [stage.open({ token: 'a' }), stage.open({ token: 'b' })];
  await stage.pass(1);
  const before = tabs.map(tab => tab.errors().length);
  await stage.pass(300);
  assert.deepEqual(tabs.map(tab => tab.client.state), ['refused', 'refused']);
  assert.deepEqual(tabs.map(tab => tab.errors().length), before);
});
