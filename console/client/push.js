// Pushes to this browser, even while no page is open. docs/BROWSER.md describes its use, push.d.ts each part.

const SCOPE = 'tidings/'; // below the worker's: it controls no page, and displaces no other worker
let policy; // for the worker's URL

export class PushError extends Error {
  constructor(status, { title, detail, code } = {}) {
    super(detail || title || `HTTP ${status}`);
    Object.assign(this, { name: 'PushError', status, code });
  }
}

// pushState reports the browser's state, without asking the person.
export async function pushState(options = {}) {
  const { navigator, PushManager, Notification } = globalThis;
  if (!navigator?.serviceWorker || !PushManager || !Notification) return 'unsupported';
  if (Notification.permission === 'denied') return 'denied';
  if (Notification.permission !== 'granted') return 'off';
  if (await (await registered(options))?.pushManager.getSubscription()) return 'on';
  return recall(options) ? 'lost' : 'off';
}

// push turns pushes on, or renews them. The browser asks the person, so make the first call on a click.
export async function push({ topics, readMark, page = globalThis.location?.href, name, language, urgency, ...options }) {
  if (await pushState(options) === 'unsupported') throw new Error('this browser takes no pushes: that needs HTTPS and, on iOS, the page on the home screen');
  const permission = await Notification.requestPermission();
  if (permission !== 'granted') throw new DOMException('the browser does not allow notifications for this site', 'NotAllowedError');
  const { public_key: key } = await ask(options, 'GET', 'v1/push');
  const subscription = await subscribe(await register(options), key);
  const device = await ask(options, 'POST', 'v1/devices', {
    subscription: subscription.toJSON(), topics, read_mark: readMark, page, name, language, urgency,
  });
  remember(options, device.id);
  return device;
}

// stopPush turns pushes off. A server that cannot be reached learns later, from the push service, that the browser is
// gone.
export async function stopPush(options = {}) {
  const id = recall(options);
  await (await (await registered(options))?.pushManager.getSubscription())?.unsubscribe();
  remember(options);
  if (!id) return;
  await ask(options, 'DELETE', `v1/devices/${id}`).catch(error => {
    if (error.status !== 404) throw error;
  });
}

// readPushes closes notifications of events up to an ID, or all; when none is left, it clears the badge.
export async function readPushes(id, options = {}) {
  const shown = await (await registered(options))?.getNotifications() ?? [];
  const read = shown.filter(({ data }) => id === undefined || !(data?.id > id));
  for (const notification of read) notification.close();
  if (read.length === shown.length) await globalThis.navigator?.clearAppBadge?.().catch(() => {});
}

function base({ url }) {
  const server = url === undefined ? new URL('.', import.meta.url) : new URL(url, globalThis.location?.href);
  if (!server.pathname.endsWith('/')) server.pathname += '/';
  return server;
}

function workerOf(options) {
  const worker = new URL(options.worker ?? new URL('sw.js', base(options)), globalThis.location.href);
  if (worker.origin === globalThis.location.origin) return worker;
  throw new Error(`a browser accepts a service worker only from the page's own origin: serve a copy of ${worker} there, and name it in "worker"`);
}

const registered = async options => globalThis.navigator?.serviceWorker?.getRegistration(new URL(SCOPE, workerOf(options)));

async function register(options) {
  const worker = workerOf(options);
  const found = await navigator.serviceWorker.register(trusted(worker.href), { scope: new URL(SCOPE, worker).href, updateViaCache: 'none' });
  if (found.active) return found;
  const coming = found.installing ?? found.waiting;
  await new Promise((resolve, reject) => {
    coming.addEventListener('statechange', () => {
      if (coming.state === 'activated') resolve();
      if (coming.state === 'redundant') reject(new Error(`the service worker ${worker} does not start`));
    });
  });
  return found;
}

// trusted returns the worker's URL for pages whose policy demands Trusted Types. They must list this policy:
// trusted-types tidings-worker.
function trusted(worker) {
  if (!globalThis.trustedTypes) return worker;
  policy ??= trustedTypes.createPolicy('tidings-worker', {
    createScriptURL: url => {
      if (url === worker) return url;
      throw new TypeError(`${url} is not ${worker}, the worker of Tidings`);
    },
  });
  return policy.createScriptURL(worker);
}

// subscribe reuses the existing subscription, unless it is for another key.
async function subscribe({ pushManager }, key) {
  const wanted = bytesOf(key);
  const there = await pushManager.getSubscription();
  const same = there && String(new Uint8Array(there.options.applicationServerKey ?? [])) === String(wanted);
  if (same) return there;
  await there?.unsubscribe();
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: wanted });
}

const bytesOf = text => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), char => char.charCodeAt(0));

async function ask(options, method, path, body) {
  const token = await (typeof options.token === 'function' ? options.token() : options.token);
  const headers = { ...body && { 'Content-Type': 'application/json' }, ...token && { Authorization: `Bearer ${token}` } };
  const answer = await fetch(new URL(path, base(options)), {
    method, headers, body: body && JSON.stringify(body), cache: 'no-store', redirect: 'error',
    credentials: options.withCredentials ? 'include' : 'same-origin',
  });
  const said = /json$/.test(answer.headers.get('Content-Type')?.split(';')[0]) ? await answer.json() : undefined;
  if (!answer.ok) throw new PushError(answer.status, said);
  return said;
}

const place = options => `tidings push ${base(options)}`;

function remember(options, id) {
  try {
    if (id) localStorage.setItem(place(options), id);
    else localStorage.removeItem(place(options));
  } catch { /* without storage, the server learns it from the push service in the end */ }
}

function recall(options) {
  try {
    return localStorage.getItem(place(options));
  } catch {
    return null;
  }
}
