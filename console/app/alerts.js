// The alerts: a live feed, newest first, with older events below.

import * as cards from './card.js';
import { command as curl } from './curl.js';
import { el, fill } from './dom.js';
import { openEvent } from './event-detail.js';
import { t } from './i18n.js';
import { List } from './list.js';
import { command, words } from './parts.js';
import * as session from './session.js';

const SHOWN = 200; // entries added to the list at a time
const SETTLED = 3_000; // ms that a connection may take

// alerts is the page for an inbox. watch(topics) changes what it watches.
export const alerts = (inbox, watch) => ({
  id: 'alerts',
  title: 'page.alerts',
  show(root, { signal, go }) {
    const heading = el('h1', { tabindex: '-1' }, t('page.alerts'));
    const count = el('p', { class: 'count' });
    const note = el('p', { class: 'note' });
    const readAll = el('button', { type: 'button', onclick: () => mark() }, t('alerts.read-all'));
    const problem = el('p', { class: 'problem', role: 'alert' });
    const fresh = el('button', { type: 'button', class: 'fresh primary', hidden: true, onclick: toTop });
    const feed = el('div', { class: 'feed' });
    const below = el('div', { class: 'below' });
    root.append(
      el('div', { class: 'page-head' }, heading, count, readAll),
      filter(inbox.topics, watch), note, problem, fresh, feed, below);

    let arrived = 0; // since the top was in view
    let frame = 0;
    let marked; // the read mark that the rows show
    let told; // the refusal shown
    let wait; // until a connection problem is worth a sentence
    const list = new List(feed, {
      row, key: entry => entry.key, label: t('alerts.feed'), signal, estimate: 84, follow: true,
      onNeedAfter: older,
      onTop: () => {
        arrived = 0;
        schedule();
      },
    });

    function row(entry) {
      if (entry.kind === 'gap') return cards.gap(entry);
      if (entry.kind === 'missed') return cards.missed(entry);
      const card = cards.card(entry, { read: mark, open: ({ id }) => openEvent(id, signal) });
      card.classList.toggle('unread', inbox.isUnread(entry));
      return card;
    }

    // The list shows the newest loaded entries, and then asks for older ones.
    async function older() {
      const rest = inbox.entries.length - list.length;
      if (rest > 0) return void list.append(inbox.entries.slice(Math.max(0, rest - SHOWN), rest).reverse());
      try {
        const entries = await inbox.older();
        if (signal.aborted) return false;
        fill(below, entries.length ? null : el('p', { class: 'hint' }, t('alerts.begin')));
        list.append(entries.reverse());
        return entries.length > 0;
      } catch (error) {
        if (!signal.aborted) fill(below, el('p', { class: 'problem' }, t('alerts.older-failed', { message: error.message })));
        throw error;
      }
    }

    async function mark(entry) {
      try {
        await inbox.read(entry);
        fill(problem);
      } catch (error) {
        if (!signal.aborted) fill(problem, t('alerts.read-failed', { message: error.message }));
      }
    }

    function reset() {
      list.clear();
      fill(below);
      list.append(inbox.entries.slice(-SHOWN).reverse());
      show();
    }

    function came({ detail }) {
      if (list.length === 0) fill(below);
      list.prepend([detail]);
      list.keepFirst(inbox.entries.length);
      if (!list.atTop) arrived++;
      schedule();
    }

    function schedule() {
      frame ||= requestAnimationFrame(show);
    }

    function show() {
      frame = 0;
      if (signal.aborted) return;
      const { unread, capped, problem: refused, ready, entries } = inbox;
      say(count, unread ? t(capped ? 'alerts.unread-capped' : 'alerts.unread', { n: unread }) : '');
      hide(readAll, unread === 0, heading);
      hide(fresh, arrived === 0, feed);
      if (arrived) say(fresh, t('alerts.fresh', { n: arrived }));
      if (marked !== inbox.mark) for (const [entry, node] of list.rendered()) node.classList.toggle('unread', inbox.isUnread(entry));
      marked = inbox.mark;
      if (refused !== told) fill(problem, refused && t('alerts.refused', { message: refused.message }));
      told = refused;
      if (ready && !entries.length) fill(below, empty(inbox.topics, watch));
      if (!ready) fill(below, refused ? null : el('p', { class: 'hint', role: 'status' }, t('card.loading')));
    }

    function connection() {
      schedule();
      clearTimeout(wait);
      say(note, '');
      const hint = t(`state.${inbox.shown}-hint`);
      if (!['live', 'catching-up', 'refused'].includes(inbox.shown)) wait = setTimeout(() => say(note, hint), SETTLED);
    }

    signal.addEventListener('abort', () => {
      cancelAnimationFrame(frame);
      clearTimeout(wait);
    });
    inbox.addEventListener('reset', reset, { signal });
    inbox.addEventListener('entry', came, { signal });
    inbox.addEventListener('unread', schedule, { signal });
    inbox.addEventListener('state', connection, { signal });
    if (inbox.ready) reset();
    connection();
  },
});

function say(element, text) {
  if (element.textContent !== text) fill(element, text);
}

// hide hides or shows a button. If it has the focus, the focus moves elsewhere.
function hide(button, is, elsewhere) {
  if (is && button === document.activeElement) elsewhere.focus({ preventScroll: true });
  button.hidden = is;
}

function toTop() {
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches || window.scrollY > 4000;
  window.scrollTo({ top: 0, behavior: calm ? 'instant' : 'smooth' });
}

// --- the topics watched

const PATTERN = /^(>|\$?[A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?$/;

function filter(topics, watch) {
  const input = el('input', {
    id: 'watched', value: topics.join(' '), placeholder: t('alerts.everything'), autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false',
    maxlength: '240', 'aria-describedby': 'watched-hint',
  });
  const hint = el('p', { id: 'watched-hint', class: 'hint' }, t('alerts.filter-hint'));
  const submit = event => {
    event.preventDefault();
    const wanted = [...new Set(words(input.value))];
    const wrong = wanted.find(pattern => !PATTERN.test(pattern));
    input.setAttribute('aria-invalid', String(Boolean(wrong)));
    if (wrong) fill(hint, t('alerts.filter-wrong', { pattern: wrong }));
    else watch(wanted);
  };
  return el('form', { class: 'watch', role: 'search', onsubmit: submit },
    el('label', { for: 'watched' }, t('alerts.filter')), input, el('button', {}, t('alerts.watch')), hint);
}

// --- nothing yet

function empty(topics, watch) {
  if (topics.length) {
    return el('div', { class: 'empty' },
      el('h2', {}, t('alerts.none-watched')),
      el('p', {}, t('alerts.none-watched-hint', { topics: topics.join(' ') })),
      el('button', { type: 'button', onclick: () => watch([]) }, t('alerts.watch-all')));
  }
  const example = command(t('alerts.example'));
  const body = JSON.stringify({ number: 1001, total: '79.90', currency: 'EUR', line_items: [{ name: 'Tea', quantity: 2 }] });
  example.show(curl('POST', '/v1/topics/orders/events', { query: { type: 'order.created' }, body, token: session.token }));
  return el('div', { class: 'empty' },
    el('h2', {}, t('alerts.none')),
    el('p', {}, t('alerts.none-hint')),
    example.element,
    el('p', {}, t('alerts.or'), ' ', el('a', { href: '#/try' }, t('page.try'))));
}
