// What tells a person who looks elsewhere, or does not see: the title, the favicon, a notification, a sound, a screen reader.

import { t } from './i18n.js';
import { recall, remember } from './stored.js';

const GATHERED = 1000; // ms in which events make one notification, one sound, one sentence

export class Attention {
  #inbox; #say; #page = ''; #shown; #icon = document.querySelector('link[rel=icon]');
  #audio;
  #fresh = []; #timer;
  #said = false; // what has gathered was missed, and is said by itself

  // say(text) has a screen reader say it.
  constructor(inbox, signal, say) {
    this.#inbox = inbox;
    this.#say = say;
    inbox.addEventListener('unread', () => this.#show(), { signal });
    inbox.addEventListener('entry', ({ detail }) => {
      if (inbox.isUnread(detail)) this.#gather(detail);
      else if (detail.kind === 'missed') this.#said = Boolean(this.#timer);
    }, { signal });
    signal.addEventListener('abort', () => clearTimeout(this.#timer));
  }

  get page() { return this.#page; }
  set page(name) {
    this.#page = name;
    this.#show(true);
  }

  // --- the count

  #show(again) {
    const count = countOf(this.#inbox);
    if (count === this.#shown && !again) return;
    document.title = `${count && `(${count}) `}${this.#page} · Tidings`;
    if (count !== this.#shown) this.#icon.href = count ? iconWith(count) : 'console/icon.svg';
    this.#shown = count;
  }

  // --- notification and sound, which one tab of all makes

  get notifies() { return recall('notify') === 'on' && globalThis.Notification?.permission === 'granted'; }

  // notify turns notifications on or off, and says whether they are on: the browser, or the person, may refuse.
  async notify(on) {
    if (on && await globalThis.Notification?.requestPermission() !== 'granted') on = false;
    remember('notify', on ? 'on' : null);
    return on;
  }

  get sounds() { return recall('sound') === 'on'; }

  sound(on) {
    remember('sound', on ? 'on' : null);
    if (on) this.#beep(); // so that the person hears it, and the browser sees that a person asked for it
  }

  #gather(entry) {
    this.#fresh.push(entry.title);
    this.#timer ??= setTimeout(() => {
      const [fresh, said] = [this.#fresh, this.#said];
      [this.#fresh, this.#timer, this.#said] = [[], undefined, false];
      const title = fresh.length > 1 ? t('attention.new', { n: fresh.length }) : fresh[0];
      if (!said) this.#say(title);
      if (!this.#inbox.leads) return;
      if (this.sounds) this.#beep();
      if (this.notifies && !document.hasFocus()) this.#notification(title, fresh);
    }, GATHERED);
  }

  #notification(title, titles) {
    try {
      const body = titles.length > 1 ? titles.slice(-3).reverse().join('\n') : '';
      const shown = new Notification(title, { body, tag: 'tidings', icon: 'console/icon.svg' });
      shown.onclick = () => {
        window.focus();
        shown.close();
      };
    } catch {
      // browsers of phones leave notifications to service workers
    }
  }

  #beep() {
    const audio = this.#audio ??= new AudioContext();
    audio.resume();
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

// countOf is the number of unread events as there is room for it; nothing when there are none.
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
