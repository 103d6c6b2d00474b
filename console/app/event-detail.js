// One event in full.

import { request } from './api.js';
import { isText, publishing, reading } from './curl.js';
import { el, fill } from './dom.js';
import { bytes, t } from './i18n.js';
import { at, command, copyButton, dialog, facts, problem, shellHint } from './parts.js';
import { indent, members } from './raw-json.js';
import * as session from './session.js';

// SHOWN is how many characters of a payload are shown at first: more would slow the browser down.
const SHOWN = 100_000;

const ZONED = { dateStyle: 'medium', timeStyle: 'long' };

// openEvent shows an event in a dialog, and returns the dialog.
export function openEvent(id, signal) {
  const content = el('div', { class: 'event-detail' }, el('p', { role: 'status' }, t('event.loading')));
  const element = dialog(t('event.title'), signal, content);
  element.classList.add('wide');
  const close = el('button', { type: 'button', class: 'close', onclick: () => element.close() }, t('parts.close'));
  element.prepend(close);
  close.focus();
  load(id, signal).then(([event, raw]) => fill(content, describe(event, raw)), error => {
    if (!signal.aborted) fill(content, problem(error));
  });
  return element;
}

// load gets an event, and its members as raw texts.
async function load(id, signal) {
  const text = await (await request('GET', `/v1/events/${encodeURIComponent(id)}`, { signal })).text();
  return [JSON.parse(text), members(text)];
}

function describe(event, raw) {
  const id = el('code', {}, event.id);
  const around = new URLSearchParams({ topic: event.topic, since: event.time });
  return [
    facts([
      [t('event.id'), [id, copyButton(t('event.id'), () => event.id, id)]],
      [t('event.topic'), el('a', { href: `#/log?${new URLSearchParams({ topic: event.topic })}` }, event.topic)],
      [t('event.type'), el('bdi', {}, event.type)],
      [t('event.time'), [at(event.time, ZONED), ' ', el('a', { href: `#/log?${around}` }, t('event.around'))]],
      [t('event.contentType'), event.datacontenttype && el('bdi', {}, event.datacontenttype)],
    ]),
    event.ce && el('section', {}, el('h3', {}, t('event.cloudEvent')),
      facts([...members(raw.get('ce'))].map(([name, value]) => [name, el('bdi', {}, plain(value))]))),
    payload(event, raw),
    ...commands(event, raw),
  ];
}

// plain returns a JSON value without a string's quotes.
const plain = text => (text.startsWith('"') ? JSON.parse(text) : text);

function payload(event, raw) {
  const { text, size, note } = content(event, raw);
  const shown = el('code', {}, text.slice(0, SHOWN));
  const whole = el('pre', { class: 'payload', tabindex: '0', role: 'region', 'aria-label': t('event.payload') }, shown);
  const rest = text.length > SHOWN && el('button', {
    type: 'button',
    onclick: () => {
      shown.append(text.slice(SHOWN));
      whole.focus({ preventScroll: true });
      rest.remove();
    },
  }, t('event.showRest', { size: bytes(text.length) }));
  return el('section', {},
    el('div', { class: 'command-head' },
      el('h3', {}, t('event.payload')), el('span', { class: 'hint' }, size), text && copyButton(t('event.payload'), () => text, shown)),
    note && el('p', { class: 'hint' }, note),
    text && whole,
    rest);
}

function content(event, raw) {
  if (event.data_base64 !== undefined) {
    const padding = event.data_base64.match(/=*$/)[0].length;
    return { text: event.data_base64, size: bytes((event.data_base64.length / 4) * 3 - padding), note: t('event.base64') };
  }
  const data = raw.get('data');
  if (isText(event)) return { text: event.data, size: sizeOf(event.data), note: event.data === '' && t('event.empty') };
  if (event.data === null && event.datacontenttype === undefined) return { text: '', size: bytes(0), note: t('event.empty') };
  return { text: indent(data), size: sizeOf(data) };
}

const sizeOf = text => bytes(new TextEncoder().encode(text).length);

function commands(event, raw) {
  const again = command(t('event.publishAgain'));
  const read = command(t('event.read'));
  again.show(publishing(event, raw, session.token));
  read.show(reading(event.id, session.token));
  return [
    el('section', {}, again.element, el('p', { class: 'hint' }, shellHint(), ' ', hintOf(event))),
    el('section', {}, read.element),
  ];
}

function hintOf({ type, ce }) {
  if (type === 'tidings.end') return t('event.againEnd');
  return ce ? t('event.againCloudEvent') : t('event.againHint');
}
