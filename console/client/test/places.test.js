// Where a closed page starts again: what is stored, for which topics, and how an earlier release stored it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

const KEY = 'tidings https://tidings.example me';

// visit opens a page for a while, and returns what it got: the topics, and the gaps.
async function visit(stage, options, seconds = 2) {
  const tab = stage.open({ name: 'me', ...options });
  await stage.pass(seconds);
  tab.fire('pagehide');
  tab.die();
  await stage.pass(1);
  return [...tab.of('event').map(({ topic }) => topic), ...tab.of('gap').map(({ reason }) => reason)];
}

const publish = (stage, ...topics) => topics.forEach(topic => stage.server.publish(topic));

test('two sets of topics under one name have a place each', async () => {
  const stage = new Stage();
  await visit(stage, { topics: ['orders'] });
  await visit(stage, { topics: ['tickets'] });
  publish(stage, 'tickets', 'orders', 'tickets');
  assert.deepEqual(await visit(stage, { topics: ['orders'] }), ['orders']);
  assert.deepEqual(await visit(stage, { topics: ['tickets'] }), ['tickets', 'tickets']);
  assert.deepEqual(await visit(stage, { topics: ['tickets'] }), []);
});

test('a topic that is added begins at the oldest place', async () => {
  const stage = new Stage();
  await visit(stage, { topics: ['orders'] });
  publish(stage, 'orders', 'tickets');
  assert.deepEqual(await visit(stage, { topics: ['tickets', 'orders'] }), ['orders', 'tickets']);
  assert.deepEqual(await visit(stage, { topics: ['orders', 'tickets'] }), []);
});

test('topics that were read as a part of others are not read again', async () => {
  const stage = new Stage();
  await visit(stage, { topics: ['orders'] });
  for (const topics of [['orders', 'tickets'], []]) {
    publish(stage, 'orders', 'tickets');
    assert.deepEqual(await visit(stage, { topics }), ['orders', 'tickets']);
    assert.deepEqual(await visit(stage, { topics: ['orders'] }), []);
  }
});

test('topics that were left out for a while are read from where they were left', async () => {
  const stage = new Stage();
  await visit(stage, { topics: ['orders'] });
  const tab = stage.open({ name: 'me', topics: ['tickets'], after: stage.server.log.head });
  await stage.pass(2);
  publish(stage, 'orders');
  await stage.pass(20); // a heartbeat advances the cursor
  tab.client.setTopics(['orders', 'tickets']);
  publish(stage, 'orders');
  await stage.pass(2);
  tab.client.close();
  assert.deepEqual(await visit(stage, { topics: ['orders'] }), ['orders', 'orders']);
});

test('a tab that is loaded with other topics begins where it was, not where others are', async () => {
  const stage = new Stage(), session = new Map(), tab = stage.open({ name: 'me', topics: ['orders'] }, session);
  await stage.pass(2);
  tab.die();
  publish(stage, 'orders');
  await visit(stage, { topics: [] });
  const again = stage.open({ name: 'me', topics: [] }, session);
  await stage.pass(2);
  assert.deepEqual(again.of('event').map(({ topic }) => topic), ['orders']);
});

test('the place that an earlier release stored is taken over, once', async () => {
  for (const [options, key] of [[{}, KEY], [{ auth: true }, `${KEY} ann`]]) {
    const stage = new Stage(options), token = () => stage.server.tokenOf('ann');
    publish(stage, 'orders');
    stage.local.set(KEY, stage.server.log.head);
    publish(stage, 'orders');
    assert.deepEqual(await visit(stage, { token }), ['orders']);
    const { head, id } = stage.server.log;
    assert.deepEqual(JSON.parse(stage.local.get(key)), { log: id, sets: { '': head } });
    if (options.auth) {
      assert.equal(stage.local.has(KEY), false);
      assert.deepEqual(await visit(stage, { token: () => stage.server.tokenOf('ben'), since: 'earliest' }), ['orders', 'orders']);
    }
  }
});

test('who has a place goes on there, though somebody without a person was here since', async () => {
  const stage = new Stage({ auth: true }), of = person => ({ token: () => stage.server.tokenOf(person) });
  await visit(stage, of('ann'));
  publish(stage, 'orders', 'tickets');
  for (const person of ['', 'ann']) assert.deepEqual(await visit(stage, of(person)), ['orders', 'tickets']);
  assert.deepEqual(await visit(stage, of('ann')), []);
});

test('a log that was restored is told, for all topics', async () => {
  const stage = new Stage();
  publish(stage, 'orders');
  stage.server.backup();
  await visit(stage, { topics: ['orders'] });
  publish(stage, 'orders', 'tickets');
  for (const topics of [['orders'], ['tickets']]) await visit(stage, { topics });
  stage.server.restore();
  await stage.pass(1);
  publish(stage, 'orders', 'tickets');
  assert.deepEqual(await visit(stage, { topics: ['orders'] }, 5), ['orders', 'unknown']);
  assert.deepEqual(await visit(stage, { topics: ['tickets'] }, 5), ['tickets', 'unknown']);
  assert.equal(JSON.parse(stage.local.get(KEY)).log, 'log1');
});

test('places do not pile up, and the oldest is among those that are kept', async () => {
  const stage = new Stage();
  await visit(stage, { topics: ['first'] });
  for (let i = 0; i < 60; i++) {
    publish(stage, 'orders');
    await visit(stage, { topics: [`t${i}`] });
  }
  const { sets } = JSON.parse(stage.local.get(KEY)), first = Object.values(sets).sort()[0];
  assert.ok(Object.keys(sets).length <= 51);
  assert.equal(sets.first, first);
  assert.equal(sets.t59, stage.server.log.head);
});

test('what is stored and means nothing is as if it were not there', async () => {
  const stage = new Stage();
  publish(stage, 'orders');
  for (const text of ['', '{}', 'null', '{"sets":{}}']) {
    stage.local.set(KEY, text);
    assert.deepEqual(await visit(stage, { topics: ['orders'] }), []);
  }
});
