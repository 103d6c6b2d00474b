// Requests as commands for curl, to be pasted into bash or zsh.

import { address } from './api.js';
import { members, object } from './raw-json.js';

// What a terminal acts on when it is pasted, such as an escape that ends bracketed paste, and what nobody sees, such as
// a change of the writing direction. A line feed within quotes is harmless.
const TREACHEROUS = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u;

// LONGEST is the limit of an argument, in bytes: Linux accepts 128 KiB.
const LONGEST = 100_000;

// quote turns any text into one shell word.
export function quote(text) {
  if (!TREACHEROUS.test(text)) return `'${text.replaceAll("'", `'\\''`)}'`;
  // Interactive bash still expands ! after an escaped quote.
  return `$'${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}!'\\]/gu, escape)}'`;
}

function escape(character) {
  if (character === '\n') return '\\n';
  if (character === "'" || character === '\\') return `\\${character}`;
  return [...new TextEncoder().encode(character)].map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}

// command returns a request. A token comes from the environment: copied text never contains one.
export function command(method, path, { query, headers = {}, body, token } = {}) {
  const words = [`curl ${quote(address(path, query).href)}`];
  if (method !== 'GET' && body === undefined) words.push(`-X ${method}`);
  if (token) words.push('-H "Authorization: Bearer $TIDINGS_TOKEN"');
  for (const [name, value] of Object.entries(headers)) words.push(`-H ${quote(`${name}: ${value}`)}`);
  let before = '';
  if (body !== undefined && new TextEncoder().encode(body).length > LONGEST) {
    before = `printf %s ${quote(body)} |\n  `; // a shell builtin, so its length is unlimited
    words.push('--data-binary @-');
  } else if (body !== undefined) {
    words.push(`--data-raw ${quote(body)}`);
  }
  return before + words.join(' \\\n  ');
}

// reading returns the command that reads an event.
export const reading = (id, token) => command('GET', `/v1/events/${id}`, { token });

// publishing returns the command that publishes an event again: with its topic, type, content type and data and, for a
// CloudEvent, its attributes. raw holds its members as texts.
export function publishing(event, raw, token) {
  const { topic, type, datacontenttype, data_base64: binary, ce } = event;
  const path = `/v1/topics/${topic}/events`;
  if (type === 'tidings.end') return command('POST', `/v1/topics/${topic}/end`, { token });
  if (ce) {
    // An event with neither data nor a content type was published without either.
    const absent = new Set(datacontenttype === undefined && event.data === null ? ['data'] : []);
    const given = ['type', 'datacontenttype', 'data', 'data_base64'].filter(name => raw.has(name) && !absent.has(name));
    const body = object([['specversion', '"1.0"'], ...members(raw.get('ce')), ...given.map(name => [name, raw.get(name)])]);
    return command('POST', path, { headers: { 'Content-Type': 'application/cloudevents+json' }, body, token });
  }
  if (binary !== undefined) {
    const body = object(['topic', 'type', 'datacontenttype', 'data_base64'].map(name => [name, raw.get(name)]));
    return command('POST', '/v1/events', { headers: { 'Content-Type': 'application/x-ndjson' }, body, token });
  }
  const text = isText(event) ? event.data : raw.get('data');
  return command('POST', path, { query: { type }, headers: { 'Content-Type': datacontenttype }, body: text, token });
}

// isText reports whether an event's data is text, which the page has as a JSON string, by the server's rule.
export function isText({ datacontenttype = '', data }) {
  const media = datacontenttype.split(';')[0].trim().toLowerCase();
  return typeof data === 'string' && media !== 'application/json' && !media.endsWith('+json');
}
