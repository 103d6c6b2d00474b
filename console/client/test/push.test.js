// push.js, with mock browser globals: what it requests from the browser and the server.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { push, pushState, readPushes, stopPush } from '../push.js';

const KEY = 'BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4';
const bytes = text => Uint8Array.from(Buffer.from(text, 'base64url'));
const at = { url: 'https://events.example.com/in', worker: '/sw.js', topics: ['orders.>'], readMark: 'inbox' };
let did, answers, subscribed, permission, shown;

beforeEach(() => {
  did = [];
  subscribed = null;
  permission = 'granted';
  shown = [];
  answers = { 'GET /in/v1/push': [200, { public_key: KEY }], 'POST /in/v1/devices': [201, { id: 'd1' }], 'DELETE /in/v1/devices/d1': [204] };
  const kept = new Map();
  const subscription = key => ({
    options: { applicationServerKey: key.buffer }, toJSON: () => ({ endpoint: 'https://push.example.com/1', keys: {} }),
    unsubscribe: async () => { did.push('unsubscribe'); subscribed = null; return true; },
  });
  const registration = {
    active: {}, getNotifications: async () => shown,
    pushManager: {
      getSubscription: async () => subscribed,
      subscribe: async ({ userVisibleOnly, applicationServerKey }) => {
        assert.ok(userVisibleOnly);
        did.push('subscribe');
        return subscribed = subscription(applicationServerKey);
      },
    },
  };
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define('location', new URL('https://shop.example.com/orders?x=1'));
  define('navigator', {
    clearAppBadge: async () => did.push('badge'),
    serviceWorker: {
      getRegistration: async () => registration,
      register: async (url, { scope }) => { did.push(`register ${url} for ${scope}`); return registration; },
    },
  });
  define('PushManager', class {});
  define('Notification', { get permission() { return permission; }, requestPermission: async () => permission });
  define('localStorage', { getItem: k => kept.get(k) ?? null, setItem: (k, v) => kept.set(k, v), removeItem: k => kept.delete(k) });
  define('fetch', async (url, { method, body, headers }) => {
    const request = `${method} ${new URL(url).pathname}`, [status, said] = answers[request];
    did.push(request, ...body ? [JSON.parse(body)] : [], ...headers.Authorization ? [headers.Authorization] : []);
    return { ok: status < 300, status, headers: new Headers(said && { 'Content-Type': status < 300 ? 'application/json' : 'application/problem+json' }), json: async () => said };
  });
});

test('the first call registers the worker, subscribes and registers the device; the next one renews it', async () => {
  assert.equal(await pushState(at), 'off');
  assert.equal((await push({ ...at, token: async () => 'secret' })).id, 'd1');
  assert.equal(await pushState(at), 'on');
  const device = { subscription: { endpoint: 'https://push.example.com/1', keys: {} }, topics: ['orders.>'], read_mark: 'inbox', page: 'https://shop.example.com/orders?x=1' };
  assert.deepEqual(did, ['GET /in/v1/push', 'Bearer secret', 'register https://shop.example.com/sw.js for https://shop.example.com/tidings/', 'subscribe', 'POST /in/v1/devices', device, 'Bearer secret']);
  did = [];
  await push(at);
  assert.ok(!did.includes('subscribe') && did.includes('POST /in/v1/devices'));
});

test('another key of the server is subscribed to anew', async () => {
  await push(at);
  answers['GET /in/v1/push'] = [200, { public_key: Buffer.from(bytes(KEY).fill(7)).toString('base64url') }];
  did = [];
  await push(at);
  assert.deepEqual(did.filter(what => /subscribe/.test(what)), ['unsubscribe', 'subscribe']);
});

test('what the person, the browser or the server refuses is an error that says so', async () => {
  answers['POST /in/v1/devices'] = [403, { code: 'topic-forbidden', detail: 'the token does not grant reading orders.>' }];
  await assert.rejects(push(at), { name: 'PushError', status: 403, code: 'topic-forbidden', message: 'the token does not grant reading orders.>' });
  answers['GET /in/v1/push'] = [502];
  await assert.rejects(push(at), { name: 'PushError', status: 502, message: 'HTTP 502' });
  permission = 'denied';
  assert.equal(await pushState(at), 'denied');
  await assert.rejects(push(at), { name: 'NotAllowedError' });
  permission = 'granted';
  await assert.rejects(push({ ...at, worker: undefined }), /own origin.*https:\/\/events\.example\.com\/in\/sw\.js/);
  delete globalThis.PushManager;
  assert.equal(await pushState(at), 'unsupported');
  await assert.rejects(push(at), /needs HTTPS/);
});

test('stopping ends the subscription and the device, and is done when there is none', async () => {
  await push(at);
  did = [];
  await stopPush(at);
  assert.deepEqual(did, ['unsubscribe', 'DELETE /in/v1/devices/d1']);
  did = [];
  await stopPush(at);
  assert.deepEqual(did, []);
  await push(at);
  answers['DELETE /in/v1/devices/d1'] = [404, { code: 'device-not-found' }];
  await stopPush(at);
});

test('reading closes what is shown up to an event, and takes the badge away with the last', async () => {
  const notification = id => ({ data: { id }, close: () => { did.push(`close ${id}`); shown = shown.filter(({ data }) => data.id !== id); } });
  shown = ['02', '04'].map(notification);
  await readPushes('03', at);
  assert.deepEqual(did, ['close 02']);
  await readPushes(undefined, at);
  assert.deepEqual(did, ['close 02', 'close 04', 'badge']);
});

test('a page that demands Trusted Types gets one policy, for one worker', async () => {
  const made = [];
  globalThis.trustedTypes = { createPolicy: (name, { createScriptURL }) => { made.push(name); return { createScriptURL }; } };
  try {
    await push(at);
    await push(at);
    assert.deepEqual(made, ['tidings-worker']);
    await assert.rejects(push({ ...at, worker: '/other.js' }), /is not https:\/\/shop\.example\.com\/sw\.js/);
  } finally {
    delete globalThis.trustedTypes;
  }
});
