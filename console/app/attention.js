// Notifies a person who looks elsewhere, or cannot see: by title, favicon, notification, sound and screen reader.

import { base } from './api.js';
import { el, fill } from './dom.js';
import { t } from './i18n.js';
import { recall, remember } from './stored.js';

const GATHERED = 1000; // ms: events within it share one notification, one sound, one sentence
const ANSWERED = 250; // ms for another tab to report that it has the focus
const WOKEN = 1000; // ms for a browser to let the page sound, if it does

export class Attention {
  notice = el('p', { class: 'silent', role: 'status' }); // says that sound is on but cannot be heard
  #inbox; #say; #page = ''; #shown; #alarm = ''; #icon = document.querySelector('link[rel=icon]');
  #audio; #waking = 0; #owed = false; // a tone, once it can be heard
  #tabs; #seen = () => {}; // asks this browser's other tabs that watch the same: which one has the focus?
  #fresh = []; #timer;
  #said = false; // the gathered events were missed, and announced separately

  // say(text) lets a screen reader say it.
  constructor(inbox, signal, say) {
    this.#inbox = inbox;
    this.#say = say;
    inbox.addEventListener('unread', () => this.#show(), { signal });
    inbox.addEventListener('entry', ({ detail }) => {
      if (inbox.isUnread(detail)) this.#gather(detail);
      else if (detail.kind === 'missed') this.#said = Boolean(this.#timer);
    }, { signal });
    this.#tabs = new BroadcastChannel(`tidings console focus ${base} ${inbox.topics.join(' ')}`);
    this.#tabs.onmessage = ({ data }) => {
      if (data === 'here') this.#seen(true);
      else if (document.hasFocus()) this.#tabs.postMessage('here');
    };
    inbox.addEventListener('state', () => (this.sounds && inbox.leads && !this.#audio ? this.#wake() : this.#hear()), { signal });
    for (const type of ['click', 'keydown']) addEventListener(type, () => this.#audio?.resume().catch(() => {}), { signal, capture: true });
    signal.addEventListener('abort', () => {
      clearTimeout(this.#timer);
      clearTimeout(this.#waking);
      this.#tabs.close();
      this.#audio?.close();
    });
  }

  get page() { return this.#page; }
  set page(name) {
    this.#page = name;
    this.#show(true);
  }

  // alarm is the shift's: open alerts come before unread events.
  set alarm({ open, rings }) {
    const alarm = open ? `${rings ? '🔔' : '🔕'}${open} ` : '';
    const changed = alarm !== this.#alarm;
    this.#alarm = alarm;
    if (changed) this.#show(true);
  }

  // --- the count

  #show(again) {
    const count = countOf(this.#inbox);
    if (count === this.#shown && !again) return;
    document.title = `${this.#alarm}${count && `(${count}) `}${this.#page} · Tidings`;
    if (count !== this.#shown) this.#icon.href = count ? iconWith(count) : 'console/icon.svg';
    this.#shown = count;
  }

  // --- notification and sound, from only one of the tabs

  get notifies() { return recall('notify') === 'on' && globalThis.Notification?.permission === 'granted'; }

  // notify turns notifications on or off, and returns whether they are on: the browser, or the person, may refuse.
  async notify(on) {
    if (on && await globalThis.Notification?.requestPermission() !== 'granted') on = false;
    remember('notify', on ? 'on' : null);
    return on;
  }

  get sounds() { return recall('sound') === 'on'; }

  sound(on) {
    remember('sound', on ? 'on' : null);
    this.#owed = on; // so that the person hears it, and the browser sees that a person requested it
    if (on) this.#beep();
    else this.#hear();
  }

  #gather(entry) {
    this.#fresh.push(entry.title);
    this.#timer ??= setTimeout(async () => {
      const [fresh, said] = [this.#fresh, this.#said];
      [this.#fresh, this.#timer, this.#said] = [[], undefined, false];
      const title = fresh.length > 1 ? t('attention.new', { n: fresh.length }) : fresh[0];
      if (!said) this.#say(title);
      if (!this.#inbox.leads) return;
      if (this.sounds) this.#beep();
      if (this.notifies && !await this.#isLookedAt()) this.#notification(title, fresh);
    }, GATHERED);
  }

  // isLookedAt reports whether this tab, or another one that shows the same, has the focus.
  #isLookedAt() {
    if (document.hasFocus()) return true;
    return new Promise(done => {
      this.#seen = done;
      setTimeout(done, ANSWERED, false);
      this.#tabs.postMessage('who has the focus?');
    });
  }

  #notification(title, titles) {
    try {
      const body = titles.length > 1 ? titles.slice(-3).reverse().join('\n') : '';
      // Each replaces the previous one, silently without renotify.
      const shown = new Notification(title, { body, tag: 'tidings', renotify: true, icon: 'console/icon.svg' });
      shown.onclick = () => {
        window.focus();
        shown.close();
      };
    } catch {
      // phone browsers leave notifications to service workers
    }
  }

  // wake asks the browser to let the page sound. After a reload it may wait until the person has clicked or typed.
  #wake() {
    if (!this.#audio) {
      this.#audio = new AudioContext();
      this.#audio.onstatechange = () => this.#hear();
    }
    this.#audio.resume().catch(() => {});
    this.#waking ||= setTimeout(() => {
      this.#waking = 0;
      this.#hear();
    }, WOKEN);
  }

  get #audible() { return this.#audio?.state === 'running'; }

  // hear plays what is owed, or says that it cannot be heard.
  #hear() {
    if (this.#audible && this.#owed) this.#tone();
    const silent = this.sounds && this.#inbox.leads && this.#audio && !this.#audible;
    const text = silent ? t('attention.silent') : '';
    if (this.notice.textContent !== text) fill(this.notice, text);
  }

  // beep owes a single tone, however often nobody can hear it: otherwise all would sound at once later.
  #beep() {
    this.#owed = true;
    this.#wake();
    if (this.#audible) this.#hear();
  }

  #tone() {
    this.#owed = false;
    const audio = this.#audio;
    const volume = audio.createGain();
    const tone = audio.createOscillator();
    const now = audio.currentTime;
    tone.frequency.setValueAtTime(880, now);
    tone.frequency.setValueAtTime(1175, now + 0.09);
    volume.gain.setValueAtTime(0.12, now);
    volume.gain.exponentialRampToValueAtTime(0.001, now + 0.35);
    tone.connect(volume).connect(audio.destination);
    tone.start(now);
    tone.stop(now + 0.4);
  }
}

// countOf returns the number of unread events as space permits; nothing if there are none.
export function countOf({ unread, capped }) {
  if (!unread) return '';
  return capped || unread > 999 ? '999+' : String(unread);
}

function iconWith(count) {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  const draw = canvas.getContext('2d');
  draw.fillStyle = '#1f5fbf';
  draw.roundRect(0, 0, 64, 64, 16);
  draw.fill();
  draw.fillStyle = '#fff';
  draw.font = `bold ${[48, 40, 30, 26][count.length - 1]}px system-ui, sans-serif`;
  draw.textAlign = 'center';
  draw.textBaseline = 'middle';
  draw.fillText(count, 32, 35);
  return canvas.toDataURL();
}
