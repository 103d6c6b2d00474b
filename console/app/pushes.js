// What this device is told while the console is closed: the switch for it, and what becomes of what is shown.

import { push, pushState, readPushes, stopPush } from '../push.js';
import { base, get } from './api.js';
import { el, fill } from './dom.js';
import { language, t } from './i18n.js';
import { recall, remember } from './stored.js';

const LEAVING = 3_000; // ms that signing out waits for the server

// Pushes belongs to who is signed in. It renews the device of a browser that is pushed to already, for who has turned that on:
// what it was for somebody else ends.
export class Pushes {
  #options;
  #subject;
  option = el('div', { class: 'part' }); // of the settings
  #failed = el('p', { class: 'hint', role: 'status' });
  #box = el('input', { type: 'checkbox', onchange: () => this.#turn(this.#box.checked) });
  #label = el('label', { class: 'option check' }, this.#box, el('span', {}, t('settings.push')));

  constructor(inbox, { subject, subscribe: granted }, signal) {
    this.#subject = subject;
    this.#options = {
      topics: inbox.topics.length ? inbox.topics : granted, readMark: inbox.markName, page: new URL('.', base).href,
      language: language.startsWith('zh') ? 'zh' : 'en', urgency: 'high',
    };
    inbox.addEventListener('unread', () => inbox.mark && readPushes(inbox.unread ? inbox.mark : undefined).catch(() => {}), { signal });
    this.#renew();
  }

  async #renew() {
    try {
      const state = await pushState();
      if (state !== 'on' && state !== 'lost') return;
      if (recall('push') === this.#subject) await push(this.#options); // it counts for some days more
      else await stopPush();
    } catch (error) {
      this.#fail(error);
    }
  }

  // end has this device told nothing more of what only this person may read.
  async end() {
    if (recall('push') === null) return;
    remember('push', null);
    await Promise.race([stopPush().catch(() => {}), new Promise(resolve => setTimeout(resolve, LEAVING))]); // its push service tells
  }

  // look shows the switch where the server pushes and the browser takes that.
  async look() {
    try {
      const state = await pushState();
      if (state === 'unsupported' || !this.#options.topics.length) return void fill(this.option);
      await get('/v1/push'); // which throws where the server does not push
      this.#box.checked = state === 'on';
      fill(this.option, this.#label, this.#failed);
    } catch {
      fill(this.option);
    }
  }

  async #turn(on) {
    fill(this.#failed, '');
    remember('push', on ? this.#subject : null); // before: the page may be gone as soon as the server knows
    try {
      if (on) await push(this.#options);
      else await stopPush();
    } catch (error) {
      this.#fail(error);
    }
    this.#box.checked = await pushState() === 'on';
  }

  #fail(error) {
    fill(this.#failed, error.name === 'NotAllowedError' ? t('settings.push-refused') : t('settings.push-failed', { message: error.message }));
  }
}
