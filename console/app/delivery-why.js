// Why a delivery fails, in a sentence that says what to do.

import { el } from './dom.js';
import { t, time } from './i18n.js';

// CAUSES match the server's texts about a failure, the more specific ones first. Groups are filled in.
const CAUSES = [
  ['flag', /serve with (?<flag>--[\w-]+(?: \S+)?) to allow it/],
  ['own', /is this server itself/],
  ['gone', /answered 410\b/],
  ['unwanted', /it rejects this event/],
  ['redirect', /redirects are not followed/],
  ['secret', /check the (?:secret|bot's token)|answered 40[13]\b/],
  ['url', /check the URL|no (?:robot|bot|webhook|workspace) at this URL/],
  ['busy', /answered (?:429|503)\b/],
  ['broken', /answered 5\d\d\b/],
  ['silent', /no answer within/],
  ['name', /no such host|server misbehaving/],
  ['closed', /connection refused/],
  ['certificate', /x509|certificate|tls:/],
  ['cut', /\bEOF\b|connection reset|broken pipe/],
];

// why explains a failure by the server's text, which it also shows.
export function why(said) {
  const [cause, groups] = causeOf(said);
  return [t(`why.${cause}`, groups), ' ', el('span', { class: 'said' }, t('deliveries.said', { said }))];
}

function causeOf(said) {
  for (const [cause, pattern] of CAUSES) {
    const match = pattern.exec(said);
    if (match) return [cause, { ...match.groups }];
  }
  return ['other', {}];
}

// standing describes a delivery's state: why it does not send, what fails, and what it may lose.
export function standing({ state, reason, failing, expiring, give_up_after_seconds: seconds, on_give_up: end }) {
  const hours = seconds / 3600;
  const list = [];
  if (state === 'failing' || state === 'stopped') {
    const { error, attempts, first, next } = failing ?? { error: reason, attempts: 0 };
    list.push(el('p', { class: 'problem' }, why(error)));
    list.push(el('p', {}, state === 'stopped' ? t('deliveries.stoppedHint', { hours }) : t(`deliveries.then-${end}`, { hours }),
      attempts > 0 && [' ', t('deliveries.attempts', { n: attempts, since: time(first) })],
      next && [' ', t('deliveries.next', { at: time(next, { timeStyle: 'medium' }) })]));
  } else if (state !== 'running') {
    list.push(el('p', { class: state === 'paused' ? 'hint' : 'problem' }, t(`deliveries.is-${state}`),
      state === 'locked' && [' ', el('span', { class: 'said' }, t('deliveries.said', { said: reason }))]));
  }
  if (expiring) {
    list.push(el('p', { class: 'note' }, t('deliveries.expiring', { at: time(expiring.at) }), ' ', eventLink(expiring.id)));
  }
  return list;
}

// eventLink links to an event; an ID that is not an event's, such as a gap's, is only shown.
export const eventLink = id => (/^[0-9A-HJKMNP-TV-Z]{26}$/.test(id) ?
  el('a', { class: 'id', href: `#/log?id=${id}` }, id) : el('code', { class: 'id' }, id));
