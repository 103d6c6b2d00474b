// The menu of a person's settings for this browser.

import { el, fill } from './dom.js';
import { choose, language, t } from './i18n.js';
import { recall, remember } from './stored.js';

// settings returns the button and its menu. Before anybody signs in, it has no notifications, name or sign-out.
export function settings({ attention, pushes, who, out } = {}) {
  const menu = el('div', { id: 'settings', class: 'menu', popover: 'auto' },
    option(t('settings.language'), select([['en', 'English'], ['zh-CN', '简体中文']], language, choose)),
    option(t('settings.theme'), select(['auto', 'light', 'dark'].map(name => [name, t(`theme.${name}`)]), recall('theme') ?? 'auto', theme)),
    attention && notifying(attention),
    attention && check(t('settings.sound'), attention.sounds, on => attention.sound(on)),
    pushes?.option,
    who && el('p', { class: 'who' }, t('session.who'), ' ', el('bdi', {}, who)),
    out && el('button', { type: 'button', onclick: out }, t('session.out')));
  if (pushes) menu.addEventListener('toggle', ({ newState }) => newState === 'open' && pushes.look());
  return [el('button', { type: 'button', class: 'plain settings', popovertarget: 'settings' }, t('settings.title')), menu];
}

function theme(name) {
  remember('theme', name === 'auto' ? null : name);
  if (name === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}

function notifying(attention) {
  const said = el('p', { class: 'hint', role: 'status' });
  return [check(t('settings.notify'), attention.notifies, async (on, box) => {
    box.checked = await attention.notify(on);
    fill(said, on && !box.checked ? t('settings.notify-refused') : '');
  }), said];
}

const option = (name, control) => el('label', { class: 'option' }, el('span', {}, name), control);

function select(choices, chosen, change) {
  return el('select', { onchange: ({ target }) => change(target.value) },
    choices.map(([value, text]) => el('option', { value, selected: value === chosen, lang: value === 'en' || value === 'zh-CN' ? value : null }, text)));
}

const check = (name, checked, change) => el('label', { class: 'option check' },
  el('input', { type: 'checkbox', checked, onchange: ({ target }) => change(target.checked, target) }), el('span', {}, name));
