// What the token function may do.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

for (const nothing of [undefined, null, '']) {
  test(`a token function that returns ${JSON.stringify(nothing)} says that there is no token`, async () => {
    const open = new Stage(), requests = open.network.requests = [], tab = open.open({ token: () => nothing });
    await open.pass(1);
    assert.equal(tab.client.state, 'live');
    assert.ok(requests.length > 0 && requests.every(({ headers }) => !('Authorization' in headers)));

    const guarded = new Stage({ auth: true });
    let calls = 0;
    const refused = guarded.open({ token: () => { calls++; return nothing; } });
    await guarded.pass(60);
    assert.equal(refused.client.state, 'connecting');
    assert.equal(refused.of('error')[0].status, 401);
    assert.ok(calls >= 3 && calls <= 8, `${calls} calls in a minute`);
  });
}

test('a token of a session that is over is not used', async () => {
  const stage = new Stage({ auth: true });
  let user = 'old';
  const tab = stage.open({ token: () => {
    const token = user === 'old' ? 'old' : stage.server.token;
    return new Promise(done => tab.later(user === 'old' ? 1500 : 10, () => done(token)));
  } });
  await stage.pass(0.5);
  user = 'new';
  tab.client.reconnect();
  await stage.pass(3);
  stage.network.drop(1);
  tab.fire('online');
  await stage.pass(3);
  assert.equal(tab.client.state, 'live');
  assert.deepEqual(tab.errors(), []);
});

test('a token function that does not answer is told and asked again, one call at a time', async () => {
  const stage = new Stage({ auth: true });
  let calls = 0, hangs = true;
  const tab = stage.open({ token: () => { calls++; return hangs ? new Promise(() => {}) : stage.server.token; } });
  await stage.pass(1);
  for (let i = 0; i < 3; i++) {
    tab.fire('online');
    tab.show(true);
    await stage.pass(1);
  }
  assert.equal(calls, 1);
  await stage.pass(9);
  assert.match(tab.errors()[0], /took longer than 10 s/);
  hangs = false;
  await stage.pass(30);
  assert.equal(tab.client.state, 'live');
  assert.equal(calls, 3);
});

test('a token function that throws is told and asked again, after pauses', async () => {
  const stage = new Stage({ auth: true });
  let calls = 0;
  const tab = stage.open({ token() { calls++; throw new Error('signed out'); } });
  await stage.pass(60);
  assert.deepEqual(new Set(tab.errors()), new Set(['signed out']));
  assert.equal(tab.errors().length, calls);
  assert.ok(calls >= 3 && calls <= 8, `${calls} calls in a minute`);
});

for (const [name, token] of [['an object', { token: 't1' }], ['a page', '<!doctype html>\n']]) {
  test(`${name} is no token, and is told`, async () => {
    const stage = new Stage({ auth: true }), tab = stage.open({ token: async () => token });
    await stage.pass(1);
    assert.match(tab.errors()[0], /expected a bearer token/);
  });
}

test('a token that ends as soon as it is used is renewed after pauses', async () => {
  const stage = new Stage({ auth: true });
  let calls = 0;
  const tab = stage.open({ token() { calls++; return stage.server.token; } });
  for (let i = 0; i < 1000; i++) {
    await stage.pass(0.02);
    if (tab.client.state !== 'connecting') stage.server.expireToken();
  }
  assert.ok(tab.of('bye').length > 3, 'the test shows nothing');
  assert.ok(calls <= 45, `${calls} calls in 20 s`);
});

test('a beat bears the token that the stream was asked for with, though each call gets another', async () => {
  const stage = new Stage({ auth: true }), requests = stage.network.requests = [], beats = [];
  let calls = 0;
  const tab = stage.open({ shared: false, token: () => `${++calls}.${stage.server.token}` });
  tab.client.addEventListener('beat', ({ detail }) => beats.push(detail.token));
  const asked = () => requests.findLast(({ url }) => url.includes('/v1/stream')).headers.Authorization.slice('Bearer '.length);
  await stage.pass(60);
  assert.equal(calls, 1);
  assert.deepEqual([...new Set(beats.splice(0))], [asked()]);
  stage.server.expireToken();
  await stage.pass(60);
  assert.ok(calls > 1 && beats.length > 3);
  assert.equal(beats.at(-1), asked());
});
