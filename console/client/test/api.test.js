// What a page needs of the client: changing topics, slow handlers, the first time that it is live.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

test('an event whose handler has not finished comes again after a reload', async () => {
  const stage = new Stage(), session = new Map(), begun = [], finish = [];
  const handled = event => { begun.push(event.id); return new Promise(done => finish.push(done)); };
  const first = stage.open({ name: 'me', handled }, session);
  await stage.pass(1);
  for (let i = 0; i < 3; i++) stage.server.publish('orders');
  await stage.pass(1);
  const ids = first.of('event').map(({ id }) => id);
  assert.deepEqual(begun, [ids[0]], 'one at a time');
  finish[0]();
  await stage.pass(20); // heartbeats, which advance the cursor, have arrived
  assert.deepEqual(begun, ids.slice(0, 2));
  first.fire('pagehide');
  first.die();
  const second = stage.open({ name: 'me', handled }, session);
  await stage.pass(1);
  assert.deepEqual(second.of('event').map(({ id }) => id), ids.slice(1));
});

test('a handler that fails is told, and called again before the next', async () => {
  const stage = new Stage(), calls = [];
  let fails = 2;
  const tab = stage.open({ name: 'me', async handled({ id }) { calls.push(id); if (fails-- > 0) throw new Error('not now'); } });
  await stage.pass(1);
  stage.server.publish('orders');
  stage.server.publish('orders');
  await stage.pass(20);
  const [a, b] = tab.of('event').map(({ id }) => id);
  assert.deepEqual(calls, [a, a, a, b]);
  assert.deepEqual(tab.errors(), ['not now', 'not now']);
});

test('a handler that always fails is called again after pauses', async () => {
  const stage = new Stage();
  let calls = 0;
  stage.open({ handled() { if (++calls < 1000) throw new Error('never'); } });
  await stage.pass(1);
  stage.server.publish('orders');
  await stage.pass(60);
  assert.ok(calls >= 4 && calls <= 10, `${calls} calls in a minute`);
});

test('topics change in place', async () => {
  const stage = new Stage(), a = stage.open({ name: 'me', topics: ['orders'] });
  await stage.pass(1);
  const b = stage.open({ name: 'me', topics: ['tickets'] });
  await stage.pass(1);
  a.client.setTopics(['tickets']);
  await stage.pass(1);
  stage.server.publish('orders');
  stage.server.publish('tickets');
  await stage.pass(1);
  for (const tab of [a, b]) assert.deepEqual(tab.of('event').map(({ topic }) => topic), ['tickets']);
  assert.deepEqual([a.client.leads, b.client.leads], [false, true]);
  assert.throws(() => a.client.setTopics('orders'), /expected an array of topics/);
});

test('topics change while the tab is away, and it stays away', async () => {
  const stage = new Stage(), tab = stage.open({ topics: ['orders'] });
  await stage.pass(1);
  tab.fire('pagehide');
  tab.client.setTopics(['tickets']);
  await stage.pass(1);
  assert.equal(stage.network.streamsOf(tab), 0);
  tab.fire('pageshow');
  await stage.pass(1);
  stage.server.publish('tickets');
  await stage.pass(1);
  assert.deepEqual(tab.of('event').map(({ topic }) => topic), ['tickets']);
});

test('ready is when it is live, and fails when it is refused or closed', async () => {
  const stage = new Stage({ auth: true });
  const outcome = client => client.ready.then(() => 'ready', error => error.status ?? error.name);
  const good = stage.open({ token: stage.server.token }), bad = stage.open({ token: 'wrong' }), gone = stage.open({ token: 'wrong' });
  const outcomes = [good, bad, gone].map(({ client }) => outcome(client));
  gone.client.close();
  await stage.pass(2);
  assert.deepEqual(await Promise.all(outcomes), ['ready', 401, 'AbortError']);
});

test('after and a name: it begins there, and is stored from there on', async () => {
  const stage = new Stage();
  for (let i = 0; i < 3; i++) stage.server.publish('orders');
  const [x1, x2, x3] = stage.server.log.events.map(({ id }) => id);
  const tab = stage.open({ name: 'me', after: x1 });
  assert.equal(tab.client.persistent, true);
  await stage.pass(1);
  assert.deepEqual(tab.of('event').map(({ id }) => id), [x2, x3]);
  tab.client.close();
  stage.server.publish('orders');
  const next = stage.open({ name: 'me' });
  await stage.pass(1);
  assert.deepEqual(next.of('event').map(({ id }) => id), [stage.server.log.head]);
});
