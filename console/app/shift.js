// The shift: the alerts that demand an answer, and who took what. The element that lists them rings whichever page is shown.

import '../alarm.js';
import { get } from './api.js';
import { el, fill } from './dom.js';
import { language, t, time } from './i18n.js';
import { attempt, at, poll } from './parts.js';
import { summary } from './summary.js';

const PATTERNS = 32; // of a grant: a subscription has twice as many topics
const ANSWERS = 50;
const EVERY = 30; // seconds

// Shift is made once for a session. It tells of "alerts", when the number of open ones or whether they ring may have changed.
export class Shift extends EventTarget {
  bar = el('div', { class: 'alarm-bar', role: 'alert' }); // on the other pages, while it rings
  rest = el('div', { hidden: true }); // where the element is while its page is not shown
  page;
  #alarm; #shown = false;

  constructor(grant, signal) {
    super();
    const topics = grant.subscribe.includes('>') ? ['>'] : grant.subscribe.slice(0, PATTERNS);
    const alarm = this.#alarm = el('tidings-alarm', { lang: language, topics: topics.join(' '), calls: 'sound badge notification' });
    alarm.describe = describe(signal);
    for (const type of ['alerts', 'ring']) alarm.addEventListener(type, () => this.#tell());
    this.rest.append(alarm);
    signal.addEventListener('abort', () => alarm.remove());
    this.page = { id: 'shift', title: 'page.shift', show: (root, { signal }) => this.#show(root, signal, topics) };
  }

  get open() { return this.#alarm.open; }
  get rings() { return this.#alarm.alerts.some(({ rings }) => rings); }

  #show(root, signal, topics) {
    const failed = el('div');
    const answers = answered();
    const look = attempt(failed, signal, async () => {
      const query = { topic: topics.map(topic => `$alerts.${topic}`), limit: ANSWERS };
      const { events } = await get('/v1/events', query, signal);
      answers.show(events.reverse());
    });
    this.#shown = true;
    this.#tell();
    root.append(
      el('h1', { tabindex: '-1' }, t('page.shift')), this.#alarm,
      el('section', { class: 'answers' }, el('h2', {}, t('shift.answers')), failed, answers.element));
    this.#alarm.addEventListener('alerts', changed(look), { signal });
    poll(EVERY, signal, look);
    signal.addEventListener('abort', () => {
      this.#shown = false;
      if (this.#alarm.isConnected) this.rest.append(this.#alarm);
      this.#tell();
    });
  }

  #tell() {
    const n = this.#alarm.alerts.filter(({ rings }) => rings).length;
    const text = !n || this.#shown ? '' : t('shift.rings', { n });
    if (this.bar.textContent !== text) fill(this.bar, text && el('a', { href: '#/shift' }, text));
    this.dispatchEvent(new Event('alerts'));
  }
}

// changed calls look when another answer was given, not with every alert that comes.
function changed(look) {
  let last = '';
  return ({ detail: { alerts } }) => {
    const now = alerts.map(({ id, state, handle, changed }) => `${id} ${state} ${handle} ${changed}`).join();
    if (now !== last) look();
    last = now;
  };
}

// describe calls an alert what the feed calls its event.
const describe = signal => async ({ id }) => summary(await get(`/v1/events/${id}`, {}, signal)).title;

// answered is the list of the newest answers.
function answered() {
  const none = el('p', { class: 'hint' }, t('shift.none'));
  const list = el('ol', { class: 'answered', role: 'list' });
  let shown;
  return {
    element: el('div', {}, none, list),
    show(events) {
      const newest = events.at(0)?.id;
      if (shown !== newest) fill(list, events.map(answer));
      shown = newest;
      none.hidden = events.length > 0;
      list.hidden = !none.hidden;
    },
  };
}

const answer = ({ id, topic, type, data, ce, time }) => el('li', { id: `answer-${id}` },
  at(time), ' ', el('strong', {}, t(`shift.${TOLD[type] ?? 'other'}`, { type, ...told(data) })), ' ',
  el('a', { href: `#/log?id=${encodeURIComponent(ce?.subject ?? '')}` }, topic.replace(/^\$alerts\./, '')),
  data?.note && el('bdi', {}, ' ', data.note));

const TOLD = {
  'alert.claimed': 'claimed', 'alert.released': 'released', 'alert.done': 'done', 'alert.handed-over': 'handed-over',
  'alert.undone': 'undone', 'alert.snoozed': 'snoozed', 'alert.step': 'step', 'alert.expired': 'expired',
};

const told = ({ by, to, step, delivery, until, reason } = {}) => ({
  by: named(by), to: named(to), step: step ?? 0, delivery: delivery ?? '', reason: reason ?? '',
  until: until ? time(until, { timeStyle: 'short' }) : '',
});
const named = person => person?.name || person?.subject || person?.device || t('shift.somebody');
