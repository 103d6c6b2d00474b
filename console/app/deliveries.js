// What the server sends by itself: each delivery's position, what fails, and what to do about it.

import { getList, now, request } from './api.js';
import { again, dead } from './delivery-again.js';
import { ALL, edit, path } from './delivery-form.js';
import { eventLink, standing, why } from './delivery-why.js';
import { el, fill } from './dom.js';
import { ago, number, t, time } from './i18n.js';
import { at, attempt, facts, poll, problem, question } from './parts.js';

const EVERY = 5; // seconds

export default {
  id: 'deliveries',
  title: 'page.deliveries',
  admin: true,
  show(root, { signal }) {
    const failed = el('div');
    const state = el('p', { class: 'state', role: 'status' }, t('deliveries.loading'));
    const held = el('div');
    const cards = el('div', { class: 'cards', tabindex: '-1' });
    const rest = el('div', { class: 'below' });
    const shown = new Map();
    let pages = 1; // of a hundred deliveries
    const look = attempt(failed, signal, async () => {
      const { list, next } = await getList(pages, ALL, 'deliveries', signal);
      arrange(cards, shown, list, signal, look);
      say(state, list.length ? t('deliveries.count', { n: list.length }) : t('deliveries.none'));
      swap(held, copied(list, signal, look));
      swap(rest, next && el('button', { type: 'button', onclick: () => { pages++; look(); } }, t('deliveries.more')));
    });
    const all = (verb, danger) => el('button', { type: 'button', onclick: () => askAll(verb, danger, signal, look) }, t(`deliveries.${verb}All`));
    root.append(
      el('div', { class: 'page-head' }, el('h1', { tabindex: '-1' }, t('page.deliveries')),
        el('div', { class: 'tools' }, all('pause', true), all('resume'),
          el('button', { type: 'button', class: 'primary', onclick: () => edit(undefined, signal, look) }, t('deliveries.new')))),
      el('p', { class: 'lead' }, t('deliveries.lead')), failed, held, state, cards, rest);
    poll(EVERY, signal, look);
  },
};

const say = (element, text) => element.textContent !== text && fill(element, text); // a change is read out

// swap fills an element unless nothing changes. The focus stays on the element that does the same, else on the one in
// the same place.
function swap(element, ...children) {
  const fresh = fill(element.cloneNode(), ...children);
  if (element.isEqualNode(fresh)) return;
  const controls = () => [...element.querySelectorAll('a, button')];
  const { activeElement } = document;
  const place = controls().indexOf(activeElement);
  fill(element, ...fresh.childNodes);
  if (place < 0) return;
  const { what } = activeElement.dataset;
  const heir = (what && element.querySelector(`[data-what="${what}"]`)) || controls()[place] || controls().at(-1) || element.closest('[tabindex]');
  heir?.focus({ preventScroll: true });
}

// arrange shows a card for each delivery: its existing card, updated.
function arrange(cards, shown, list, signal, look) {
  const names = new Set(list.map(({ name }) => name));
  for (const [name, { element }] of shown) {
    if (names.has(name)) continue;
    if (element.contains(document.activeElement)) cards.focus({ preventScroll: true });
    element.remove();
    shown.delete(name);
  }
  list.forEach((delivery, i) => {
    const { name } = delivery;
    if (!shown.has(name)) shown.set(name, card(signal, look));
    const { element, show } = shown.get(name);
    show(delivery);
    if (cards.children[i] !== element) cards.insertBefore(element, cards.children[i] ?? null);
  });
}

// copied says that the log is a copy, and how much would be sent from it.
function copied(list, signal, look) {
  const silent = list.filter(({ state }) => state === 'held');
  if (!silent.length) return null;
  const events = silent.reduce((sum, one) => sum + one.lag_events, 0);
  return el('p', { class: 'notice' }, t('deliveries.held', { n: silent.length, events: number(events) }), ' ',
    el('button', { type: 'button', 'data-what': 'held', onclick: () => askAll('resume', false, signal, look) }, t('deliveries.resumeAll')));
}

const askAll = (verb, danger, signal, look) => question(
  { title: t(`deliveries.${verb}AllTitle`), text: t(`deliveries.${verb}AllHint`), verb: t(`deliveries.${verb}AllYes`), danger },
  signal, () => request('POST', ALL, { query: { all: verb } }), look);

// card shows a delivery. Results of its buttons appear in it.
function card(signal, look) {
  const title = el('h2');
  const stands = el('div', { class: 'standing' });
  const about = el('div');
  const said = el('div', { role: 'status' });
  const actions = el('div', { class: 'actions' });
  const element = el('section', { class: 'card', tabindex: '-1' }, title, stands, about, said, actions);
  let shown;

  const act = async (method, rest, query) => {
    fill(said);
    try {
      await request(method, path(shown.name, rest), { query });
    } catch (error) {
      if (!signal.aborted) fill(said, problem(error));
      return;
    }
    await look();
  };
  const test = async () => {
    fill(said, el('p', { class: 'hint' }, t('deliveries.testing')));
    try {
      const answer = await (await request('POST', path(shown.name, '/test'))).json();
      if (!signal.aborted) fill(said, tested(answer));
    } catch (error) {
      if (!signal.aborted) fill(said, problem(error));
    }
  };
  const ask = (what, run, params) => question(
    { title: t(`deliveries.${what}Title`, params), text: t(`deliveries.${what}Hint`, params), verb: t(`deliveries.${what}Yes`), danger: true }, signal, run, look);
  const does = {
    test,
    pause: () => act('POST', '/pause'),
    resume: () => act('POST', '/resume'),
    again: () => again(shown, signal, look),
    end: () => act('DELETE', '/replay'),
    dead: () => dead(shown, signal, look),
    skip: () => ask('skip', () => request('POST', path(shown.name, '/skip'), { query: { id: shown.failing.id } }), { id: shown.failing.id }),
    change: () => edit(shown, signal, look),
    remove: () => ask('remove', () => request('DELETE', path(shown.name)), { name: shown.name, n: shown.lag_events }),
  };
  const button = (what, text = t(`deliveries.${what}`), slot = what) => el('button', {
    type: 'button', 'data-what': slot, class: what === 'remove' && 'danger', onclick: () => does[what](),
    'aria-label': t('deliveries.of', { what: text, name: shown.name }),
  }, text);

  return {
    element,
    show(delivery) {
      shown = delivery;
      const { name, state, failing, dead: aside, run } = shown;
      const sends = state === 'running' || state === 'failing';
      swap(title, name, ' ', el('span', { class: `badge ${BADGES[state]}` }, t(`deliveries.state-${state}`)));
      swap(stands, ...standing(shown));
      swap(about, facts(factsOf(shown)));
      swap(actions, ...[
        state !== 'damaged' && state !== 'incomplete' && button('test'),
        (state === 'failing' || state === 'locked') && button('resume', t('deliveries.now'), 'now'),
        sends && button('pause', undefined, 'flow'),
        !sends && !['damaged', 'incomplete', 'locked'].includes(state) && button('resume', undefined, 'flow'),
        failing && button('skip'),
        aside > 0 && button('dead', t('deliveries.dead', { n: aside })),
        run?.state === 'running' ? button('end', undefined, 'again') : (sends || state === 'stopped') && button('again'),
        button('change'), button('remove'),
      ].filter(Boolean));
    },
  };
}

const BADGES = { running: 'live', failing: 'stalled', stopped: 'stalled', disabled: 'stalled', damaged: 'stalled' };

const tested = ({ status, took_seconds: seconds, error }) => (error ?
  el('p', { class: 'problem' }, why(error)) :
  el('p', { class: 'good' }, t('deliveries.tested', { status, seconds: number(seconds, { maximumFractionDigits: 3 }) })));

function factsOf(d) {
  const { kind, origin, to, topics, order, in_flight: requests, cursor, sent, failing, held_back: back, secret, run } = d;
  const people = kind !== 'webhook';
  return [
    [t('deliveries.to'), [t(`deliveries.kind-${kind || 'none'}`), ' ', el('code', {}, to || origin)]],
    [t('deliveries.topics'), topics.map(topic => [el('code', {}, topic), ' ']).flat()],
    [t('deliveries.behind'), behind(d)],
    [t('deliveries.place'), /^0+$/.test(cursor) ? t('deliveries.placeStart') : eventLink(cursor)],
    [t('deliveries.sent'), sent ? at(sent) : t('deliveries.notYet')],
    [t('deliveries.failing'), failing ? [eventLink(failing.id), ' ', t('deliveries.last', { at: time(failing.last) })] : undefined],
    [t('deliveries.back'), back ? t(`deliveries.back-${order}`, { n: back }) : undefined],
    [t('deliveries.order'), people ? undefined : t(`deliveries.order-${order}`, { n: requests })],
    [t('deliveries.tells'), people && kind ? t(`deliveries.detail-${d.detail}`) : undefined],
    [t('deliveries.secret'), secret.set ? t('deliveries.secretSet', { at: time(secret.changed) }) : undefined],
    [t('deliveries.run'), run ? runText(run) : undefined],
    [t('deliveries.made'), t('deliveries.madeBy', { by: d.created_by || t('deliveries.nobody'), at: time(d.created, { dateStyle: 'medium' }) })],
  ];
}

// behind says how many events wait, and how long the oldest has waited.
function behind({ lag_events: events, lag_seconds: seconds }) {
  if (events === 0) return t('connections.nothing');
  const count = t(events >= COUNTED ? 'connections.orMore' : 'connections.events', { n: events });
  const title = t('deliveries.lagSeconds', { seconds: number(seconds, { maximumFractionDigits: 0 }) });
  return el('span', { title }, t('deliveries.lag', { count, ago: ago(now() - seconds * 1000, now()) }));
}

const COUNTED = 1000; // the server counts no further

const runText = ({ kind, state, sent, refused, gone, error }) => [
  t(`deliveries.run-${kind}-${state}`), ' ', t('deliveries.runCounts', { sent, refused, gone }), error && [' ', why(error)],
].flat();
