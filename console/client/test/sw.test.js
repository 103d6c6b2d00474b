// The service worker, with mock browser globals: what it shows, and what a click opens.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';

const source = readFileSync(new URL('../sw.js', import.meta.url), 'utf8');

// worker runs sw.js. dispatch(type, event) waits for the worker's waitUntil promises.
function worker(windows = []) {
  const listeners = {}, did = [];
  const global = {
    URL,
    location: new URL('https://shop.example.com/app/sw.js'),
    addEventListener: (type, listener) => { listeners[type] = listener; },
    skipWaiting: () => did.push('skipWaiting'),
    navigator: { setAppBadge: async n => did.push(`badge ${n}`) },
    registration: {
      showNotification: async (title, options) => did.push({ title, ...options }),
    },
    clients: {
      matchAll: async ({ type, includeUncontrolled }) => {
        assert.deepEqual([type, includeUncontrolled], ['window', true]);
        return windows.map(url => ({ url, focus: async () => did.push(`focus ${url}`) }));
      },
      openWindow: async url => did.push(`open ${url}`),
    },
  };
  vm.runInNewContext(source, global);
  return {
    did, listeners,
    async dispatch(type, event) {
      let done;
      listeners[type]({ ...event, waitUntil: promise => { done = promise; } });
      await done;
      return JSON.parse(JSON.stringify(did.splice(0)));
    },
  };
}

const data = value => ({ data: { json: () => JSON.parse(value) } });
const message = { web_push: 8030, app_badge: 3, notification: { title: 'Orders', body: 'two', tag: 'tidings', navigate: 'https://shop.example.com/orders#new', data: { id: '01' } } };

test('a declarative message is shown, with its badge', async () => {
  const w = worker();
  assert.deepEqual(await w.dispatch('push', data(JSON.stringify(message))), [
    'badge 3', { title: 'Orders', body: 'two', tag: 'tidings', data: { id: '01', navigate: 'https://shop.example.com/orders#new' } },
  ]);
});

test('a click opens pages of its own origin alone', async () => {
  const text = JSON.stringify(message).replace('shop.example.com', 'elsewhere.example.com');
  const [, shown] = await worker().dispatch('push', data(text));
  assert.equal(shown.data.navigate, 'https://shop.example.com/app/');
});

test('something is shown for any other message, for a browser wants that', async () => {
  for (const value of ['', '{}', 'null', '[1]', '{"web_push":1,"notification":{"title":"no"}}']) {
    const [shown] = await worker().dispatch('push', data(value));
    assert.deepEqual([shown.title, shown.data.navigate], ['Tidings', 'https://shop.example.com/app/']);
  }
  assert.equal((await worker().dispatch('push', { data: null }))[0].title, 'Tidings');
});

test('a click brings the page into view, else opens it', async () => {
  const page = 'https://shop.example.com/orders';
  for (const [windows, want] of [
    [[], `open ${page}#new`],
    [['https://shop.example.com/other', 'https://other.example.com/orders#new'], `open ${page}#new`],
    [['https://shop.example.com/other', `${page}#old`], `focus ${page}#old`],
    [[`${page}#old`, `${page}#new`], `focus ${page}#new`],
  ]) {
    let closed = false;
    const notification = { data: { navigate: `${page}#new` }, close: () => { closed = true; } };
    assert.deepEqual(await worker(windows).dispatch('notificationclick', { notification }), [want]);
    assert.ok(closed);
  }
});

test('it answers no requests of pages', () => {
  assert.deepEqual(Object.keys(worker().listeners).sort(), ['install', 'notificationclick', 'push']);
});
