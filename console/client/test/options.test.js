// Invalid options are reported at once, with what was expected. undefined counts as absent.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Stage } from './stage.js';
import { compile, Tab } from './tab.js';

const SERVER = 'https://tidings.example/';

const WRONG = [
  [{ topics: 'orders' }, /topics: expected an array of topics or patterns, such as \['orders'\], but got string/],
  [{ topics: ['orders', ''] }, /topics: .* but got object/],
  [{ topics: [7] }, /topics: .* but got object/],
  [{ topics: null }, /topics: .* but got object/],
  [{ topic: ['orders'] }, /there is no option topic, only url,topics,name/],
  [{ toString: 1 }, /there is no option toString/],
  [{ url: '' }, /url: expected the server's address, but got empty text/],
  [{ url: '/?key=1' }, /url: expected .* but got \?key=1/],
  [{ url: `${SERVER}#part` }, /url: expected .* but got #part/],
  [{ url: 'https://me:secret@tidings.example' }, /url: expected .* but got a user$/],
  [{ url: 'localhost:8080' }, /url: expected .* but got localhost:/],
  [{ url: 'https://' }, /url: expected .* but got https:\/\/$/],
  [{ name: 7 }, /name: expected some text, but got number/],
  [{ name: '' }, /name: .* but got empty text/],
  [{ after: 'yesterday' }, /after: expected the ID of an event.* but got string/],
  [{ since: 15 }, /since: .* but got number/],
  [{ last: -1 }, /last: expected a whole number/],
  [{ last: '50' }, /last: .* but got string/],
  [{ last: NaN }, /last: .* but got number/],
  [{ token: { secret: 1 } }, /token: expected a token, or a function that returns one, but got object/],
  [{ handled: 'later' }, /handled: expected a function/],
  [{ shared: 'no' }, /shared: expected true or false/],
  [{ withCredentials: 1 }, /withCredentials: expected true or false/],
];

for (const [options, message] of WRONG) {
  test(`${JSON.stringify(options)} is refused`, () => {
    const stage = new Stage();
    assert.throws(() => stage.open(options), error => error.name === 'TypeError' && message.test(error.message) || assert.match(error.message, message));
    assert.equal(stage.clock.now, 0);
  });
}

test('undefined is absent', async () => {
  const stage = new Stage(), names = ['url', 'topics', 'name', 'after', 'since', 'last', 'token', 'handled', 'shared', 'withCredentials'];
  const tab = stage.open(Object.fromEntries(names.map(name => [name, undefined])));
  await stage.pass(1);
  assert.equal(tab.client.state, 'live');
});

test('what the page does with its list of topics afterwards changes nothing', async () => {
  const stage = new Stage(), requests = stage.network.requests = [], topics = ['orders'];
  stage.open({ topics });
  topics.push('tickets');
  await stage.pass(1);
  assert.ok(requests.length > 0);
  for (const { url } of requests) assert.deepEqual(new URL(url).searchParams.getAll('topic'), ['orders']);
});

for (const [withCredentials, credentials] of [[undefined, 'same-origin'], [false, 'same-origin'], [true, 'include']]) {
  test(`with credentials: ${withCredentials}`, async () => {
    const stage = new Stage(), requests = stage.network.requests = [];
    stage.open({ withCredentials });
    await stage.pass(1);
    assert.deepEqual([...new Set(requests.map(request => request.credentials))], [credentials]);
  });
}

for (const url of [SERVER, 'https://tidings.example', new URL(SERVER), '.', '/', 'https://tidings.example//', `${SERVER}?`]) {
  test(`${url} is the server`, async () => {
    const stage = new Stage(), tab = stage.open({ url });
    await stage.pass(1);
    assert.equal(tab.client.state, 'live');
  });
}

test('what the browser lacks is told when a client is made', () => {
  const stage = new Stage(), tab = new Tab(stage, { session: new Map(), storage: 'ok' });
  const Tidings = tab.load(compile(readFileSync(new URL('../tidings.js', import.meta.url), 'utf8')));
  tab.without('fetch');
  assert.throws(() => new Tidings(), /Tidings needs fetch/);
});

test('on a server of pages it is imported, and says that it needs an address', async () => {
  const { Tidings } = await import('../tidings.js');
  assert.throws(() => new Tidings(), /url: expected http\(s\).* but got file:/);
  assert.throws(() => new Tidings({ url: '/tidings' }), /url: expected http\(s\).* but got \/tidings$/);
});

test('one file below 30,000 bytes is the whole client', () => {
  const source = readFileSync(new URL('../tidings.js', import.meta.url));
  assert.ok(source.length < 30_000, `${source.length} bytes`);
  assert.doesNotMatch(String(source), /^import\b|\bimport\(/m);
});
