// A page with a client, whose query is the client's options. It reports what the client's listeners get.
import { Tidings } from '/tidings.js';

// What a page logs to the console while it is unloaded may not reach the test. So reports are numbered, kept, and all
// logged again by the next load.
const kept = keep();
let n = 0;
for (let text; (text = kept.getItem(`report ${n}`)); n++) console.debug(text);

function keep() {
  try {
    return globalThis.kept ?? sessionStorage;
  } catch { // a page without storage is not reloaded
    return { getItem() {}, setItem() {} };
  }
}

function report(type, detail) {
  const text = JSON.stringify({ n, type, detail });
  kept.setItem(`report ${n++}`, text);
  console.debug(text);
}

addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => report('violation', { violatedDirective, blockedURI }));
addEventListener('error', ({ message }) => report('exception', { message }));
addEventListener('unhandledrejection', ({ reason }) => report('exception', { message: String(reason) }));

const { tokens, locks, ...options } = JSON.parse(decodeURIComponent(location.search.slice(1)));
if (tokens) options.token = async () => (await fetch('/test/token')).text();

if (locks) Tidings.locks ??= (await import('/locks.js')).locks;

const client = globalThis.client = new Tidings(options);
for (const type of ['event', 'end', 'gap', 'live', 'bye', 'state', 'error']) {
  client.addEventListener(type, ({ detail }) => {
    report(type, detail instanceof Error ? { name: detail.name, message: detail.message, status: detail.status, code: detail.code } : detail);
  });
}
report('made', { persistent: client.persistent, cursor: client.cursor });
