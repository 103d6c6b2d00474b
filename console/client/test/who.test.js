// Who a tab reads as: what is shared, what is stored, and what the others learn.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

const topics = tab => tab.of('event').map(({ topic }) => topic);

// stageOf has ann, who may read `salaries`, and ben.
function stageOf() {
  const stage = new Stage({ auth: true });
  stage.server.grant('ann', true);
  stage.as = person => ({ name: 'me', token: () => stage.server.tokenOf(person) });
  stage.signIn = person => { stage.network.cookie = `Bearer ${stage.server.tokenOf(person)}`; };
  return stage;
}

for (const [first, second] of [['ann', 'ben'], ['ben', 'ann']]) {
  test(`${first} leads, ${second} comes: each is given what it may read, all of it`, async () => {
    const stage = stageOf(), tabs = {};
    for (const person of [first, second, first]) {
      tabs[person] = stage.open(stage.as(person));
      await stage.pass(1);
    }
    for (const topic of ['orders', 'salaries', 'orders']) stage.server.publish(topic);
    await stage.pass(1);
    assert.deepEqual(topics(tabs.ann), ['orders', 'salaries', 'orders']);
    assert.deepEqual(topics(tabs.ben), ['orders', 'orders']);
    assert.deepEqual([tabs[first].client.leads, tabs[second].client.leads], [false, true]);
  });
}

test('the same person with another grant shares nothing, and keeps its place', async () => {
  const stage = stageOf(), session = new Map(), tab = stage.open(stage.as('ann'), session);
  await stage.pass(1);
  stage.server.publish('orders');
  await stage.pass(1);
  tab.fire('pagehide');
  tab.die();
  stage.server.publish('orders');
  stage.server.grant('ann', false);
  const later = stage.open(stage.as('ann'));
  await stage.pass(2);
  assert.deepEqual([later.client.who, topics(later)], ['ann.less', ['orders']]);
});

test('another person under a name begins as a new name does, and each comes back to its own place', async () => {
  const stage = stageOf();
  const visit = async person => {
    const tab = stage.open({ ...stage.as(person), since: 'earliest' });
    await stage.pass(2);
    const given = tab.of('event').length;
    tab.fire('pagehide');
    tab.die();
    await stage.pass(1);
    return given;
  };
  stage.server.publish('orders');
  stage.server.publish('orders');
  assert.equal(await visit('ann'), 2);
  stage.server.publish('orders');
  assert.equal(await visit('ben'), 3);
  stage.server.publish('orders');
  assert.equal(await visit('ann'), 2);
  assert.equal(await visit('ben'), 1);
});

test('who signs in in one tab does so in all', async () => {
  const stage = stageOf();
  stage.signIn('ann');
  const tabs = [];
  for (let i = 0; i < 3; i++) {
    tabs.push(stage.open({ name: 'me' }));
    await stage.pass(1);
  }
  stage.signIn('ben');
  tabs[1].client.reconnect();
  await stage.pass(2);
  stage.server.publish('salaries');
  stage.server.publish('orders');
  await stage.pass(1);
  for (const tab of tabs) assert.deepEqual([tab.client.who, tab.client.state, topics(tab)], ['ben.less', 'live', ['orders']]);
  assert.equal(tabs.filter(({ client }) => client.leads).length, 1);
});

test('who signs in on a page that loads does so in all', async () => {
  const stage = stageOf();
  stage.signIn('ann');
  const tab = stage.open({ name: 'me' });
  await stage.pass(1);
  stage.signIn('ben');
  stage.open({ name: 'another' });
  await stage.pass(2);
  assert.deepEqual([tab.client.who, tab.client.state], ['ben.less', 'live']);
});

test('who signs out in one tab does so in all, and back in', async () => {
  const stage = stageOf();
  stage.signIn('ann');
  const tabs = [stage.open({ name: 'me' }), stage.open({ name: 'me' }), stage.open({ shared: true })];
  await stage.pass(2);
  stage.network.cookie = undefined;
  tabs[0].client.reconnect();
  await stage.pass(2);
  assert.deepEqual(tabs.map(({ client }) => client.state), ['refused', 'refused', 'refused']);
  stage.signIn('ann');
  tabs[1].client.reconnect();
  await stage.pass(2);
  assert.deepEqual(tabs.map(({ client }) => client.state), ['live', 'live', 'live']);
  for (const tab of tabs) assert.equal(tab.errors().length, 1);
});

test('a tab that asks with the old session while another one signs in asks again', async () => {
  const stage = stageOf();
  stage.signIn('ann');
  const first = stage.open({ name: 'me' }), second = stage.open({ name: 'me' });
  await stage.pass(2);
  stage.server.expireToken();
  await stage.pass(10);
  assert.deepEqual([first.client.state, second.client.state], ['refused', 'refused']);
  stage.network.delay = () => 2000;
  second.client.reconnect();
  await stage.pass(0.1);
  stage.network.delay = () => 10;
  stage.signIn('ann');
  first.client.reconnect();
  await stage.pass(5);
  assert.deepEqual([first.client.state, second.client.state], ['live', 'live']);
});

test('a tab whose token is refused for good does not keep the others busy', async () => {
  const stage = stageOf(), well = stage.open(stage.as('ann'));
  await stage.pass(2);
  const requests = stage.network.requests = [];
  stage.open({ name: 'me', token: 'wrong' });
  stage.open({ name: 'me', token: 'worse' });
  await stage.pass(120);
  assert.ok(requests.length < 12, `${requests.length} requests`);
  assert.equal(well.client.state, 'live');
});

test('an answer that does not say who changes nothing', async () => {
  const stage = stageOf(), tab = stage.open(stage.as('ann'));
  await stage.pass(1);
  stage.server.who = () => undefined;
  tab.client.reconnect();
  await stage.pass(2);
  assert.deepEqual([tab.client.who, tab.client.state], ['ann.all', 'live']);
});

test('two people without locks who sign in anew at once do not keep each other busy', async () => {
  const stage = stageOf();
  const tabs = ['ann', 'ben'].map(person => stage.open(stage.as(person), new Map(), { refusesLocks: true }));
  await stage.pass(20);
  const requests = stage.network.requests = [];
  for (const { client } of tabs) client.reconnect();
  await stage.pass(120);
  assert.ok(requests.length < 12, `${requests.length} requests`);
  assert.deepEqual(tabs.map(({ client }) => client.state), ['live', 'live']);
});

test('a poll that waits ends with its token, and nothing passes by that only the new one may read', async () => {
  const stage = stageOf();
  stage.network.become('buffer');
  const tab = stage.open(stage.as('ben'));
  await stage.pass(40);
  assert.deepEqual([tab.client.state, tab.client.transport], ['live', 'poll']);
  stage.server.grant('ben', true);
  stage.server.publish('salaries');
  await stage.pass(60);
  assert.deepEqual([tab.client.who, topics(tab)], ['ben.all', ['salaries']]);
});
