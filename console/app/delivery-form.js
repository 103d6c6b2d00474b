// The dialog that creates or changes a delivery. Each kind of receiver asks only for what it has.

import { request, unlessChanged } from './api.js';
import { why } from './delivery-why.js';
import { el, fill } from './dom.js';
import { language, t, time } from './i18n.js';
import { copyButton, dialog, field, problem, words } from './parts.js';

const HOUR = 3600; // seconds
const EXAMPLE = '{"text": "{{text}}"}';

// KINDS are the kinds of receivers, with the members that each has besides the common ones. A trailing ! means
// required.
const KINDS = {
  webhook: ['url!', 'secret', 'format', 'order', 'in_flight'],
  slack: ['url!'],
  telegram: ['to!', 'secret!', 'url'],
  wecom: ['url!'],
  dingtalk: ['url!', 'secret!'],
  feishu: ['url!', 'secret!'],
  smtp: ['url!', 'sender!', 'to!', 'user', 'secret'],
  json: ['url!', 'secret', 'template!'],
};
const TEXTS = ['language', 'time_zone', 'detail', 'template']; // of texts for people

export const ALL = '/v1/deliveries';

// path returns the path of a delivery, or of something below it.
export const path = (name, rest = '') => `${ALL}/${encodeURIComponent(name)}${rest}`;

// edit shows the dialog; done is called once the input is stored.
export function edit(delivery, signal, done) {
  const failed = el('div');
  const form = makeForm(delivery);
  const save = async event => {
    event.preventDefault();
    fill(failed);
    let made;
    try {
      const body = form.body();
      made = form.makesSecret() ? newSecret() : undefined;
      if (made) body.secret = made;
      await request('PUT', path(form.name()), {
        body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...unlessChanged(delivery?.tag) },
      });
    } catch (error) {
      if (signal.aborted) return;
      fill(failed, error.code === 'address-refused' ? el('p', { class: 'problem', role: 'alert' }, why(error.message)) : problem(error));
      failed.scrollIntoView({ block: 'nearest' });
      await done(); // somebody else may have changed it
      return;
    }
    if (made) fill(content, ...secretShown(form.name(), made, () => box.close()));
    else box.close();
    content.querySelector('[autofocus]')?.focus();
    await done();
  };
  const content = el('div', {}, el('form', { class: 'delivery', onsubmit: save }, form.elements, failed,
    el('div', { class: 'actions' },
      el('button', { type: 'button', onclick: () => box.close() }, t('parts.cancel')),
      el('button', { class: 'primary' }, t('deliveries.save')))));
  const box = dialog(t(delivery ? 'deliveries.changeTitle' : 'deliveries.newTitle', { name: delivery?.name }), signal, content);
}

// newSecret returns a secret in the form of Standard Webhooks.
const newSecret = () => `whsec_${btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))}`;

function secretShown(name, secret, close) {
  const text = el('code', {}, secret);
  return [
    el('p', {}, t('deliveries.secretShown', { name })),
    el('p', { class: 'secret' }, text, ' ', copyButton(t('deliveries.secret'), () => secret, text)),
    el('p', { class: 'hint' }, t('deliveries.secretUse')),
    el('div', { class: 'actions' }, el('button', { type: 'button', class: 'primary', autofocus: true, onclick: close }, t('parts.close'))),
  ];
}

const plain = { autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' };
const input = (name, value, more) => el('input', { ...plain, name, value: value ?? '', ...more });
const select = (name, chosen, choices) => el('select', { name }, choices.map(value =>
  el('option', { value, selected: value === chosen }, t(`deliveries.${name}-${value}`))));
const check = (name, checked) => el('input', { name, type: 'checkbox', checked });

// controlsOf returns the inputs, filled with a delivery's settings, or a new one's defaults.
function controlsOf(d) {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const template = typeof d?.template === 'object' && d.template ? JSON.stringify(d.template, null, 2) : d?.template;
  return {
    name: input('name', d?.name, { required: true, maxlength: 255, readonly: Boolean(d) }),
    kind: select('kind', d?.kind, Object.keys(KINDS)),
    url: input('url', '', { type: 'url', placeholder: d?.origin ? `${d.origin}/…` : null }),
    to: input('to', d?.to),
    sender: input('sender', d?.sender),
    user: input('user', d?.user),
    topics: input('topics', d?.topics.join(' '), { required: true }),
    secret: input('secret', '', { type: 'password' }),
    replace: check('replace', false),
    language: select('language', d?.language ?? (language === 'en' ? 'en' : 'zh'), ['en', 'zh']),
    time_zone: input('time_zone', d?.time_zone ?? here),
    detail: check('detail', d?.detail === 'data'),
    template: el('textarea', { ...plain, name: 'template', rows: 4 }, template ?? ''),
    format: select('format', d?.format, ['cloudevents', 'data']),
    order: select('order', d?.order, ['strict', 'topic', 'parallel']),
    in_flight: input('in_flight', d && d.order !== 'strict' ? d.in_flight : 16, { type: 'number', min: 1, max: 100 }),
    hours: input('hours', d ? d.give_up_after_seconds / HOUR : 24, { type: 'number', min: 1 / HOUR, step: 'any', required: true }),
    on_give_up: select('on_give_up', d?.on_give_up, d ? ['stop', 'set_aside'] : ['order', 'stop', 'set_aside']),
    start: select('start', 'latest', ['latest', 'earliest', 'id']),
    start_id: input('start_id', '', { required: true }),
  };
}

// fieldsOf returns the inputs with their labels and hints.
function fieldsOf(c, d) {
  const stays = d && !incomplete(d);
  const named = name => field(t(`deliveries.${name}`), c[name], t(`deliveries.${name}Hint`));
  const checked = name => el('div', { class: 'field' },
    el('label', { class: 'option check' }, c[name], el('span', {}, t(`deliveries.${name}`))), el('p', { class: 'hint' }, t(`deliveries.${name}Hint`)));
  return {
    name: named('name'), kind: named('kind'),
    url: field(t('deliveries.url'), c.url, t(stays ? 'deliveries.urlStays' : 'deliveries.urlHint')),
    to: field(t('deliveries.whom'), c.to, t('deliveries.whom-smtp')),
    sender: named('sender'), user: named('user'), topics: field(t('deliveries.topics'), c.topics, t('alerts.filter-hint')),
    secret: field(t('deliveries.secret'), c.secret,
      d?.secret.set ? t('deliveries.secretStays', { at: time(d.secret.changed) }) : t('deliveries.secretHint')),
    replace: checked('replace'),
    language: named('language'), time_zone: named('time_zone'), detail: checked('detail'), template: named('template'),
    format: named('format'), order: named('order'), in_flight: named('in_flight'), hours: named('hours'), on_give_up: named('on_give_up'),
    start: named('start'), start_id: field(t('deliveries.from-after'), c.start_id, t('deliveries.afterHint')),
  };
}

const incomplete = ({ state }) => state === 'incomplete' || state === 'damaged';

function makeForm(d) {
  const c = controlsOf(d);
  const fields = fieldsOf(c, d);
  const stays = d && !incomplete(d); // unset members keep their value
  const secretText = fields.secret.querySelector('.hint');
  const members = () => {
    const { value: kind } = c.kind;
    const all = [...(kind === 'webhook' ? [] : TEXTS), ...KINDS[kind]];
    return new Map(all.map(name => [name.replace('!', ''), name.endsWith('!')]));
  };

  // choose shows the inputs of the kind. Hidden inputs are neither validated nor sent.
  function choose() {
    const has = members();
    const shows = {
      ...Object.fromEntries(['url', 'to', 'sender', 'user', 'secret', 'format', 'order', ...TEXTS].map(name => [name, has.has(name)])),
      replace: c.kind.value === 'webhook' && Boolean(d?.secret.set),
      in_flight: has.has('in_flight') && c.order.value !== 'strict',
      start: !d, start_id: !d && c.start.value === 'id',
    };
    for (const [name, shown] of Object.entries(shows)) {
      fields[name].hidden = !shown;
      c[name].disabled = !shown;
    }
    for (const name of ['url', 'to', 'sender', 'secret', 'template']) c[name].required = has.get(name) === true && !stays;
    if (!d) {
      if (has.has('secret')) fill(secretText, t(`deliveries.secret-${c.kind.value}`));
      if (c.kind.value === 'json') c.template.value ||= EXAMPLE;
      else if (c.template.value === EXAMPLE) c.template.value = '';
    }
    fill(fields.url.querySelector('label'), t(c.kind.value === 'smtp' ? 'deliveries.mailServer' : 'deliveries.url'));
    if (!stays) fill(fields.url.querySelector('.hint'), t(`deliveries.url-${c.kind.value}`));
    fill(fields.to.querySelector('.hint'), t(c.kind.value === 'smtp' ? 'deliveries.whom-smtp' : 'deliveries.whom-telegram'));
  }
  for (const name of ['kind', 'order', 'start']) c[name].addEventListener('change', choose);
  choose();
  c.kind.disabled = Boolean(stays);

  const pick = names => names.map(name => fields[name]);
  const details = el('details', { class: 'find' }, el('summary', {}, t('deliveries.details')),
    pick(['language', 'time_zone', 'format', 'order', 'in_flight', 'hours', 'on_give_up', 'start', 'start_id']));
  details.addEventListener('invalid', () => { details.open = true; }, true); // else the error stays hidden
  return {
    elements: [...pick(['name', 'kind', 'to', 'url', 'sender', 'user', 'topics', 'secret', 'replace', 'detail', 'template']), details],
    name: () => c.name.value.trim(),
    makesSecret: () => c.kind.value === 'webhook' && !c.secret.value && (!stays || c.replace.checked),
    body: () => bodyOf(c, d),
  };
}

// bodyOf returns the body of a PUT: what is hidden or left empty stays unchanged.
function bodyOf(c, d) {
  const body = { topics: words(c.topics.value), give_up_after_seconds: Number(c.hours.value) * HOUR };
  if (!d || incomplete(d)) body.kind = c.kind.value;
  for (const name of ['url', 'to', 'sender', 'user', 'secret', 'language', 'time_zone', 'format', 'order']) {
    const value = c[name].value.trim();
    if (!c[name].disabled && value) body[name] = value;
  }
  if (!c.in_flight.disabled && c.in_flight.value) body.in_flight = Number(c.in_flight.value);
  if (c.on_give_up.value !== 'order') body.on_give_up = c.on_give_up.value;
  if (!c.detail.disabled) body.detail = c.detail.checked ? 'data' : 'count';
  if (!c.start.disabled) body.from = c.start.value === 'id' ? c.start_id.value.trim() : c.start.value;
  if (!c.template.disabled) {
    const text = c.template.value.trim();
    if (c.kind.value === 'json') body.template = parsed(text);
    else if (text || d?.template) body.template = text;
  }
  return body;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch ({ message }) {
    throw new Error(t('deliveries.templateWrong', { message }));
  }
}
