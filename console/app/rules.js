// The rules: which events demand an answer, when, and who is notified if nobody gives one.

import { get, request, unlessChanged } from './api.js';
import { el, fill } from './dom.js';
import { number, t, time } from './i18n.js';
import { attempt, dialog, facts, field, poll, problem, question, refill, words } from './parts.js';

const EVERY = 10; // seconds
const HOUR = 3_600_000; // ms
const UNHEARD = 120; // seconds, the server's default
const SET = ['topics', 'types', 'min_severity', 'hours', 'always', 'steps', 'muted_until', 'unheard_after_seconds']; // a rule's settings

export default {
  id: 'rules',
  title: 'page.rules',
  admin: true,
  show(root, { signal }) {
    const failed = el('div');
    const cards = el('div', { class: 'cards', tabindex: '-1' });
    const held = el('div');
    let shown;
    const look = attempt(failed, signal, async () => {
      const answer = await get('/v1/alerts', {}, signal);
      const now = JSON.stringify(answer);
      if (now === shown) return;
      shown = now;
      refill(cards, answer.rules.map(rule => card(rule, signal, act)), answer.rules.length ? null : el('p', { class: 'hint' }, t('rules.none')));
      fill(held, answer.held && el('p', { class: 'notice' }, t('rules.held'), ' ',
        el('button', { type: 'button', onclick: () => act(() => request('POST', '/v1/alerts', { query: { all: 'resume' } })) }, t('rules.resume'))));
    });
    const act = async what => {
      try {
        await what();
      } catch (error) {
        if (!signal.aborted) fill(failed, problem(error));
        return;
      }
      await look();
    };
    root.append(
      el('div', { class: 'page-head' }, el('h1', { tabindex: '-1' }, t('page.rules')),
        el('button', { type: 'button', class: 'primary', onclick: () => edit(undefined, signal, look) }, t('rules.new'))),
      el('p', { class: 'lead' }, t('rules.lead')), failed, held, cards);
    poll(EVERY, signal, look);
  },
};

const path = name => `/v1/alerts/${encodeURIComponent(name)}`;

// put changes a rule unless somebody else has meanwhile; without a tag it makes one.
const put = (name, tag, rule) => request('PUT', path(name), {
  body: JSON.stringify(Object.fromEntries(SET.map(member => [member, rule[member]]))),
  headers: { 'Content-Type': 'application/json', ...unlessChanged(tag) },
});

function card(rule, signal, act) {
  const { name, topics, types, steps, hours, always, open, more, muted_until: muted, unheard_after_seconds: after, unheard_since: unheard, signed_off_until: off } = rule;
  const isMuted = muted && Date.parse(muted) > Date.now();
  const mute = () => act(() => put(name, rule.tag, { ...rule, muted_until: isMuted ? null : new Date(Date.now() + HOUR).toISOString() }));
  const button = (text, onclick, kind) => el('button', { type: 'button', class: kind, onclick, 'aria-label': t('rules.of', { what: text, name }) }, text);
  return el('section', { class: 'card' },
    el('h2', {}, name), isMuted && el('p', { class: 'note' }, t('rules.isMuted', { until: time(muted) })),
    facts([
      [t('rules.topics'), topics.map(topic => [el('code', {}, topic), ' ']).flat()],
      [t('rules.types'), types.length ? types.map(type => [el('code', {}, type), ' ']).flat() : t('rules.allTypes')],
      [t('rules.steps'), steps.length ? steps.map(step => el('div', {}, stepText(step))) : t('rules.noSteps')],
      [t('rules.hours'), hours ? [...hours.open.map(one => el('div', {}, spanText(one))), hours.zone, always && ` · ${t('rules.alwaysToo')}`] : t('rules.anytime')],
      [t('rules.open'), number(open + more)],
      [t('rules.unheard'), [after ? t('rules.unheardAfter', { seconds: after }) : t('rules.unheardNever'), unheard && el('div', { class: 'bad' }, t('shift.unheardSince', { since: time(unheard) })),
        off && el('div', {}, t('shift.signedOff', { until: time(off) }))]],
    ]),
    el('div', { class: 'actions' },
      button(t('rules.change'), () => edit(rule, signal, () => act(() => {}))),
      button(t(isMuted ? 'rules.unmute' : 'rules.mute'), mute),
      button(t('rules.delete'), () => confirmDelete(rule, signal, () => act(() => {})), 'danger')));
}

// --- hours and steps as lines of text

const spanText = ({ days, from, to }) => `${days.join(' ')} ${from}-${to}`;

function spanOf(line) {
  const [, days, from, to] = /^(.*?)\s*(\d\d:\d\d)\s*[-–]\s*(\d\d:\d\d)$/.exec(line) ?? [];
  if (!days) throw new Error(t('rules.hoursWrong', { line }));
  return { days: days.toLowerCase().split(/[\s,]+/), from, to };
}

const stepText = ({ after_seconds: seconds, delivery, push }) => (push ? t('rules.stepPush', { seconds }) : t('rules.step', { seconds, delivery }));

function stepOf(line) {
  const [, pushed] = /^(\d+)@push$/.exec(line) ?? []; // not the name of a delivery
  if (pushed) return { after_seconds: Number(pushed), push: true };
  const [, seconds, delivery] = /^(\d+)\s+(\S+)$/.exec(line) ?? [];
  if (!delivery) throw new Error(t('rules.stepWrong', { line }));
  return { after_seconds: Number(seconds), delivery };
}

const lines = text => text.split('\n').map(line => line.trim()).filter(Boolean);

// edit shows a dialog that creates or changes a rule.
function edit(rule, signal, done) {
  const { name, topics = [], types = [], min_severity: severity = 0, hours, always = false, steps = [], muted_until: muted, unheard_after_seconds: after = UNHEARD } = rule ?? {};
  const input = (id, value, more) => el('input', { name: id, value, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', ...more });
  const zoneHere = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const form = {
    name: input('name', name ?? '', { required: true, maxlength: 64, readonly: Boolean(rule) }),
    topics: input('topics', topics.join(' '), { required: true }),
    types: input('types', types.join(' ')),
    steps: el('textarea', { name: 'steps', rows: 3 }, steps.map(step => `${step.after_seconds}${step.push ? '@push' : ` ${step.delivery}`}`).join('\n')),
    hours: el('textarea', { name: 'hours', rows: 3 }, (hours?.open ?? []).map(spanText).join('\n')),
    zone: input('zone', hours?.zone ?? zoneHere),
    always: el('input', { name: 'always', type: 'checkbox', checked: always }),
    unheard: input('unheard', after, { type: 'number', min: 0, max: 604800, required: true }),
  };
  const failed = el('div');
  const save = async event => {
    event.preventDefault();
    try {
      const open = lines(form.hours.value).map(spanOf);
      await put(form.name.value.trim(), rule?.tag, {
        topics: words(form.topics.value), types: words(form.types.value), min_severity: severity, always: form.always.checked,
        steps: lines(form.steps.value).map(stepOf), hours: open.length ? { zone: form.zone.value.trim(), open } : null, muted_until: muted ?? null,
        unheard_after_seconds: Number(form.unheard.value),
      });
      box.close();
    } catch (error) {
      if (!signal.aborted) fill(failed, problem(error));
    }
    await done(); // also after a failure: somebody else may have changed the rule
  };
  const box = dialog(t(rule ? 'rules.changeTitle' : 'rules.newTitle'), signal, el('form', { class: 'rule', onsubmit: save },
    field(t('rules.name'), form.name, t('rules.nameHint')),
    field(t('rules.topics'), form.topics, t('alerts.filter-hint')),
    field(t('rules.types'), form.types, t('rules.typesHint')),
    field(t('rules.steps'), form.steps, t('rules.stepsHint')),
    field(t('rules.hours'), form.hours, t('rules.hoursHint')),
    field(t('rules.zone'), form.zone),
    el('label', { class: 'option check' }, form.always, el('span', {}, t('rules.always'))),
    field(t('rules.unheard'), form.unheard, t('rules.unheardHint')),
    failed,
    el('div', { class: 'actions' },
      el('button', { type: 'button', onclick: () => box.close() }, t('parts.cancel')),
      el('button', { class: 'primary' }, t('rules.save')))));
}

const confirmDelete = ({ name, open }, signal, done) => question(
  { title: t('rules.deleteTitle', { name }), text: t('rules.deleteHint', { n: open }), verb: t('rules.delete'), danger: true },
  signal, () => request('DELETE', path(name), { signal }), done);
