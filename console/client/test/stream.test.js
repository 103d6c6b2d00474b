// How a stream is requested and read.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

test('the token and the cursor are in headers; each request for the stream has one address', async () => {
  const stage = new Stage({ auth: true }), requests = stage.network.requests = [];
  const tab = stage.open({ name: 'me', topics: ['orders'], token: () => stage.server.token });
  await stage.pass(1);
  for (let i = 0; i < 3; i++) {
    stage.server.publish('orders');
    await stage.pass(1);
    stage.network.drop(1);
    await stage.pass(5);
  }
  const streams = requests.filter(({ url }) => url.includes('/v1/stream'));
  assert.equal(streams.length, 4);
  for (const { headers, cache, redirect } of streams) {
    assert.equal(headers.Authorization, 'Bearer t1');
    assert.deepEqual([cache, redirect], ['no-store', 'manual']);
  }
  for (const { url, headers } of streams) {
    assert.equal(url, 'https://tidings.example/v1/stream?topic=orders&format=cloudevents');
    assert.match(headers['Last-Event-ID'], /^[0-9A-Z]{26}$/);
  }
  assert.equal(tab.of('event').length, 3);
  for (const { url } of requests) assert.doesNotMatch(url, /t1|token/);
});

for (const [i, ends] of ['LF', 'CRLF', 'CR'].entries()) {
  test(`lines that end with ${ends}, cut anywhere`, async () => {
    const stage = new Stage();
    let n = 0;
    stage.network.random = () => n++ === 0 ? i / 3 : n / 100 % 1; // the first draw is the line ends, each other one a cut
    const tab = stage.open();
    await stage.pass(1);
    for (let j = 0; j < 100; j++) stage.server.publish('orders', 'ümläut \u2028 😀 ' + j);
    await stage.pass(10);
    assert.deepEqual(tab.of('event').map(({ data }) => data), Array.from({ length: 100 }, (_, j) => 'ümläut \u2028 😀 ' + j));
  });
}

test('a server that ends streams is asked again when it says', async () => {
  const stage = new Stage(), requests = stage.network.requests = [], tab = stage.open();
  await stage.pass(1);
  stage.server.restart(0, true);
  const streams = () => requests.filter(({ url }) => url.includes('/v1/stream')).length;
  await stage.pass(2); // retry: 2500
  assert.equal(streams(), 1);
  await stage.pass(1);
  assert.deepEqual([streams(), tab.client.state], [2, 'live']);
});

test('where an answer has no readable body it polls', async () => {
  const stage = new Stage();
  stage.network.bodiless = true;
  const tab = stage.open();
  await stage.pass(2);
  stage.server.publish('orders');
  await stage.pass(1);
  assert.deepEqual([tab.client.transport, tab.client.state, tab.of('event').length], ['poll', 'live', 1]);
});

test('a handler that is slow holds the stream back, and is not taken for silence', async () => {
  const stage = new Stage();
  const leader = stage.open({ handled: () => new Promise(done => leader.later(1000, done)) });
  await stage.pass(1);
  for (let i = 0; i < 600; i++) stage.server.publish('orders');
  await stage.pass(200);
  const held = leader.of('event').length;
  assert.ok(held < 500, `${held} events were handed over`);
  await stage.pass(500);
  assert.equal(leader.of('event').length, 600);
  assert.equal(leader.of('state').filter(({ state }) => state === 'connecting').length, 0);
});

test('what is refused while it polls is left alone', async () => {
  const stage = new Stage({ auth: true }), requests = stage.network.requests = [];
  stage.network.bodiless = true;
  const tab = stage.open({ token: stage.server.token });
  await stage.pass(2);
  stage.server.expireToken();
  await stage.pass(60);
  assert.deepEqual([tab.client.transport, tab.client.state], ['poll', 'refused']);
  const asked = requests.length;
  await stage.pass(600);
  assert.equal(requests.length, asked);
});
