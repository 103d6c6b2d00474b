// <tidings-alarm> lists the open alerts, and rings until somebody has claimed them. docs/BROWSER.md describes its use,
// alarm.d.ts each part.
//
// Events are hints: after each the element asks the server which alerts are open, and rings while one of them says so.
// Of a browser's tabs with the same address and topics, only the one that holds a Web Lock rings.

import { locks } from './locks.js';
import { Presence } from './presence.js';
import { Tidings } from './tidings.js';

const LOOK_PAUSE = 300; // ms, like all times: between two requests for the open alerts
const LOOK_EVERY = 30_000; // for what no event reports, such as a rule being muted
const LOOK_AGAIN = 3_000; // after a failure
const ANSWER_WITHIN = 10_000;
const TAB_WITHIN = 3_000; // after that the tab that rings is stuck
const ASK_TAB = 5_000; // how often it is asked to respond, while it should ring
const SLEPT = 20_000; // without a tick, due every second: the browser suspended the tab
const TOLD_FOR = 3_600_000; // how long that is shown
const PROOF = 12 * 3_600_000; // how long a heard test sound counts: a shift
const CLOCKS = 5_000; // by how much this clock and the server's may differ
const LIMIT = 100; // alerts in the list
const PAGE = 1000; // alerts in a request, while there are more than LIMIT
const NOTIFIED = 5; // alerts with a notification each
const SNOOZE = 300; // s
const ZH = 'zh', EN = 'en';

// --- texts

const TEXTS = {
  [EN]: {
    locale: [], // the browser's
    space: ' ',
    label: 'Alerts',
    none: 'No open alerts',
    open: n => `${n} open ${n === 1 ? 'alert' : 'alerts'}`,
    rest: n => `and ${n} more`,
    more: n => `${n} more events demand an answer than can be tracked: look in the log.`,
    held: 'The log was restored from a backup: nothing escalates until an administrator resumes it.',
    unheard: (names, time) => `Nobody hears ${names} (since ${time}): no open page may sound.`,
    unheardHere: 'Click here, and leave this page open.',
    unheardSteps: 'Alerts escalate at once.',
    loading: 'Loading open alerts…',
    offline: time => `Offline since ${time}: this list may be old.`,
    refused: detail => `The server refuses: ${detail}`,
    silent: 'The browser allows sound on this page only after a click.',
    silentElsewhere: 'The tab that rings may not sound yet: click here to let this tab ring.',
    allowSound: 'Allow sound',
    noSound: 'This browser cannot play the alarm.',
    notAsked: 'Notifications are not allowed yet.',
    allow: 'Allow',
    denied: 'Notifications are blocked for this site in the browser’s settings.',
    noNotifications: 'This browser does not show notifications from this page.',
    hidden: 'This tab is in the background, where the browser may delay it.',
    slept: (span, time) => `The browser suspended this tab for ${span}, until ${time}: keep it in view, or in its own window.`,
    neverHeard: 'Nobody has heard this device yet. A page cannot know mute and volume: test the sound.',
    heard: span => `Heard on this device ${span} ago.`,
    heardLong: span => `Last heard on this device ${span} ago: test the sound again.`,
    test: 'Test sound',
    yes: 'I heard it',
    elsewhere: 'Another tab of this browser rings.',
    here: 'This tab rings.',
    you: 'Your name, shown to others',
    nameless: 'Others do not know your name.',
    sayName: 'Enter it',
    nobody: 'Nobody has it',
    mine: 'You have it',
    has: who => `${who} has it`,
    snoozed: span => `Snoozed for ${span}`,
    done: who => `Done by ${who}`,
    somebody: 'Somebody',
    escalates: span => `escalates in ${span}`,
    step: n => `${n} ${n === 1 ? 'step' : 'steps'} fired`,
    claim: 'Take it',
    finish: 'Done',
    release: 'Give back',
    hand: 'Hand over',
    take: 'Take over',
    takeFrom: who => `Take it from ${who}`,
    to: 'To whom',
    cancel: 'Cancel',
    snooze: 'Snooze 5 min',
    undo: 'Undo',
    doneList: 'Done in the last ten minutes',
    of: (what, name) => `${what}: ${name}`,
    came: (name, topic) => `New alert: ${name}, ${topic}`,
    taken: (who, name) => `${who} has taken ${name}`,
    late: who => `${who} was faster and has it.`,
    closed: 'It is already closed.',
    changed: 'Somebody answered it in the meantime.',
    unanswered: 'The server did not respond. Try again: it counts once.',
    failed: detail => `That did not work: ${detail}`,
    hours: (n, m) => `${n} h ${m} min`,
    days: (n, h) => `${n} d ${h} h`,
  },
  [ZH]: {
    locale: 'zh-CN',
    space: '',
    label: '告警',
    none: '没有待处理的告警',
    open: n => `${n} 条告警待处理`,
    rest: n => `还有 ${n} 条`,
    more: n => `另有 ${n} 个需要处理的事件超出跟踪上限，请查看日志。`,
    held: '日志是从备份恢复的，告警暂不升级，需由管理员恢复升级。',
    unheard: (names, time) => `自 ${time} 起没人能听到 ${names} 的告警：没有打开着的页面可以响铃。`,
    unheardHere: '请点击这里，并保持此页面打开。',
    unheardSteps: '告警会立即升级。',
    loading: '正在查询待处理的告警…',
    offline: time => `${time} 起已离线，列表可能不是最新的。`,
    refused: detail => `服务器拒绝了请求：${detail}`,
    silent: '点击一下，浏览器才允许此页面发声。',
    silentElsewhere: '负责响铃的标签页还不能发声。点击这里，改由此标签页响铃。',
    allowSound: '允许发声',
    noSound: '此浏览器无法播放告警声。',
    notAsked: '尚未允许通知。',
    allow: '允许',
    denied: '浏览器设置禁止了此网站的通知。',
    noNotifications: '此浏览器不显示此页面的通知。',
    hidden: '此标签页在后台，浏览器可能推迟其运行。',
    slept: (span, time) => `浏览器把此标签页挂起了 ${span}，直到 ${time}：请让页面保持可见，或单独放在一个窗口里。`,
    neverHeard: '还没有人在此设备上听到过铃声。网页无法得知音量和是否静音，请测试声音。',
    heard: span => `${span} 前有人在此设备上听到过铃声。`,
    heardLong: span => `上次在此设备上听到铃声是 ${span} 前，请再次测试声音。`,
    test: '测试声音',
    yes: '听到了',
    elsewhere: '由此浏览器的另一个标签页响铃。',
    here: '由此标签页响铃。',
    you: '您的名字，供其他人识别',
    nameless: '其他人还不知道您的名字。',
    sayName: '填写',
    nobody: '无人认领',
    mine: '您已认领',
    has: who => `${who} 已认领`,
    snoozed: span => `已暂缓，还剩 ${span}`,
    done: who => `${who} 已完成`,
    somebody: '匿名用户',
    escalates: span => `${span} 后升级`,
    step: n => `已升级 ${n} 步`,
    claim: '认领',
    finish: '完成',
    release: '取消认领',
    hand: '转交',
    take: '接管',
    takeFrom: who => `从 ${who} 手中接管`,
    to: '转交给',
    cancel: '取消',
    snooze: '暂缓 5 分钟',
    undo: '撤销',
    doneList: '最近十分钟完成的告警',
    of: (what, name) => `${what}：${name}`,
    came: (name, topic) => `新告警：${name}，${topic}`,
    taken: (who, name) => `${who} 已认领 ${name}`,
    late: who => `${who} 抢先认领了。`,
    closed: '此告警已关闭。',
    changed: '刚才已有人处理。',
    unanswered: '服务器没有响应。请重试，只会算一次。',
    failed: detail => `操作失败：${detail}`,
    hours: (n, m) => `${n} 小时 ${m} 分钟`,
    days: (n, h) => `${n} 天 ${h} 小时`,
  },
};

// --- style: WCAG 2.2 AA in both colour schemes; pages may set the properties that begin with --alarm-

const STYLE = `
:host {
  --own-text: var(--alarm-text, light-dark(#1a1f27, #e5e9ef));
  --own-muted: var(--alarm-muted, light-dark(#555f6d, #a3adbb));
  --own-surface: var(--alarm-surface, light-dark(#ffffff, #1b1f26));
  --own-line: var(--alarm-line, light-dark(#d9dde3, #323945));
  --own-edge: var(--alarm-edge, light-dark(#7c8593, #78828f));
  --own-accent: var(--alarm-accent, light-dark(#1f5fbf, #86b6ff));
  --own-on-accent: var(--alarm-on-accent, light-dark(#ffffff, #0b1a30));
  --own-bad: var(--alarm-bad, light-dark(#a8231b, #ffa199));
  --own-bad-ground: var(--alarm-bad-ground, light-dark(#fdecea, #3a1d1a));
  --own-warn: var(--alarm-warn, light-dark(#7d4b00, #f0bd66));
  --own-warn-ground: var(--alarm-warn-ground, light-dark(#fdf3dc, #33290f));
  --own-good: var(--alarm-good, light-dark(#17693a, #74d39a));
  --own-radius: var(--alarm-radius, 6px);
  display: block;
  color: var(--own-text);
  overflow-wrap: anywhere;
}
:host([hidden]), [hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; }
h2, h3, p, ol { margin: 0; padding: 0; }
h2 { font-size: 1.15em; line-height: 1.3; }
h3 { font-size: 1em; line-height: 1.3; }
ol { display: grid; gap: .6em; list-style: none; }
section { display: grid; gap: .75em; }
:focus-visible { outline: 2px solid var(--own-accent); outline-offset: 2px; }
[tabindex="-1"]:focus:not(:focus-visible) { outline: none; }
button, input { font: inherit; color: inherit; border: 1px solid var(--own-edge); border-radius: var(--own-radius); background: var(--own-surface); }
button { min-height: 3em; padding: .3em .9em; cursor: pointer; touch-action: manipulation; }
button:hover { border-color: var(--own-accent); }
button[part~="claim"], button[part~="finish"] { border-color: var(--own-accent); background: var(--own-accent); color: var(--own-on-accent); font-weight: 600; }
button:disabled { opacity: .6; cursor: default; }
input { width: 100%; min-height: 3em; padding: .3em .6em; font-size: max(1em, 16px); }
label { display: grid; gap: .25em; font-size: .9em; }
li { display: grid; gap: .35em; padding: .75em; border: 1px solid var(--own-line); border-left: 4px solid var(--own-edge); border-radius: var(--own-radius); background: var(--own-surface); }
li[data-rings] { border-left-color: var(--own-bad); background: var(--own-bad-ground); }
li[data-state="claimed"] { border-left-color: var(--own-good); }
li[data-state="snoozed"] { border-left-color: var(--own-warn); }
.head, .line { display: flex; flex-wrap: wrap; align-items: baseline; gap: .15em .75em; }
.head > :last-child, .line > time { margin-left: auto; }
time { font-variant-numeric: tabular-nums; font-weight: 600; }
.muted, .muted time { color: var(--own-muted); font-size: .9em; font-weight: 400; }
.state { font-weight: 600; }
li[data-rings] .state { color: var(--own-bad); }
.said { color: var(--own-bad); }
.said:empty, .notes:empty { display: none; }
.buttons { display: flex; flex-wrap: wrap; gap: .5em; align-items: end; }
.buttons > * { flex: 1 1 8em; }
.buttons > [part~="claim"], .buttons > [part~="finish"] { flex-grow: 2; }
.notes { display: grid; gap: .4em; }
.note { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: .3em .75em; padding: .5em .75em; border-radius: var(--own-radius); color: var(--own-warn); background: var(--own-warn-ground); }
.note[data-kind="bad"] { color: var(--own-bad); background: var(--own-bad-ground); }
.note button { color: var(--own-text); }
.device { display: grid; gap: .6em; padding-top: .75em; border-top: 1px solid var(--own-line); grid-template-columns: repeat(auto-fit, minmax(min(16em, 100%), 1fr)); align-items: end; }
.hear { display: flex; flex-wrap: wrap; gap: .5em; align-items: center; }
.hear p { flex-basis: 100%; }
.announcer { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (prefers-reduced-motion: no-preference) {
  :host([ringing]) li[data-rings] { animation: ring 1.2s ease-in-out infinite; }
  @keyframes ring { 50% { border-left-color: transparent; } }
}
@media (forced-colors: active) { li[data-rings] { border: 3px solid Highlight; } }
`;

let sheet; // shared by all elements of the page
function styled() {
  if (!sheet) {
    sheet = new CSSStyleSheet(); // unlike <style>, allowed under a style policy
    sheet.replaceSync(STYLE);
  }
  return [sheet];
}

// make creates an element. Text becomes a text node; there is no other way into the page.
function make(tag, { part, ...props } = {}, ...children) {
  const element = document.createElement(tag);
  if (part) element.setAttribute('part', part);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter(child => child !== undefined && child !== null && child !== false));
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- what this browser remembers; only as long as the page lives if storage is disabled

const remembered = new Map();
function recall(name) {
  try {
    return localStorage.getItem(`tidings-alarm ${name}`);
  } catch {
    return remembered.get(name) ?? null;
  }
}
function remember(name, value) {
  remembered.set(name, value);
  try {
    localStorage.setItem(`tidings-alarm ${name}`, value);
  } catch { /* disabled or full */ }
}

// --- whose turn it is to ring

// Turn holds a lock in one tab of all. That tab answers the others, which take the lock away if it is stuck, or if it
// may not sound and they may.
class Turn {
  holds = false;
  elsewhere; // whether the tab that has the turn can be heard, once it has answered
  #name; #audible; #changed;
  #asked; #channel; #unanswered = 0;

  constructor(name, audible, changed) {
    [this.#name, this.#audible, this.#changed] = [name, audible, changed];
  }

  begin() {
    if (this.#channel) return;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#request();
    this.look();
  }

  end() {
    clearTimeout(this.#unanswered);
    this.#unanswered = 0;
    this.#asked?.abort();
    this.#channel?.close();
    this.#channel = undefined;
    this.#set(false);
  }

  tell() {
    if (this.holds) this.#channel?.postMessage({ audible: this.#audible() });
  }

  // look asks the tab that has the turn to respond.
  look() {
    if (this.holds || this.#unanswered || !this.#channel) return;
    this.#channel.postMessage('who rings?');
    this.#unanswered = setTimeout(() => {
      this.#unanswered = 0;
      if (!this.holds) this.#request(true);
    }, TAB_WITHIN);
  }

  #hear(data) {
    if (data === 'who rings?') return this.tell();
    clearTimeout(this.#unanswered);
    this.#unanswered = 0;
    this.elsewhere = data.audible;
    if (this.holds) return;
    if (!data.audible && this.#audible()) this.#request(true);
    else this.#changed();
  }

  async #request(steal) {
    this.#asked?.abort();
    const { signal } = this.#asked = new AbortController();
    const hold = () => signal.aborted || new Promise(release => {
      signal.addEventListener('abort', release);
      this.#set(true);
    });
    try {
      await Tidings.locks.request(this.#name, steal ? { steal } : { signal }, hold);
    } catch (error) {
      if (signal.aborted) return;
      this.#set(error.name !== 'AbortError'); // either locks are refused here, or this tab's was stolen
      if (!this.holds) this.#request();
    }
  }

  #set(holds) {
    if (holds === this.holds) return;
    this.holds = holds;
    clearTimeout(this.#unanswered);
    this.#unanswered = 0;
    this.tell();
    this.#changed();
  }
}

// --- the sound

// Sound is a bell that the browser repeats by itself, even if it throttles the tab's timers.
class Sound {
  #audio; #bell; #ringing; #changed;

  constructor(changed) { this.#changed = changed; }

  static possible = Boolean(globalThis.AudioContext);
  get woken() { return Boolean(this.#audio); }
  get audible() { return this.#audio?.state === 'running'; }

  // wake asks the browser to let the page sound, which it may not before a click.
  wake() {
    if (!Sound.possible) return;
    if (!this.#audio) {
      this.#audio = new AudioContext();
      this.#audio.onstatechange = this.#changed;
    }
    if (!this.audible) this.#audio.resume().catch(() => {});
  }

  ring(on) {
    if (!on) {
      this.#ringing?.stop();
      this.#ringing = undefined;
      return;
    }
    if (this.#ringing) return;
    this.wake();
    if (this.#audio) this.#ringing = this.#play(true);
  }

  test() {
    this.wake();
    if (this.#audio) this.#play(false);
  }

  close() {
    this.ring(false);
    this.#audio?.close();
    this.#audio = undefined;
  }

  #play(loop) {
    const source = this.#audio.createBufferSource();
    source.buffer = this.#bell ??= bell(this.#audio);
    source.loop = loop;
    source.connect(this.#audio.destination);
    source.start();
    return source;
  }
}

// bell returns two strokes of two notes, and a pause.
function bell(audio) {
  const rate = audio.sampleRate, buffer = audio.createBuffer(1, rate * 2, rate), samples = buffer.getChannelData(0);
  for (const [at, hertz] of [[0, 880], [0.18, 1175], [0.6, 880], [0.78, 1175]]) {
    for (let i = 0; i < rate * 0.7; i++) {
      const s = i / rate, tone = Math.sin(2 * Math.PI * hertz * s) + Math.sin(4 * Math.PI * hertz * s) / 3;
      samples[Math.round(at * rate) + i] += 0.4 * tone * Math.min(1, s / 0.005) * Math.exp(-6 * s);
    }
  }
  return buffer;
}

// --- title and icon

const MARK = /^(🔔 )?\(\d+\) /u;
let icon; // the page's

function mark(calls, open, rings) {
  if (calls.has('title')) {
    const title = `${open ? `${rings ? '🔔 ' : ''}(${open}) ` : ''}${document.title.replace(MARK, '')}`;
    if (title !== document.title) document.title = title;
  }
  if (!calls.has('icon')) return;
  const link = document.querySelector('link[rel~=icon]');
  if (!link) return;
  icon ??= link.href;
  const href = open ? drawn(open, rings) : icon;
  if (link.href !== href) link.href = href;
}

function drawn(open, rings) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  const draw = canvas.getContext('2d');
  draw.fillStyle = rings ? '#a8231b' : '#1f5fbf';
  draw.arc(32, 32, 32, 0, 2 * Math.PI);
  draw.fill();
  draw.fillStyle = '#fff';
  draw.font = 'bold 40px system-ui, sans-serif';
  [draw.textAlign, draw.textBaseline] = ['center', 'middle'];
  draw.fillText(open > 99 ? '99' : String(open), 32, 35);
  return canvas.toDataURL();
}

// --- the element

const NOTHING = Object.freeze({ alerts: [], more: 0, open: 0, held: false, rules: [] });
const ANSWERS = { claim: 'claim', release: 'release', finish: 'done', hand: 'hand-over', snooze: 'snooze', undo: 'undo' };

// The module can also be imported where there are no elements, as in Node.
export class TidingsAlarm extends (globalThis.HTMLElement ?? class {}) {
  static observedAttributes = ['url', 'topics', 'lang', 'name', 'calls'];

  #describe; #token;
  #tidings; // the page's client, if it was given
  #own; #life; // the element's client, if none was given; aborted when the element leaves the page
  #presence; // reports to the server whether the alarm would be heard
  #turn; #sound = new Sound(() => this.#update());
  #page = NOTHING;
  #known = false; // the open alerts were read
  #ahead = 0; // the server's clock, relative to this one
  #answers = 0; // given by this page
  #looking = false; #again = false; #looked = 0; #lookAt = 0;
  #problem; // why they could not be read: { since, detail }; without detail nothing responds
  #ringing = false; #heardAs = ''; // last reported
  #notices = new Map(); #noticeable = true;
  #asks = 0; #tick = 0; #slept;
  #proving = false; // a test sound was played, and nobody has confirmed it yet
  #rows = new Map(); #names = new Map();
  #parts; #list; #text = TEXTS[EN];

  // --- for the page

  get tidings() { return this.#tidings; }
  set tidings(client) {
    this.#tidings = client;
    this.#restart();
  }

  get token() { return this.#token; }
  set token(token) { this.#token = token; }
  get describe() { return this.#describe; }
  set describe(describe) {
    this.#describe = describe;
    this.#names.clear();
    this.#update();
  }

  get alerts() { return this.#page.alerts; }
  get open() { return this.#page.open; }
  get rules() { return this.#page.rules; }
  get ringing() { return this.#ringing; }
  get audible() { return this.#sound.audible; }
  get hearing() {
    return {
      rings: Boolean(this.#turn?.holds), armed: this.audible, allowed: globalThis.Notification?.permission === 'granted',
      visible: document.visibilityState === 'visible', heard: recall('heard'),
    };
  }

  refresh() { this.#look(); }
  claim(id, { force = false } = {}) { return this.#answer('claim', id, force ? { force } : {}); }
  release(id) { return this.#answer('release', id); }
  done(id) { return this.#answer('finish', id); }
  handOver(id, to) { return this.#answer('hand', id, { to }); }
  undo(id) { return this.#answer('undo', id); }
  snooze(id, seconds = SNOOZE) { return this.#answer('snooze', id, { seconds }); }
  signOff(rule, seconds) { return this.#sign('POST', rule, seconds && { seconds }); }
  signOn(rule) { return this.#sign('DELETE', rule); }

  // test plays the alarm once. Only a person can confirm that it was heard.
  test() {
    this.#sound.test();
    this.#proving = true;
    this.#update();
  }

  heard() {
    this.#proving = false;
    remember('heard', new Date().toISOString());
    this.#update();
  }

  // --- life

  connectedCallback() {
    if (this.#life) return; // it was moved
    if (!this.shadowRoot) this.attachShadow({ mode: 'open' }).adoptedStyleSheets = styled();
    for (const name of ['token', 'describe', 'tidings']) { // set before this module was loaded
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    this.#begin();
  }

  disconnectedCallback() {
    queueMicrotask(() => this.isConnected || this.#end()); // unless it only moves
  }

  attributeChangedCallback(name, was, now) {
    if (was === now || !this.#life) return;
    if (name === 'url' || name === 'topics') this.#restart();
    else this.#build();
  }

  #restart() {
    if (!this.#life) return;
    this.#end();
    this.#begin();
  }

  #begin() {
    const { signal } = this.#life = new AbortController();
    Tidings.locks ??= locks;
    this.#build();
    this.#turn = new Turn(`tidings-alarm ${this.#base} ${this.#topics.join(' ')}`, () => this.audible, () => this.#update());
    this.#turn.begin();
    this.#listen(signal);
    const on = (target, types, act, capture = false) => types.forEach(type => target.addEventListener(type, act, { signal, capture }));
    on(globalThis, ['pointerdown', 'keydown'], () => this.#arm(), true);
    on(globalThis, ['pagehide'], () => this.#leave());
    on(document, ['freeze'], () => this.#leave());
    on(globalThis, ['pageshow', 'online', 'offline', 'focus', 'blur'], event => this.#back(event));
    on(document, ['resume', 'visibilitychange'], event => this.#back(event));
    let last = Date.now();
    this.#tick = setInterval(() => {
      const now = Date.now();
      if (now - last > SLEPT) this.#slept = { span: now - last, until: now };
      last = now;
      this.#ticked(now);
    }, 1000);
    this.#look();
  }

  #end() {
    this.#life?.abort();
    this.#life = undefined;
    clearInterval(this.#tick);
    clearTimeout(this.#lookAt);
    this.#lookAt = 0;
    this.#leave();
    this.#presence.close();
    this.#own = this.#own?.close();
    this.#sound.close();
    this.#known = false;
    this.#page = NOTHING;
    mark(this.#calls, 0, false);
  }

  #leave() {
    this.#turn?.end();
    this.#update();
  }

  // back handles any sign that the page runs. It may still be in the background.
  #back({ type }) {
    const left = type === 'visibilitychange' && document.visibilityState === 'hidden';
    if (left || type === 'offline' || type === 'blur') return this.#update();
    this.#turn.begin();
    this.#look();
  }

  #listen(signal) {
    const topics = this.#topics;
    const client = this.#tidings ?? (this.#own = new Tidings({
      url: this.#base, topics: [...topics, ...topics.map(topic => `$alerts.${topic}`)], token: this.token && (() => this.#bearer()),
    }));
    client.addEventListener('event', () => this.#problem?.detail || this.#look(), { signal }); // events change no refusal
    for (const type of ['gap', 'live']) client.addEventListener(type, () => this.#look(), { signal });
    this.#presence = new Presence(client, {
      url: this.#base, armed: () => (this.#calls.has('sound') ? this.audible : undefined),
    });
  }

  // arm runs after a click or a key press: the browser may now let this tab sound.
  #arm() {
    if (this.audible) return;
    this.#sound.wake();
    this.#turn.look();
  }

  get #base() {
    const url = this.getAttribute('url');
    const address = new URL(url ? `${url.replace(/\/*$/, '')}/` : '.', url ? document.baseURI : import.meta.url);
    return address.href.replace(/\/$/, '');
  }

  get #topics() {
    const topics = (this.getAttribute('topics') ?? '').split(/[\s,]+/).filter(Boolean).sort();
    return topics.length ? topics : ['>'];
  }

  get #calls() { return new Set((this.getAttribute('calls') ?? 'sound title icon badge notification').split(/\s+/)); }
  get #me() { return this.getAttribute('name') ?? recall('name') ?? ''; }

  // device tells apart two people with one name, or one token: another name in this browser is another device.
  get #device() {
    const given = this.getAttribute('device');
    if (given !== null) return given;
    const [name, id] = (recall('device') ?? '').split('\n');
    if (id && name === this.#me) return id;
    const made = `browser-${Math.random().toString(36).slice(2, 8)}`;
    remember('device', `${this.#me}\n${made}`);
    return made;
  }

  get #self() { return { ...this.#me && { name: this.#me }, ...this.#device && { device: this.#device } }; }

  async #bearer() { return typeof this.token === 'function' ? this.token() : this.token; }

  // --- the open alerts

  // look asks the server at once, and again if something arrives meanwhile. Ending a ring never waits for a timer,
  // which would be late in a background tab.
  async #look() {
    if (!this.#life) return;
    this.#again = true;
    if (this.#looking) return;
    const { signal } = this.#life, pause = this.#looked + LOOK_PAUSE - Date.now();
    if (pause > 0 && pause <= LOOK_PAUSE) return this.#later(pause);
    this.#looking = true;
    this.#again = false;
    this.#looked = Date.now();
    const answers = this.#answers;
    try {
      const page = await this.#askOpen();
      if (!signal.aborted && answers === this.#answers) this.#show(page); // otherwise it may be older than the answer
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    }
    this.#looking = false;
    if (!this.#life) return;
    if (!signal.aborted) this.#update();
    if (this.#again) this.#look();
    else this.#later();
  }

  // askOpen returns the open alerts, at most LIMIT: those that ring before other unclaimed ones, claimed ones, done ones.
  async #askOpen() {
    const page = await this.#request('GET', 'open', { query: { limit: LIMIT, done: true } });
    let { next } = page;
    while (next) {
      const more = await this.#request('GET', 'open', { query: { limit: PAGE, done: true, after: next } });
      page.alerts.push(...more.alerts);
      ({ next } = more);
    }
    const rank = ({ rings, state }) => (rings ? -1 : ['open', 'snoozed', 'claimed', 'done'].indexOf(state));
    const kept = new Set(page.alerts.toSorted((a, b) => rank(a) - rank(b)).slice(0, LIMIT));
    return { ...page, alerts: page.alerts.filter(alert => kept.has(alert)) };
  }

  // failed keeps the known alerts, and their ring, unless the server itself refuses this page.
  #failed({ code, status, message }) {
    const refused = code && status < 500 && status !== 429;
    this.#problem = { since: this.#problem?.since ?? Date.now(), detail: refused ? message : undefined };
    if (refused) this.#page = NOTHING;
  }

  // later looks again when something is due that no event reports.
  #later(pause) {
    clearTimeout(this.#lookAt);
    const now = this.#now, times = this.#page.alerts.flatMap(({ until, due }) => [until, due]);
    const due = times.map(time => Date.parse(time ?? '') - now).filter(ms => ms > -CLOCKS).map(ms => Math.max(ms, 1000));
    const again = this.#problem && !this.#problem.detail ? LOOK_AGAIN : Math.min(...due, LOOK_EVERY);
    this.#lookAt = setTimeout(() => this.#look(), pause ?? again);
  }

  get #now() { return Date.now() + this.#ahead; }

  #show(page) {
    const before = new Map(this.#page.alerts.map(alert => [alert.id, alert]));
    this.#page = { rules: [], ...page }; // earlier servers send no rules
    this.#problem = undefined;
    for (const alert of page.alerts) this.#announce(alert, before.get(alert.id));
    this.#known = true;
    for (const id of this.#names.keys()) if (!page.alerts.some(alert => alert.id === id)) this.#names.delete(id);
  }

  #announce(alert, was) {
    if (this.#known && alert.rings && !was?.rings) say(this.#parts.announcer, this.#text.came(this.#nameOf(alert), alert.topic));
    const other = alert.state === 'claimed' && was && was.handle !== alert.handle && !this.#isMine(alert);
    if (other) say(this.#parts.announcer, this.#text.taken(this.#holderOf(alert), this.#nameOf(alert)));
  }

  async #request(method, path, { query = {}, body, handle } = {}) {
    const address = new URL(`${this.#base}/v1/${path}`), headers = { Accept: 'application/json' };
    if (method === 'GET') for (const topic of this.#topics) address.searchParams.append('topic', topic);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    const token = await this.#bearer();
    if (token) headers.Authorization = `Bearer ${token}`;
    if (handle) headers['If-Match'] = `"${handle}"`;
    if (body) headers['Content-Type'] = 'application/json';
    const answer = await fetch(address, {
      method, headers, body: body && JSON.stringify(body), cache: 'no-store', redirect: 'manual', credentials: 'same-origin',
      signal: AbortSignal.timeout(ANSWER_WITHIN),
    });
    const date = Date.parse(answer.headers.get('Date') ?? '');
    if (date) this.#ahead = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now(); // a header has whole seconds
    if (answer.ok) return answer.json();
    const type = answer.headers.get('Content-Type') ?? '';
    const problem = type.startsWith('application/problem+json') ? await answer.json() : {};
    throw Object.assign(new Error(problem.detail ?? problem.title ?? `HTTP ${answer.status}`), { ...problem, name: 'ProblemError' });
  }

  // answer sends a person's decision. It resolves with the alert, or with undefined if that was refused, as the alert's
  // line then says.
  async #answer(kind, id, more = {}) {
    const row = this.#rows.get(id), alert = this.#page.alerts.find(alert => alert.id === id);
    const conditional = !['claim', 'snooze'].includes(kind);
    if (!alert || row?.busy) return undefined;
    const body = { ...more, ...this.#self };
    if (row) Object.assign(row, { busy: true, mode: '', said: '' });
    this.#update();
    try {
      const path = `events/${encodeURIComponent(id)}/${ANSWERS[kind]}`;
      const now = await this.#request('POST', path, { body, handle: conditional ? alert.handle : undefined });
      this.#answers++;
      this.#page = { ...this.#page, alerts: this.#page.alerts.map(alert => (alert.id === id ? now : alert)) };
      return now;
    } catch (error) {
      const said = this.#refusal(error);
      if (row) row.said = said;
      say(this.#parts.announcer, said);
      return undefined;
    } finally {
      if (row) row.busy = false;
      this.#update();
      this.#look();
    }
  }

  // sign signs off a rule, or undoes that. The page reports errors.
  async #sign(method, rule, more) {
    const now = await this.#request(method, `alerts/${encodeURIComponent(rule)}/sign-off`, { body: { ...more, ...this.#self } });
    this.#answers++;
    this.#page = { ...this.#page, rules: this.#page.rules.map(rule => (rule.name === now.name ? now : rule)) };
    this.#update();
    this.#look();
    return now;
  }

  #refusal({ code, message, holder }) {
    const text = this.#text;
    if (!code) return text.unanswered;
    if (code === 'alert-claimed') return text.late(nameOf(holder) ?? text.somebody);
    if (code === 'alert-closed') return text.closed;
    return code === 'condition-failed' ? text.changed : text.failed(message);
  }

  #isMine({ holder }) {
    return Boolean(holder) && (holder.name ?? '') === this.#me && (!holder.device || holder.device === this.#device);
  }

  #holderOf({ holder }) {
    const name = nameOf(holder) ?? this.#text.somebody;
    return name === this.#me && holder.device ? `${name} (${holder.device})` : name; // somebody else with my name
  }

  // nameOf returns what people call the alert: its type, until the page's description arrives.
  #nameOf(alert) {
    if (this.describe && !this.#names.has(alert.id)) {
      this.#names.set(alert.id, undefined);
      Promise.resolve(alert).then(this.describe).then(name => {
        this.#names.set(alert.id, name && String(name));
        this.#update();
      }, () => {});
    }
    return this.#names.get(alert.id) ?? alert.type;
  }

  // --- ringing

  #update() {
    if (!this.#parts) return;
    const wants = this.#page.alerts.some(({ rings }) => rings), ringing = Boolean(this.#life && wants && this.#turn?.holds);
    const calls = this.#calls;
    this.#sound.ring(ringing && calls.has('sound'));
    if (this.#turn?.holds && calls.has('sound') && !this.#sound.woken) this.#sound.wake();
    this.#notify(ringing && calls.has('notification'));
    if (this.#turn?.holds && calls.has('badge')) {
      (this.open ? navigator.setAppBadge?.(this.open) : navigator.clearAppBadge?.())?.catch(() => {});
    }
    mark(calls, this.open, wants);
    this.#ringing = ringing;
    this.toggleAttribute('ringing', ringing);
    this.#render();
    this.#tell(wants);
  }

  #tell(wants) {
    const heardAs = `${this.#ringing} ${this.audible} ${this.#turn?.holds}`;
    if (heardAs !== this.#heardAs) {
      this.#heardAs = heardAs;
      this.#presence?.changed();
      this.#turn?.tell();
      if (this.audible) this.#turn?.look(); // the tab that has the turn may not be allowed to sound
      this.dispatchEvent(new CustomEvent('ring', { detail: { ringing: this.#ringing, audible: this.audible } }));
    }
    this.dispatchEvent(new CustomEvent('alerts', { detail: { alerts: this.alerts, open: this.open, rings: wants } }));
  }

  #notify(wanted) {
    const { Notification } = globalThis, allowed = Notification?.permission === 'granted';
    const ids = wanted && allowed && !document.hasFocus() ? this.alerts.filter(({ rings }) => rings).slice(0, NOTIFIED) : [];
    for (const [id, notice] of this.#notices) {
      if (ids.some(alert => alert.id === id)) continue;
      notice.close();
      this.#notices.delete(id);
    }
    for (const alert of ids) {
      if (this.#notices.has(alert.id) || !this.#noticeable) continue;
      try {
        const notice = new Notification(this.#nameOf(alert), { body: alert.topic, tag: `tidings-alarm ${alert.id}`, requireInteraction: true });
        notice.onclick = () => {
          window.focus();
          notice.close();
        };
        this.#notices.set(alert.id, notice);
      } catch {
        this.#noticeable = false; // phone browsers leave notifications to service workers
      }
    }
  }

  #ticked(now) {
    for (const row of this.#rows.values()) this.#time(row);
    const wants = this.#page.alerts.some(({ rings }) => rings);
    if (wants && now - this.#asks > ASK_TAB) {
      this.#asks = now;
      this.#turn.look();
    }
    this.#notes();
  }

  // --- rendering

  #build() {
    const lang = this.getAttribute('lang') ?? this.closest('[lang]')?.lang ?? navigator.language ?? EN;
    const text = this.#text = TEXTS[lang.startsWith(ZH) ? ZH : EN];
    const parts = this.#parts = {
      heading: make('h2', { part: 'heading', tabindex: '-1' }),
      notes: make('div', { part: 'notes', class: 'notes' }),
      list: make('ol', { part: 'list', role: 'list', 'aria-label': text.label, onkeydown: event => this.#key(event) }),
      rest: make('p', { part: 'rest', class: 'muted' }),
      past: make('ol', { part: 'list past', role: 'list', 'aria-label': text.doneList, onkeydown: event => this.#key(event) }),
      heard: make('p', { part: 'heard', class: 'muted' }),
      turn: make('p', { part: 'turn', class: 'muted' }),
      announcer: make('p', { class: 'announcer', role: 'status', 'aria-live': 'assertive' }),
    };
    parts.test = make('button', { type: 'button', part: 'button test', onclick: () => this.test() }, text.test);
    parts.yes = make('button', { type: 'button', part: 'button heard', onclick: () => {
      this.heard();
      parts.test.focus();
    } }, text.yes);
    parts.pastHeading = make('h3', { part: 'heading past' }, text.doneList);
    this.#rows.clear();
    parts.name = make('input', { part: 'name', value: this.#me, maxlength: 64, autocomplete: 'nickname', onchange: ({ target }) => {
      remember('name', target.value.trim());
      this.#update();
    } });
    this.shadowRoot.replaceChildren(make('section', { part: 'alarm', 'aria-label': text.label, lang: text === TEXTS[ZH] ? 'zh-CN' : EN },
      parts.heading, parts.notes, parts.list, parts.rest, parts.pastHeading, parts.past,
      make('div', { part: 'device', class: 'device' },
        !this.hasAttribute('name') && make('label', { part: 'label' }, text.you, parts.name),
        this.#calls.has('sound') && make('div', { part: 'hear', class: 'hear' }, parts.heard, parts.test, parts.yes, parts.turn)),
      parts.announcer));
    this.#update();
  }

  #render() {
    const text = this.#text, { alerts, open } = this.#page, parts = this.#parts;
    say(parts.heading, this.#problem?.detail ? text.label : !this.#known ? text.loading : open ? text.open(open) : text.none);
    const gone = new Set(this.#rows.keys());
    const places = { list: 0, past: 0 };
    const focus = this.shadowRoot.activeElement, held = focus?.closest('li');
    for (const alert of alerts) {
      const place = alert.state === 'done' ? 'past' : 'list', row = this.#row(alert), at = parts[place].children[places[place]++];
      gone.delete(alert.id);
      if (at !== row.item) parts[place].insertBefore(row.item, at ?? null);
    }
    for (const id of gone) {
      this.#rows.get(id).item.remove();
      this.#rows.delete(id);
    }
    // The focused element may have been moved, recreated, or removed.
    if (focus && !this.shadowRoot.activeElement) [focus, held, parts.heading].find(one => one?.isConnected).focus({ preventScroll: true });
    const rest = open - alerts.filter(({ state }) => state === 'open' || state === 'snoozed').length;
    parts.rest.hidden = rest <= 0;
    say(parts.rest, text.rest(rest));
    parts.pastHeading.hidden = parts.past.hidden = !places.past;
    parts.list.hidden = !places.list;
    this.#notes();
  }

  #row(alert) {
    let row = this.#rows.get(alert.id);
    if (!row) {
      row = { mode: '', said: '', shown: '' };
      row.name = make('h3', { part: 'type' });
      row.since = make('time', { part: 'since' });
      row.about = make('p', { part: 'topic', class: 'muted' });
      row.state = make('span', { part: 'state', class: 'state' });
      row.note = make('p', { part: 'said', class: 'said' });
      row.buttons = make('div', { part: 'buttons', class: 'buttons' });
      row.item = make('li', { part: 'alert', tabindex: '-1' },
        make('div', { class: 'head' }, row.name, row.since), row.about, make('p', {}, row.state), row.note, row.buttons);
      this.#rows.set(alert.id, row);
    }
    const changed = row.alert && (row.alert.state !== alert.state || row.alert.handle !== alert.handle);
    if (changed && (alert.state !== 'claimed' || this.#isMine(alert))) row.said = ''; // else "was faster" is still true
    row.alert = alert;
    say(row.name, this.#nameOf(alert));
    row.item.dataset.state = alert.state;
    row.item.toggleAttribute('data-rings', Boolean(alert.rings));
    row.item.setAttribute('part', alert.rings ? 'alert ringing' : `alert ${alert.state}`);
    say(row.note, row.said);
    this.#time(row);
    this.#choices(row);
    return row;
  }

  // time updates what changes every second.
  #time({ alert, since, about, state }) {
    const text = this.#text, now = this.#now, { step, due, topic, until } = alert;
    since.dateTime = alert.since;
    say(since, span(now - Date.parse(alert.since), text));
    const escalation = alert.state !== 'open' ? '' : due ? text.escalates(span(Date.parse(due) - now, text)) : step ? text.step(step) : '';
    say(about, [topic, escalation].filter(Boolean).join(' · '));
    const states = {
      claimed: () => (this.#isMine(alert) ? text.mine : text.has(this.#holderOf(alert))),
      snoozed: () => text.snoozed(span(Date.parse(until) - now, text)),
      done: () => text.done(this.#isMine(alert) && this.#me || this.#holderOf(alert)),
    };
    say(state, states[alert.state]?.() ?? text.nobody);
  }

  // choices shows the buttons, recreated when others are needed. If one had the focus, the alert itself gets it: a
  // second press of Enter must not give another answer.
  #choices(row) {
    const { alert, mode, busy, item, buttons } = row, text = this.#text, { id } = alert, mine = this.#isMine(alert), holder = this.#holderOf(alert);
    const shown = [alert.state, mine, mode, holder, this.#nameOf(alert)].join('\n');
    if (shown !== row.shown) {
      const button = (name, act, label = text[name]) => make('button', {
        type: 'button', part: `button ${name}`, 'aria-label': text.of(label, this.#nameOf(alert)), onclick: act,
      }, label);
      const turn = to => () => {
        row.mode = to;
        this.#choices(row);
        buttons.querySelector('input, button')?.focus();
      };
      const choices = {
        open: () => [button('claim', () => this.claim(id)), button('snooze', () => this.snooze(id))],
        mine: () => [button('finish', () => this.done(id)), button('hand', turn('hand')), button('release', () => this.release(id))],
        others: () => [button('take', turn('take'))],
        take: () => [button('claim', () => this.claim(id, { force: true }), text.takeFrom(holder)), button('cancel', turn(''))],
        hand: () => this.#handing(row, button, turn),
        done: () => [button('undo', () => this.undo(id))],
      };
      choices.snoozed = choices.open;
      choices.claimed = mine ? choices.mine : choices.others;
      const focused = item.contains(this.shadowRoot.activeElement);
      buttons.replaceChildren(...(choices[mode] ?? choices[alert.state] ?? choices.open)());
      row.shown = shown;
      if (focused) item.focus({ preventScroll: true });
    }
    for (const button of buttons.querySelectorAll('button')) button.disabled = Boolean(busy);
    if (busy && item.contains(this.shadowRoot.activeElement)) item.focus({ preventScroll: true });
  }

  #handing({ alert }, button, turn) {
    const to = make('input', { part: 'to', maxlength: 64, autocomplete: 'off' });
    const hand = () => (to.value.trim() ? this.handOver(alert.id, { name: to.value.trim() }) : to.focus());
    to.addEventListener('keydown', event => event.key === 'Enter' && hand());
    return [make('label', { part: 'label' }, this.#text.to, to), button('hand', hand), button('cancel', turn(''))];
  }

  // key moves between alerts with arrows; Enter claims the focused one.
  #key(event) {
    const { key, target, repeat } = event;
    if (target.localName === 'input' || event.ctrlKey || event.altKey || event.metaKey) return;
    const items = [...this.#parts.list.children, ...this.#parts.past.children], item = target.closest('li'), at = items.indexOf(item);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[key];
    if (to !== undefined) {
      event.preventDefault();
      const next = items[Math.max(0, Math.min(to, items.length - 1))];
      (next.querySelector('button:not(:disabled)') ?? next).focus();
    } else if (key === 'Enter' && target === item && !repeat) {
      const [row] = [...this.#rows.values()].filter(row => row.item === item);
      if (row.alert.state === 'open' || row.alert.state === 'snoozed') this.claim(row.alert.id);
    }
  }

  // notes shows, in one sentence each, what may keep an alert from being noticed.
  #notes() {
    const text = this.#text, parts = this.#parts, heard = Date.parse(recall('heard') ?? ''), age = Date.now() - heard;
    const notes = this.#obstacles();
    const shown = notes.map(({ said }) => said).join('\n');
    if (shown !== parts.notes.shown) {
      const focused = parts.notes.contains(this.shadowRoot.activeElement);
      parts.notes.replaceChildren(...notes.map(({ kind = 'warn', said, action, act }) => make('p', { part: `note ${kind}`, class: 'note', 'data-kind': kind },
        make('span', {}, said), action && make('button', { type: 'button', part: 'button', onclick: act }, action))));
      parts.notes.shown = shown;
      if (focused) parts.heading.focus({ preventScroll: true });
    }
    say(parts.heard, !heard ? text.neverHeard : age < PROOF ? text.heard(span(age, text)) : text.heardLong(span(age, text)));
    parts.yes.hidden = !this.#proving;
    say(parts.turn, this.#turn?.holds ? text.here : this.#turn?.elsewhere === undefined ? '' : text.elsewhere);
  }

  // unheard says which rules nobody hears, how to fix that, and what happens to alerts meanwhile.
  get #unheard() {
    const text = this.#text, rules = this.#page.rules.filter(rule => rule.unheard_since);
    if (!rules.length) return;
    const since = clock(Math.min(...rules.map(rule => Date.parse(rule.unheard_since))), text), mends = this.#calls.has('sound') && Sound.possible && !this.audible;
    const said = [text.unheard(rules.map(({ name }) => name).join(', '), since)];
    if (mends) said.push(text.unheardHere);
    if (rules.every(rule => rule.has_steps)) said.push(text.unheardSteps);
    return said.join(text.space);
  }

  #obstacles() {
    const text = this.#text, notes = [], add = (kind, said, action, act) => notes.push({ kind, said, action, act });
    const { since, detail } = this.#problem ?? {}, calls = this.#calls;
    if (detail) add('bad', text.refused(detail));
    else if (since || navigator.onLine === false) add('bad', text.offline(clock(since ?? Date.now(), text)));
    if (this.#page.held) add('warn', text.held);
    const unheard = this.#unheard;
    if (unheard) add('bad', unheard);
    if (this.#page.more) add('warn', text.more(this.#page.more));
    if (calls.has('sound')) {
      const silent = this.#turn?.holds ? 'silent' : this.#turn?.elsewhere === false && 'silentElsewhere';
      if (!Sound.possible) add('bad', text.noSound);
      else if (silent && !this.audible) add('bad', text[silent], text.allowSound, () => this.#arm());
    }
    if (calls.has('notification')) {
      const permission = this.#noticeable && globalThis.isSecureContext && globalThis.Notification?.permission;
      if (!permission) add('warn', text.noNotifications);
      else if (permission === 'denied') add('warn', text.denied);
      else if (permission === 'default') add('warn', text.notAsked, text.allow, () => Notification.requestPermission().then(() => this.#update()));
    }
    if (!this.#me) add('warn', text.nameless, text.sayName, () => this.#parts.name.focus());
    if (document.visibilityState === 'hidden') add('warn', text.hidden);
    if (this.#slept && Date.now() - this.#slept.until < TOLD_FOR) add('warn', text.slept(span(this.#slept.span, text), clock(this.#slept.until, text)));
    return notes;
  }
}

function nameOf(holder) { return holder?.name || holder?.subject || holder?.device || undefined; }

// span formats a duration: 0:07, 12:30, then hours and days.
function span(ms, text) {
  const seconds = Math.max(0, Math.floor(ms / 1000)) || 0, minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (hours >= 24) return text.days(Math.floor(hours / 24), hours % 24);
  if (hours) return text.hours(hours, minutes % 60);
  return `${minutes}:${String(seconds % 60).padStart(2, '0')}`;
}

function clock(ms, { locale }) { return new Date(ms).toLocaleTimeString(locale, { hour: '2-digit', minute: '2-digit' }); }

if (globalThis.customElements && !customElements.get('tidings-alarm')) customElements.define('tidings-alarm', TidingsAlarm);
