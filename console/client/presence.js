// Tells the server what a page can do: whether a person may see it, whether the browser shows its notifications, and whether
// it may sound an alarm. docs/BROWSER.md says what for, presence.d.ts what each part means.
//
// It is told when the stream brings something, not by a timer: a page that is frozen falls silent. The tabs that share a
// stream are one page to the server. The one that holds it asks the others at each heartbeat, and counts for the next those
// that have answered. A stream's reports bear its token: to the server another one may be somebody else.

const WITHIN = 10_000; // ms, for the server to answer

export class Presence {
  #client; #options;
  #life = new AbortController();
  #tab = Math.random(); // tells tabs apart
  #channel; // to the others that share the stream
  #others = new Map(); // what each of them can do, and when it was asked
  #asked = 0; // how often they were
  #subscriber; #token; // the stream, as the server calls it, and its token; undefined: another tab holds it
  #told = ''; #toldAt = 0; // last
  #telling = false;
  #warned = false; // that the server does not take it

  constructor(client, options = {}) {
    this.#client = client;
    this.#options = options;
    const { signal } = this.#life;
    client.addEventListener('beat', ({ detail }) => this.#beat(detail), { signal });
    client.addEventListener('state', () => this.#meet(), { signal });
    document.addEventListener('visibilitychange', () => this.changed(), { signal });
    this.#meet();
  }

  // changed has it told at once that the page can do something else now.
  changed() {
    if (this.#life.signal.aborted) return;
    if (this.#client.leads) this.#tell();
    else this.#channel?.postMessage({ tab: this.#tab, can: this.#can });
  }

  close() {
    this.#life.abort();
    this.#channel = this.#channel?.close();
  }

  get #can() {
    return {
      visible: document.visibilityState === 'visible', allowed: globalThis.Notification?.permission === 'granted',
      armed: this.#options.armed?.() ?? null,
    };
  }

  // all is what one of the tabs can do, or another: one rings for all.
  get #all() {
    const all = [this.#can, ...[...this.#others.values()].map(({ can }) => can)];
    const armed = all.map(can => can.armed).filter(armed => armed !== null);
    return { visible: all.some(can => can.visible), allowed: all.some(can => can.allowed), armed: armed.length ? armed.includes(true) : null };
  }

  #meet() {
    const { group, leads } = this.#client, name = group && `${group} presence`;
    if (!leads) this.#subscriber = undefined;
    if (this.#channel?.name === name) return;
    this.#channel?.close();
    this.#others.clear();
    this.#channel = name && new BroadcastChannel(name);
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#hear(data);
  }

  #hear({ tab, can }) {
    if (!can) return this.changed(); // it was asked
    this.#others.set(tab, { can, asked: this.#asked });
    this.#tell();
  }

  #beat({ subscriber, heartbeat, token }) {
    const since = Date.now() - this.#toldAt, other = subscriber !== this.#subscriber;
    this.#meet();
    [this.#subscriber, this.#token] = [subscriber, token];
    if (!other && since >= 0 && since < heartbeat / 2) return; // more has come than a heartbeat
    for (const [tab, { asked }] of this.#others) if (asked < this.#asked) this.#others.delete(tab);
    this.#told = '';
    this.#tell();
    this.#asked++;
    this.#channel?.postMessage({});
  }

  // tell sends what has changed, one request after the other. One that fails is made up for by the next heartbeat's; until then the
  // server knows no better.
  async #tell() {
    if (this.#telling) return;
    this.#telling = true;
    for (let now; this.#subscriber && this.#told !== (now = JSON.stringify(this.#all));) {
      [this.#told, this.#toldAt] = [now, Date.now()];
      await this.#put(this.#subscriber, now).catch(() => {});
    }
    this.#telling = false;
  }

  async #put(subscriber, body) {
    const { url, withCredentials } = this.#options, headers = { 'Content-Type': 'application/json' };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const answer = await fetch(`${String(url).replace(/\/+$/, '')}/v1/subscribers/${encodeURIComponent(subscriber)}/state`, {
      method: 'PUT', headers, body, cache: 'no-store', redirect: 'manual', credentials: withCredentials ? 'include' : 'same-origin',
      signal: AbortSignal.timeout(WITHIN),
    });
    if (answer.ok || this.#warned || subscriber !== this.#subscriber) return; // of a stream that has ended nothing is taken
    this.#warned = true;
    const { detail, title = 'no answer of this server' } = await answer.json().catch(() => ({}));
    console.warn(`Tidings is not told whether this page would be heard: HTTP ${answer.status}, ${detail ?? title}`);
  }
}
