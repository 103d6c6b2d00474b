// Who is signed in: the token goes into a cookie that no script can read, and is nowhere else in the page.

import { base, get, Problem, request } from './api.js';
import { el, fill } from './dom.js';
import { t } from './i18n.js';

// tokenOfAddress removes the token of a link from the page's address, before anyone sees or stores it there.
export function tokenOfAddress() {
  const brought = new URLSearchParams(location.hash.slice(1)).get('token');
  if (brought !== null) history.replaceState(null, '', location.pathname + location.search);
  return brought;
}

// token says whether requests from outside the browser need a token: the server has keys.
export let token = false;

const tabs = new BroadcastChannel(`tidings session ${base}`); // to other tabs, which have the same cookie

// changedElsewhere calls back whenever another tab signs in or out.
export const changedElsewhere = heard => { tabs.onmessage = heard; };

// signIn sends the token in the body: behind a proxy that asks for a password, the browser uses the header.
export async function signIn(text, signal) {
  const headers = { 'Content-Type': 'application/json' };
  await request('PUT', '/v1/session', { body: JSON.stringify({ token: text.trim() }), headers, signal });
  tabs.postMessage(null);
}

export async function signOut() {
  await request('DELETE', '/v1/session');
  tabs.postMessage(null);
}

// access returns whether the server has keys, and this browser's grant: null if nobody is signed in.
export async function access(signal) {
  const { keys, grant } = await get('/v1/session', {}, signal);
  token = keys;
  return { keys, grant };
}

// form asks for a token. reason, if there is one, says why; done is called once the browser is signed in.
export function form(reason, done) {
  const input = el('input', {
    id: 'token', type: 'password', required: true, autocomplete: 'off', spellcheck: 'false', 'aria-describedby': 'token-hint token-problem',
  });
  const problem = el('p', { id: 'token-problem', class: 'problem', role: 'alert' }, reason);
  const submit = async event => {
    event.preventDefault();
    if (!isToken(input.value)) return void fill(problem, t('session.malformed'));
    try {
      await signIn(input.value);
      input.value = '';
      done();
    } catch (error) {
      fill(problem, refusal(error));
      input.select();
    }
  };
  return el('form', { class: 'sign-in', onsubmit: submit },
    el('h1', {}, t('session.title')),
    problem,
    el('div', { class: 'field' },
      el('label', { for: 'token' }, t('session.token')), input,
      el('p', { id: 'token-hint', class: 'hint' }, t('session.hint'))),
    el('button', { class: 'primary' }, t('session.in')),
    el('p', { class: 'hint' }, t('session.make')),
    el('pre', { tabindex: '0', role: 'region', 'aria-label': t('session.make') }, el('code', {}, 'tidings token --subject ada --publish ">" --subscribe ">" --admin')));
}

// question asks whether a link's token may replace the subject's session.
export function question(subject, answer) {
  return el('section', { class: 'sign-in' },
    el('h1', {}, t('session.title')),
    el('p', {}, t('session.link')),
    subject && el('p', {}, t('session.who'), ' ', el('b', {}, subject)),
    el('button', { class: 'primary', type: 'button', onclick: () => answer(false) }, t('session.keep')),
    el('button', { type: 'button', onclick: () => answer(true) }, t('session.replace')));
}

// A header accepts only visible ASCII; anything else would fail in the browser, with an error about headers.
const isToken = text => /^[\x21-\x7e]+$/.test(text.trim());

export function refusal(error) {
  if (!(error instanceof Problem && error.code)) return t('session.unreachable');
  if (error.status === 401) return t('session.refused', { message: error.message.replace(/^the token is not accepted: /, '') });
  return error.message;
}
