// The shift: the open alerts, and who took what. The element that lists them rings whichever page is shown.

import '../alarm.js';
import { get } from './api.js';
import { el, fill } from './dom.js';
import { language, t, time } from './i18n.js';
import { attempt, at, poll, problem } from './parts.js';
import { summary } from './summary.js';

const PATTERNS = 32; // of a grant: a subscription has twice as many topics
const ANSWERS = 50;
const SHIFT = 12 * 3600; // seconds that a sign-off lasts if a rule has no hours
const EVERY = 30; // seconds

// Shift is created once per session. It dispatches "alerts" when the number of open ones, or whether they ring, may
// have changed.
export class Shift extends EventTarget {
  bar = el('div', { class: 'alarm-bar', role: 'alert' }); // shown on other pages while it rings
  rest = el('div', { hidden: true }); // holds the element while its page is not shown
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
    const failed = el('div'), refused = el('div');
    const answers = answered();
    const rules = signing(this.#alarm, error => fill(refused, error && problem(error)));
    const look = attempt(failed, signal, async () => {
      const query = { topic: topics.map(topic => `$alerts.${topic}`), limit: ANSWERS };
      const { events } = await get('/v1/events', query, signal);
      answers.show(events.reverse());
    });
    this.#shown = true;
    this.#tell();
    root.append(
      el('h1', { tabindex: '-1' }, t('page.shift')), this.#alarm, refused, rules.element,
      el('section', { class: 'answers' }, el('h2', {}, t('shift.answers')), failed, answers.element));
    this.#alarm.addEventListener('alerts', changed(look), { signal });
    this.#alarm.addEventListener('alerts', rules.show, { signal });
    rules.show();
    poll(EVERY, signal, look);
    signal.addEventListener('abort', () => {
      this.#shown = false;
      if (this.#alarm.isConnected) this.rest.append(this.#alarm);
      this.#tell();
    });
  }

  #tell() {
    const n = this.#alarm.alerts.filter(({ rings }) => rings).length;
    const unheard = this.#alarm.rules.filter(rule => rule.unheard_since).map(({ name }) => name).join(', ');
    const text = this.#shown ? '' : n ? t('shift.rings', { n }) : unheard && t('shift.nobodyHears', { unheard });
    if (this.bar.textContent !== text) fill(this.bar, text && el('a', { href: '#/shift' }, text));
    this.dispatchEvent(new Event('alerts'));
  }
}

// signing lists the rules, and lets a person sign off: nobody is on duty, the shop is closed today.
function signing(alarm, tell) {
  const list = el('ol', { class: 'listened', role: 'list', tabindex: '-1' });
  const element = el('section', { class: 'answers', hidden: true }, el('h2', {}, t('shift.rules')), list);
  let shown;
  const act = what => async () => {
    try {
      await what();
      tell();
    } catch (error) {
      tell(error);
    }
  };
  const row = ({ name, unheard_since: unheard, signed_off_until: off, has_hours: hours }) => {
    const press = (text, what) => el('button', { type: 'button', 'aria-label': t('rules.of', { what: text, name }), onclick: act(what) }, text);
    const state = off ? t('shift.signedOff', { until: time(off) }) : unheard ? t('shift.unheardSince', { since: time(unheard) }) : t('shift.heard');
    const button = off ? press(t('shift.signOn'), () => alarm.signOn(name))
      : press(t(hours ? 'shift.signOff' : 'shift.signOffFor'), () => alarm.signOff(name, hours ? undefined : SHIFT));
    return el('li', {}, el('strong', {}, name), ' ', el('span', { class: unheard && !off && 'bad' }, state), ' ', button);
  };
  return {
    element,
    show() {
      const now = JSON.stringify(alarm.rules);
      if (now === shown) return;
      shown = now;
      const focused = list.contains(document.activeElement);
      fill(list, alarm.rules.map(row));
      if (focused) list.focus(); // the focused button is gone
      element.hidden = alarm.rules.length === 0;
    },
  };
}

// changed calls look when an answer was given, not for every new alert.
function changed(look) {
  let last = '';
  return ({ detail: { alerts } }) => {
    const now = alerts.map(({ id, state, handle, changed }) => `${id} ${state} ${handle} ${changed}`).join();
    if (now !== last) look();
    last = now;
  };
}

// describe names an alert as the feed names its event.
const describe = signal => async ({ id }) => summary(await get(`/v1/events/${id}`, {}, signal)).title;

// answered shows the newest answers.
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
  at(time), ' ', el('strong', {}, t(`shift.${kindOf(type, data)}`, { type, ...told(data) })), ' ',
  el('a', { href: `#/log?id=${encodeURIComponent(ce?.subject ?? id)}` }, ce?.subject ? topic.replace(/^\$alerts\./, '') : data?.rule ?? topic),
  data?.note && el('bdi', {}, ' ', data.note));

const kindOf = (type, data) => (type === 'alert.unheard' && !data?.delivery && !data?.push ? 'unheardNowhere' : TOLD[type] ?? 'other');
const TOLD = {
  'alert.claimed': 'claimed', 'alert.released': 'released', 'alert.done': 'done', 'alert.handed-over': 'handed-over',
  'alert.undone': 'undone', 'alert.snoozed': 'snoozed', 'alert.step': 'step', 'alert.expired': 'expired',
  'alert.unheard': 'unheard', 'alert.withdrawn': 'withdrawn', 'alert.signed-off': 'signed-off', 'alert.signed-on': 'signed-on',
};
const REASONS = ['heard', 'closed', 'muted', 'signed-off', 'off']; // why a rule is no longer reported as unheard

const told = ({ by, to, rule, step, delivery, push, until, reason } = {}) => ({
  by: named(by), to: named(to), rule: rule ?? '', step: step ?? 0, delivery: push ? t('shift.devices') : delivery ?? '',
  reason: REASONS.includes(reason) ? t(`shift.reason-${reason}`) : reason ?? '',
  until: until ? time(until, { timeStyle: 'short' }) : '',
});
const named = person => person?.name || person?.subject || person?.device || t('shift.somebody');
