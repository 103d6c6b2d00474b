// Reports to the server what a page can do: whether a person may see it, whether the browser shows its notifications,
// and whether it may sound an alarm. docs/BROWSER.md says what for, presence.d.ts describes each part.
//
// Reports are sent when the stream delivers something, not by a timer: a frozen page falls silent. The tabs that share
// a stream are one page to the server. The one that holds it asks the others at each heartbeat, and at the next counts
// those that have answered. If it has no Presence, one of the others takes the stream over, because nobody else can
// report them. A stream's reports carry its token: to the server another token may be somebody else.

const WITHIN = 10_000; // ms for the server to respond
const SEEK_AFTER = 30_000; // without a word from the Presence of the tab that holds the stream
const ANSWER_WITHIN = 10_000; // else it has none
const all = new WeakMap(); // each client's Presences: the first reports for all

export class Presence {
  #client; #options;
  #life = new AbortController();
  #with; // all of the client, including this one
  #tab = Math.random(); // tells tabs apart
  #channel; // to the other tabs that share the stream
  #others = new Map(); // what each of them can do, and when it was asked
  #asked = 0; // how often they were asked
  #subscriber; #token; // the server's ID of the stream, and its token; undefined: another tab holds it
  #told = ''; #toldAt = 0; // the last report
  #telling = false;
  #warned = false; // that the server rejects reports
  #unasked = 0; // a timer, while another tab holds the stream

  constructor(client, options = {}) {
    this.#client = client;
    this.#options = options;
    if (!all.has(client)) all.set(client, new Set());
    this.#with = all.get(client).add(this);
    const { signal } = this.#life;
    client.addEventListener('beat', ({ detail }) => this.#beat(detail), { signal });
    client.addEventListener('state', () => this.#meet(), { signal });
    document.addEventListener('visibilitychange', () => this.changed(), { signal });
    this.#meet();
  }

  // changed reports at once that what the page can do has changed.
  changed() {
    if (this.#life.signal.aborted) return;
    const [first] = this.#with;
    if (first !== this) first.changed();
    else if (this.#client.leads) this.#tell();
    else this.#channel?.postMessage({ tab: this.#tab, can: this.#can });
  }

  close() {
    this.#life.abort();
    this.#with.delete(this);
    clearTimeout(this.#unasked);
    this.#subscriber = undefined;
    this.#channel = this.#channel?.close();
  }

  get #can() {
    return {
      visible: document.visibilityState === 'visible', allowed: globalThis.Notification?.permission === 'granted',
      armed: oneRings([...this.#with].map(presence => presence.#options.armed?.() ?? null)),
    };
  }

  // page combines what all tabs can do.
  get #page() {
    const tabs = [this.#can, ...[...this.#others.values()].map(({ can }) => can)];
    return { visible: tabs.some(can => can.visible), allowed: tabs.some(can => can.allowed), armed: oneRings(tabs.map(can => can.armed)) };
  }

  #meet() {
    const { group, leads } = this.#client, name = group && `${group} presence`;
    if (!leads) this.#subscriber = undefined;
    if (leads || !name) this.#unasked = clearTimeout(this.#unasked);
    if (this.#channel?.name === name) return;
    this.#channel?.close();
    this.#others.clear();
    this.#channel = name && new BroadcastChannel(name);
    if (!name) return;
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    if (leads) this.#channel.postMessage({ leads: true });
    else this.#seek();
  }

  // seek asks for the Presence of the tab that holds the stream, and takes the stream over if there is none.
  #seek = () => {
    queueMicrotask(() => this.#channel?.postMessage({ tab: this.#tab, can: this.#can, seeks: true })); // after the page's own task
    this.#wait(ANSWER_WITHIN, () => {
      this.#wait(SEEK_AFTER, this.#seek);
      if (['live', 'catching-up'].includes(this.#client.state)) this.#client.reconnect(); // else nobody has a stream
    });
  };

  #wait(ms, act) {
    clearTimeout(this.#unasked);
    this.#unasked = setTimeout(act, ms);
  }

  #hear({ tab, can, seeks, leads }) {
    if (!can) { // from the tab that holds the stream
      if (!this.#client.leads) this.#wait(SEEK_AFTER, this.#seek);
      return void (leads || this.changed());
    }
    this.#others.set(tab, { can, asked: this.#asked });
    this.#tell();
    if (seeks && this.#client.leads) this.#channel.postMessage({ leads: true });
  }

  #beat({ subscriber, heartbeat, token }) {
    const [first] = this.#with;
    if (first !== this) return;
    const since = Date.now() - this.#toldAt, other = subscriber !== this.#subscriber;
    this.#meet();
    [this.#subscriber, this.#token] = [subscriber, token];
    if (!other && since >= 0 && since < heartbeat / 2) return; // not only heartbeats arrive
    for (const [tab, { asked }] of this.#others) if (asked < this.#asked) this.#others.delete(tab);
    this.#told = '';
    this.#tell();
    this.#asked++;
    this.#channel?.postMessage({});
  }

  // tell sends what has changed, one request after another. The next heartbeat's makes up for one that fails; until
  // then the server has the old state.
  async #tell() {
    if (this.#telling) return;
    this.#telling = true;
    for (let now; this.#subscriber && this.#told !== (now = JSON.stringify(this.#page));) {
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
    if (answer.ok || subscriber !== this.#subscriber) return; // reports for a stream that has ended are not accepted
    const { detail, title = 'not a response of this server' } = await answer.json().catch(() => ({}));
    this.#warn(`HTTP ${answer.status}, ${detail ?? title}`);
  }

  #warn(why) {
    if (!this.#warned) console.warn(`Tidings does not know whether this page would be heard: ${why}`);
    this.#warned = true;
  }
}

// oneRings combines several armed values: one page rings for all. null is a page without an alarm.
function oneRings(armed) {
  const alarms = armed.filter(armed => armed !== null);
  return alarms.length ? alarms.includes(true) : null;
}
