// An event as a card: what a person looks for first, and the payload on request.

import { request } from './api.js';
import { el, fill } from './dom.js';
import { t, time } from './i18n.js';
import { indent, members } from './raw-json.js';
import { timeOf } from './ulid.js';

const opened = new Set(); // IDs whose payload is shown: a card may leave the document and return

// card creates the <article> of an entry. read(entry) marks everything up to it as read, open(entry) shows it in full.
export function card(entry, { read, open }) {
  const { toggle, text } = payload(entry);
  const title = el('h2', { id: `title-${entry.id}` }, el('span', { class: 'new' }, t('card.unread'), ' '), el('bdi', {}, entry.title));
  return el('article', { class: `event ${entry.kind}`, 'aria-labelledby': title.id },
    el('header', {},
      title,
      entry.state && el('span', { class: 'state' }, entry.state),
      entry.amount && el('span', { class: 'amount' }, entry.amount)),
    entry.facts?.some(Boolean) && el('p', { class: 'event-facts' }, entry.facts.filter(Boolean).map(fact => el('span', {}, fact))),
    entry.text && el('p', { class: 'text' }, entry.text),
    el('footer', {},
      el('span', { class: 'meta' },
        el('time', { datetime: entry.time, title: time(entry.time, WHOLE) }, when(entry.time)),
        el('a', { class: 'topic', href: `#/log?${new URLSearchParams({ topic: entry.topic })}`, title: t('card.in-log') }, entry.topic),
        entry.type !== entry.title && el('code', { class: 'type' }, entry.type)),
      el('span', { class: 'tools' },
        el('button', { type: 'button', class: 'plain read', onclick: ({ target }) => {
          if (target.matches(':focus-visible')) target.closest('article').focus({ preventScroll: true }); // the button goes
          read(entry);
        } }, t('card.read')),
        el('button', { type: 'button', class: 'plain', onclick: () => open(entry) }, t('card.open')),
        toggle)),
    text);
}

// gap and missed create the <article>s of entries that are not events.
export function gap({ key, gap: { reason, requested, through } }) {
  const title = el('h2', { id: key.replace(' ', '-') }, t('gap.title'));
  return el('article', { class: 'event gap', 'aria-labelledby': title.id },
    title,
    el('p', {}, t(`gap.${reason}`)),
    el('p', { class: 'event-facts' },
      reason !== 'corrupt' && el('span', {}, t('gap.requested'), ' ', place(requested)),
      el('span', {}, t('gap.through'), ' ', place(through))));
}

// place shows a position in the log: as a time, if it is an ID.
function place(id) {
  if (/^0{26}$/.test(id)) return t('gap.beginning');
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id)) return el('code', {}, id);
  return [when(timeOf(id)), ' ', el('code', {}, id)];
}

export function missed({ key, missed: n }) {
  const title = el('h2', { id: key.replace(' ', '-') }, t('state.caught-up', { n }));
  return el('article', { class: 'event missed', 'aria-labelledby': title.id }, title);
}

const WHOLE = { dateStyle: 'full', timeStyle: 'long' };
const TODAY = { timeStyle: 'medium' };
const THIS_YEAR = { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' };

function when(value) {
  const then = new Date(value), now = new Date();
  if (then.toDateString() === now.toDateString()) return time(then, TODAY);
  return time(then, then.getFullYear() === now.getFullYear() ? THIS_YEAR : undefined);
}

// payload loads when it is unfolded.
function payload({ id, title }) {
  const text = el('pre', { id: `payload-${id}`, tabindex: '0', role: 'region', 'aria-label': t('card.payload-of', { title }) });
  const show = open => {
    opened[open ? 'add' : 'delete'](id);
    toggle.ariaExpanded = String(open);
    text.hidden = !open;
    if (open && !text.hasChildNodes()) load(id, text);
  };
  const toggle = el('button', {
    type: 'button', class: 'plain fold', 'aria-controls': text.id, onclick: () => show(text.hidden),
  }, t('card.payload'));
  show(opened.has(id));
  return { toggle, text };
}

async function load(id, element) {
  fill(element, t('card.loading'));
  try {
    const raw = await (await request('GET', `/v1/events/${id}`)).text();
    const found = members(raw);
    const whole = indent(found.get('data') ?? found.get('data_base64'));
    fill(element, whole.length > LONGEST ? `${whole.slice(0, LONGEST)}\n… ${t('card.cut', { n: whole.length - LONGEST })}` : whole);
  } catch (error) {
    fill(element, error.code === 'event-not-found' ? t('card.gone') : t('card.failed', { message: error.message }));
  }
}

const LONGEST = 20_000; // characters of a payload that are shown
