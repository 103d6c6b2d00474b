// Two languages: the texts of a page are in en.js and zh.js under the same keys.

import en from './en.js';
import { recall, remember } from './stored.js';
import zh from './zh.js';

const languages = { en, 'zh-CN': zh };

// language is the chosen one, else the first of the browser's that is available, else English.
export const language = chosen() ?? preferred() ?? 'en';

function chosen() {
  const stored = recall('language');
  return Object.hasOwn(languages, stored ?? '') ? stored : undefined;
}

function preferred() {
  const known = navigator.languages.find(name => /^(en|zh)\b/.test(name));
  return known && (known.startsWith('zh') ? 'zh-CN' : 'en');
}

// choose stores a language; the page shows it after a reload.
export function choose(name) {
  remember('language', name);
  location.reload();
}

// t returns a text with {name} filled in. A text may be { one, other }: params.n decides.
export function t(key, params = {}) {
  let text = languages[language][key];
  if (text === undefined) throw new Error(`no text for ${key}`);
  if (typeof text === 'object') text = text[plural.select(params.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof params[name] === 'number' ? number(params[name]) : params[name]));
}

// locale sets how dates and numbers are written: in English, as in the person's region, which may not be the US.
const locale = (language === 'en' && navigator.languages.find(name => /^en\b/.test(name) && isLocale(name))) || language;

// isLocale: browsers pass on the system's locale, such as en-US@posix, for which Intl throws.
function isLocale(name) {
  try {
    return Intl.DateTimeFormat.supportedLocalesOf(name).length > 0;
  } catch {
    return false;
  }
}

// Creating a formatter costs a hundred times as much as using it.
const plural = new Intl.PluralRules(language);
const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
const formats = new Map();

function format(Format, options) {
  const key = `${Format.name} ${JSON.stringify(options)}`;
  let made = formats.get(key);
  if (!made) formats.set(key, made = new Format(locale, options));
  return made;
}

export const number = (value, options) => format(Intl.NumberFormat, options).format(value);

export const bytes = value => {
  let unit = 0;
  while (value >= 1024 && unit < 4) [value, unit] = [value / 1024, unit + 1];
  return `${number(value, { maximumFractionDigits: value < 10 && unit ? 1 : 0 })} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
};

export const time = (value, options = { dateStyle: 'medium', timeStyle: 'medium' }) =>
  format(Intl.DateTimeFormat, options).format(new Date(value));

// ago returns a time in words: "5 minutes ago". It is never in the future, whatever a clock says.
export function ago(value, now) {
  const seconds = Math.min(0, (new Date(value) - now) / 1000);
  for (const [unit, length] of [['day', 86400], ['hour', 3600], ['minute', 60]]) {
    if (Math.abs(seconds) >= length) return relative.format(Math.round(seconds / length), unit);
  }
  return relative.format(Math.round(seconds), 'second');
}
