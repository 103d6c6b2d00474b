// Pushes to this device while the console is closed: the switch, and closing notifications that were read.

import { push, pushState, readPushes, stopPush } from '../push.js';
import { base, get } from './api.js';
import { el, fill } from './dom.js';
import { language, t } from './i18n.js';
import { recall, remember } from './stored.js';

const LEAVING = 3_000; // ms that signing out waits for the server

// Pushes belongs to the person signed in. It renews this browser's device if that person turned pushes on; pushes for
// somebody else end.
export class Pushes {
  #options;
  #subject;
  option = el('div', { class: 'part' }); // in the settings
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
      if (recall('push') === this.#subject) await push(this.#options); // valid for some more days
      else await stopPush();
    } catch (error) {
      this.#fail(error);
    }
  }

  // end stops pushing what only this person may read to this device.
  async end() {
    if (recall('push') === null) return;
    remember('push', null);
    await Promise.race([stopPush().catch(() => {}), new Promise(resolve => setTimeout(resolve, LEAVING))]); // the push service tells the server
  }

  // look shows the switch if the server sends pushes and the browser accepts them.
  async look() {
    try {
      const state = await pushState();
      if (state === 'unsupported' || !this.#options.topics.length) return void fill(this.option);
      await get('/v1/push'); // throws if the server does not send pushes
      this.#box.checked = state === 'on';
      fill(this.option, this.#label, this.#failed);
    } catch {
      fill(this.option);
    }
  }

  async #turn(on) {
    fill(this.#failed, '');
    remember('push', on ? this.#subject : null); // first: the page may be gone as soon as the server knows
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
