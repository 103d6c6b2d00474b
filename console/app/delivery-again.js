// What a delivery can send again: what it has sent, and what it has set aside.

import { getList, request } from './api.js';
import { path } from './delivery-form.js';
import { eventLink, why } from './delivery-why.js';
import { el, fill } from './dom.js';
import { t } from './i18n.js';
import { at, dialog, field, localOf, poll, problem, words } from './parts.js';
import { table } from './table.js';

const EVERY = 2; // seconds, while events set aside are shown
const HOUR = 3_600_000; // ms

// again shows a dialog that starts a replay.
export function again({ name }, signal, done) {
  const id = { autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' };
  const form = {
    since: el('input', { name: 'since', type: 'datetime-local', step: '1', value: localOf(Date.now() - HOUR), required: true }),
    after: el('input', { ...id, name: 'after', required: true }),
    ids: el('textarea', { ...id, name: 'ids', rows: 4, required: true }),
    through: el('input', { ...id, name: 'through' }),
    fresh: el('input', { name: 'new_ids', type: 'checkbox' }),
  };
  const from = el('select', { name: 'from', onchange: () => choose() },
    ['since', 'after', 'ids'].map(value => el('option', { value }, t(`deliveries.from-${value}`))));
  const fields = {
    since: field(t('deliveries.from-since'), form.since, t('deliveries.sinceHint')),
    after: field(t('deliveries.from-after'), form.after, t('deliveries.afterHint')),
    ids: field(t('deliveries.from-ids'), form.ids, t('deliveries.idsHint')),
    through: field(t('deliveries.through'), form.through, t('deliveries.throughHint')),
  };
  const failed = el('div');
  function choose() {
    for (const name of Object.keys(fields)) {
      fields[name].hidden = name === 'through' ? from.value === 'ids' : name !== from.value;
      form[name].disabled = fields[name].hidden; // hidden inputs are not sent
    }
  }
  const start = async event => {
    event.preventDefault();
    const what = { new_ids: form.fresh.checked };
    if (from.value === 'since') what.since = new Date(form.since.value).toISOString();
    if (from.value === 'after') what.after = form.after.value.trim();
    if (from.value === 'ids') what.ids = words(form.ids.value);
    if (!form.through.disabled && form.through.value.trim()) what.through = form.through.value.trim();
    try {
      await request('POST', path(name, '/replay'), { body: JSON.stringify(what), headers: { 'Content-Type': 'application/json' } });
    } catch (error) {
      if (!signal.aborted) fill(failed, problem(error));
      return;
    }
    box.close();
    await done();
  };
  choose();
  const box = dialog(t('deliveries.againTitle', { name }), signal, el('form', { onsubmit: start },
    el('p', { class: 'hint' }, t('deliveries.againHint')),
    field(t('deliveries.from'), from), fields.since, fields.after, fields.ids, fields.through,
    el('label', { class: 'option check' }, form.fresh, el('span', {}, t('deliveries.newIDs'))),
    el('p', { class: 'hint' }, t('deliveries.newIDsHint')),
    failed,
    el('div', { class: 'actions' },
      el('button', { type: 'button', onclick: () => box.close() }, t('parts.cancel')),
      el('button', { class: 'primary' }, t('deliveries.againYes')))));
}

// dead shows a dialog with the events set aside.
export function dead({ name }, signal, done) {
  const over = new AbortController();
  const failed = el('div');
  const state = el('p', { class: 'state', role: 'status' }, t('deliveries.loading'));
  const rest = el('div', { class: 'below' });
  let pages = 1; // of a hundred
  const act = async (method, rest, query) => {
    fill(failed);
    try {
      await request(method, path(name, rest), { query });
    } catch (error) {
      if (!over.signal.aborted) fill(failed, problem(error));
    }
    await look();
  };
  const redrive = query => act('POST', '/redrive', query);
  const forget = query => act('DELETE', '/dead', query);
  const list = table({ label: t('deliveries.deadTitle', { name }), key: one => one.id, columns: columns(redrive, forget) });
  async function look() {
    try {
      const { list: letters, next } = await getList(pages, path(name, '/dead'), 'dead', over.signal);
      list.show(letters);
      list.element.hidden = letters.length === 0;
      fill(rest, next && el('button', { type: 'button', onclick: () => { pages++; look(); } }, t('deliveries.more')));
      const text = letters.length ? t('deliveries.deadCount', { n: letters.length }) : t('deliveries.deadNone');
      if (state.textContent !== text) fill(state, text);
    } catch (error) {
      if (!over.signal.aborted) fill(failed, problem(error));
    }
  }
  list.element.hidden = true;
  const box = dialog(t('deliveries.deadTitle', { name }), signal,
    el('p', { class: 'hint' }, t('deliveries.deadHint')), failed, state, list.element, rest,
    el('div', { class: 'actions' },
      el('button', { type: 'button', autofocus: true, onclick: () => box.close() }, t('parts.close')),
      el('button', { type: 'button', onclick: () => redrive({ all: 'true' }) }, t('deliveries.redriveAll')),
      el('button', { type: 'button', class: 'danger', onclick: () => forget({ all: 'true' }) }, t('deliveries.forgetAll'))));
  box.classList.add('wide');
  box.addEventListener('close', () => {
    over.abort();
    done();
  });
  poll(EVERY, over.signal, look);
}

const columns = (redrive, forget) => [
  { title: t('deliveries.event'), order: one => one.id, cell: one => [eventLink(one.id), ' ', el('code', { class: 'topic' }, one.topic)] },
  { title: t('deliveries.whyDead'), cell: one => (one.gone ? t('deliveries.isGone') : why(one.error)) },
  { title: t('deliveries.tried'), order: one => Date.parse(one.last), descending: true, cell: one => [el('div', {}, t('deliveries.times', { n: one.attempts })), el('div', {}, at(one.last))] },
  { title: t('connections.action'), cell: one => el('div', { class: 'tools' },
    !one.gone && el('button', { type: 'button', onclick: () => redrive({ id: one.id }), 'aria-label': t('deliveries.of', { what: t('deliveries.redrive'), name: one.id }) }, t('deliveries.redrive')),
    el('button', { type: 'button', class: 'danger', onclick: () => forget({ id: one.id }), 'aria-label': t('deliveries.of', { what: t('deliveries.forget'), name: one.id }) }, t('deliveries.forget'))) },
];
