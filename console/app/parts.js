// Parts that several pages share.

import { now } from './api.js';
import { el, fill } from './dom.js';
import { ago, t, time } from './i18n.js';
import * as session from './session.js';

// at shows a time, with how long ago it was as a tooltip. since is the reverse.
export const at = (value, options) => clock(value, time(value, options), ago(value, now()));
export const since = value => clock(value, ago(value, now()), time(value));
const clock = (value, text, title) => el('time', { datetime: new Date(value).toISOString(), title }, text);

// problem says that something failed, and why. A TypeError is fetch's, for a server that does not respond.
export const problem = (error, unreachable = 'parts.unreachable') => el('p', { class: 'problem', role: 'alert' },
  error instanceof TypeError ? t(unreachable) : t('parts.problem', { message: error.message }));

// attempt wraps a repeated look: a failure is shown in a place until a look succeeds.
export const attempt = (place, signal, look) => async () => {
  try {
    await look();
    fill(place);
  } catch (error) {
    if (signal.aborted) return;
    const said = problem(error, 'shell.unreachable');
    if (place.textContent !== said.textContent) fill(place, said); // a change is read out
  }
};

// refill fills an element. If it contains the focus, its first button gets the focus, else the element, which can take
// it.
export function refill(element, ...children) {
  const held = element.contains(document.activeElement);
  fill(element, ...children);
  if (held) (element.querySelector('button') ?? element).focus({ preventScroll: true });
}

// region holds what may be wider than the page: it scrolls by itself, also by keyboard.
export const region = (label, ...children) =>
  el('div', { class: 'region', role: 'region', 'aria-label': label, tabindex: '0' }, ...children);

// facts is a list of names and values; undefined values are left out.
export const facts = entries => el('dl', { class: 'facts' },
  entries.filter(([, value]) => value !== undefined).map(([name, value]) => el('div', {}, el('dt', {}, name), el('dd', {}, value))));

// field is an input with its label, and a hint that describes it.
export function field(label, input, hint) {
  input.id ||= `field-${input.name}`;
  if (hint) input.setAttribute('aria-describedby', `${input.id}-hint`);
  return el('div', { class: 'field' },
    el('label', { for: input.id }, label), input, hint && el('p', { id: `${input.id}-hint`, class: 'hint' }, hint));
}

// localOf returns a time as a datetime-local input wants it: in the person's time zone, without an offset.
export function localOf(value) {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return '';
  return new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

// words splits a text at white space and commas.
export const words = text => text.split(/[\s,]+/).filter(Boolean);

// copyButton copies text(); what is its name. If the browser does not let a page copy, as over plain HTTP, the shown
// text is selected instead.
export function copyButton(what, text, shown) {
  const said = el('span', { role: 'status', class: 'said' });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      fill(said, t('parts.copied'));
    } catch {
      getSelection().selectAllChildren(shown);
      fill(said, t('parts.selected'));
    }
  };
  return el('span', { class: 'copy' },
    el('button', { type: 'button', onclick: copy, 'aria-label': t('parts.copyWhat', { what }) }, t('parts.copy')), said);
}

// command shows a command with a copy button. show changes it.
export function command(label) {
  const text = el('code');
  const element = el('div', { class: 'command' },
    el('div', { class: 'command-head' }, el('h3', {}, label), copyButton(label, () => text.textContent, text)),
    el('pre', { tabindex: '0', role: 'region', 'aria-label': label }, text));
  return { element, show: value => fill(text, value) };
}

// shellHint says where a command runs, and what it requires.
export const shellHint = () => t(session.token ? 'parts.shellToken' : 'parts.shell');

// dialog is a modal dialog with a heading. It is removed when it is closed, or the page is left.
export function dialog(title, signal, ...children) {
  const heading = el('h2', { id: 'dialog-title' }, title);
  const close = () => element.close();
  const closed = () => {
    signal.removeEventListener('abort', close);
    element.remove();
  };
  const element = el('dialog', { 'aria-labelledby': heading.id, closedby: 'any', onclose: closed }, heading, ...children);
  document.body.append(element);
  signal.addEventListener('abort', close);
  element.showModal();
  return element;
}

// question is a dialog that asks before something is done: text is one or more paragraphs, verb the button's label, run
// does it, and done follows. A danger cannot be undone.
export function question({ title, text, verb, danger }, signal, run, done) {
  const failed = el('div');
  const yes = async () => {
    try {
      await run();
    } catch (error) {
      if (!signal.aborted) fill(failed, problem(error));
      return;
    }
    box.close();
    await done();
  };
  const box = dialog(title, signal, [text].flat().map(one => el('p', {}, one)), failed,
    el('div', { class: 'actions' },
      el('button', { type: 'button', autofocus: true, onclick: () => box.close() }, t('parts.cancel')),
      el('button', { type: 'button', class: danger ? 'danger' : 'primary', onclick: yes }, verb)));
}

// poll looks now and then every N seconds, while the page is visible, until it is left. Slow looks are repeated less
// often.
export async function poll(seconds, signal, look) {
  while (!signal.aborted) {
    if (document.hidden) {
      await new Promise(done => {
        document.addEventListener('visibilitychange', done, { once: true, signal });
        signal.addEventListener('abort', done, { once: true });
      });
      continue;
    }
    const begun = performance.now();
    await look();
    await pause(Math.max(seconds, (performance.now() - begun) / 100), signal);
  }
}

function pause(seconds, signal) {
  return new Promise(done => {
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener('abort', end);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      done();
    }
  });
}
