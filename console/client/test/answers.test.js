// Responses that are not the server's are temporary.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

const ANSWERS = {
  'a page in place of the stream': { status: 200, type: 'text/html; charset=utf-8' },
  'a 404 of a proxy': { status: 404, type: 'text/plain' },
  'a 403 of a proxy': { status: 403, type: 'text/html' },
  'a 401 of a proxy': { status: 401, type: 'text/html' },
  'a 502 of a proxy': { status: 502, type: 'text/html' },
  'a problem of somebody else': { status: 404, type: 'application/problem+json', body: { title: 'Not Found' } },
  'a problem that is null': { status: 404, type: 'application/problem+json', body: null },
  'a redirect to a sign-in page': { status: 302, type: '', got: 'a redirect' },
  'JSON of somebody else': { status: 200, type: 'application/json', body: {} },
};

for (const [name, answer] of Object.entries(ANSWERS)) {
  test(`${name} is told once, and passes`, async () => {
    const stage = new Stage();
    const leader = stage.open({ name: 'me' });
    await stage.pass(1);
    const follower = stage.open({ name: 'me' });
    await stage.pass(1);
    for (let outage = 1; outage <= 2; outage++) {
      stage.network.answer = answer;
      stage.network.drop(1);
      leader.fire('online');
      follower.fire('online');
      await stage.pass(120);
      for (const tab of [leader, follower]) {
        assert.equal(tab.client.state, 'connecting');
        assert.equal(tab.errors().length, outage);
        assert.match(tab.errors()[0], /^https:\/\/tidings\.example\/v1\/\w+ answered .* instead of an? .*: is this the server's address/);
        assert.ok(tab.errors()[0].includes(answer.got ?? `${answer.type.split(';')[0]} (HTTP ${answer.status})`), tab.errors()[0]);
        assert.equal(tab.of('error')[0].status, undefined);
      }
      stage.network.answer = undefined;
      stage.server.publish('orders');
      await stage.pass(60);
      for (const tab of [leader, follower]) {
        assert.equal(tab.client.state, 'live');
        assert.equal(tab.of('event').length, outage);
      }
    }
  });
}

test('a problem whose body does not arrive says nothing', async () => {
  const stage = new Stage(), tab = stage.open({});
  await stage.pass(1);
  stage.network.answer = { status: 401, type: 'application/problem+json', cut: true };
  stage.network.drop(1);
  tab.fire('online');
  await stage.pass(120);
  assert.equal(tab.client.state, 'connecting');
  assert.deepEqual(tab.errors(), []);
  stage.network.answer = undefined;
  await stage.pass(60);
  assert.equal(tab.client.state, 'live');
});

test('a problem of the server is a refusal', async () => {
  const stage = new Stage({ auth: true }), tab = stage.open({ token: 'wrong' });
  await stage.pass(60);
  assert.equal(tab.client.state, 'refused');
  assert.deepEqual(tab.of('error').map(({ name, status, code }) => [name, status, code]), [['ProblemError', 401, 'token-invalid']]);
});

test('streams whose rest stands in a buffer are given up for polling', async () => {
  const stage = new Stage(), tab = stage.open({});
  stage.network.passes = 2; // up to the state live
  await stage.pass(1);
  assert.equal(tab.client.transport, 'stream');
  await stage.pass(90); // two streams fall silent
  assert.deepEqual([tab.client.transport, tab.client.state], ['poll', 'live']);
  stage.server.publish('orders');
  await stage.pass(1);
  assert.equal(tab.of('event').length, 1);
  await stage.pass(300 + 45); // a stream is retried, and falls silent, too
  assert.deepEqual([tab.client.transport, tab.client.state], ['poll', 'live']);
  stage.network.passes = Infinity;
  await stage.pass(330);
  assert.deepEqual([tab.client.transport, tab.client.state], ['stream', 'live']);
});

test('connections that die after heartbeats that came in time are opened again', async () => {
  const stage = new Stage(), tab = stage.open({});
  stage.network.passes = 3;
  await stage.pass(300);
  assert.equal(tab.of('state').filter(({ state }) => state === 'live').length, 6);
  assert.equal(tab.client.transport, 'stream');
});
