// Publish an event by hand.

import { request } from './api.js';
import { command as curl } from './curl.js';
import { el, fill } from './dom.js';
import { number, t } from './i18n.js';
import { command, field, problem, shellHint } from './parts.js';
import { indent } from './raw-json.js';
import samples from './samples.js';
import * as session from './session.js';

const TOPIC = '[A-Za-z0-9_\\-]+(\\.[A-Za-z0-9_\\-]+){0,15}';

export default {
  id: 'try',
  title: 'page.try',
  show(root, { signal, grant }) {
    const code = { autocomplete: 'off', spellcheck: 'false' };
    const name = { ...code, maxlength: '255' };
    const topic = el('input', { ...name, name: 'topic', required: true, pattern: TOPIC, title: t('try.topicHint') });
    const type = el('input', { ...name, name: 'type', placeholder: 'message' });
    const data = el('textarea', { ...code, name: 'data', rows: '12', required: true });
    const key = el('input', { ...name, name: 'key', pattern: '[!-~]+', title: t('try.keyHint') });
    const invalid = el('p', { id: 'try-invalid', class: 'problem', role: 'status' });
    const example = el('select', { name: 'example', onchange: () => choose(example.value) },
      Object.keys(samples).map(name => el('option', { value: name }, t(`try.${name}`))));
    const mayNot = grant.publish.length === 0;
    const publish = el('button', { class: 'primary', disabled: mayNot }, t('try.publish'));
    const answer = el('div', { role: 'status' });
    const show = (...children) => fill(answer, el('h2', {}, t('try.answer')), ...children);
    const preview = command(t('try.command'));

    function choose(name) {
      const [sampleTopic, sampleType, value] = samples[name];
      topic.value = sampleTopic;
      type.value = sampleType;
      data.value = JSON.stringify(value, null, 2);
      changed();
    }

    const asked = () => ({
      path: `/v1/topics/${encodeURIComponent(topic.value.trim())}/events`,
      query: { type: type.value.trim() },
      headers: { 'Content-Type': 'application/json', ...(key.value.trim() && { 'Idempotency-Key': key.value.trim() }) },
      body: data.value,
    });

    function changed() {
      const { path, ...rest } = asked();
      preview.show(curl('POST', path, { ...rest, token: session.token }));
      const wrong = wrongIn(data.value);
      if (invalid.textContent !== wrong) fill(invalid, wrong);
      data.setAttribute('aria-invalid', String(wrong !== ''));
    }

    async function send(event) {
      event.preventDefault();
      if (wrongIn(data.value)) return void data.focus();
      const { path, ...rest } = asked();
      publish.disabled = true;
      const begun = performance.now();
      try {
        const response = await request('POST', path, { ...rest, signal });
        const text = await response.text();
        report(response.status, text, performance.now() - begun);
      } catch (error) {
        if (!signal.aborted) refused(error, performance.now() - begun);
      }
      publish.disabled = false;
      answer.scrollIntoView({ block: 'nearest' });
      publish.focus({ preventScroll: true }); // a disabled button loses the focus
    }

    function report(status, text, took) {
      const { id, topic: at } = JSON.parse(text);
      show(verdict('good', t(status === 201 ? 'try.stored' : 'try.replayed'), status, took),
        el('pre', { tabindex: '0', role: 'region', 'aria-label': t('try.answer') }, el('code', {}, indent(text))),
        el('p', {}, el('a', { href: `#/log?${new URLSearchParams({ topic: at, id })}` }, t('try.see'))));
    }

    function refused(error, took) {
      const not = error.outcome === 'not_stored' || error.lasting;
      show(error.status ? [verdict('bad', error.code ?? '', error.status, took), el('p', {}, error.message)] : problem(error),
        el('p', {}, t(not ? 'try.notStored' : 'try.unknown')));
    }

    data.setAttribute('aria-describedby', invalid.id);
    root.append(el('h1', {}, t('page.try')), el('p', { class: 'lead' }, t('try.lead')),
      el('div', { class: 'columns' },
        el('form', { class: 'card', onsubmit: send, oninput: changed },
          field(t('try.example'), example),
          field(t('try.topic'), topic, t('try.topicHint')),
          field(t('try.type'), type, t('try.typeHint')),
          field(t('try.data'), data), invalid,
          field(t('try.key'), key, t('try.keyHint')),
          mayNot && el('p', { class: 'note' }, t('try.mayNot')),
          el('div', { class: 'actions' }, publish)),
        el('div', { class: 'column' },
          el('section', { class: 'card' }, answer),
          el('section', { class: 'card' }, preview.element, el('p', { class: 'hint' }, shellHint())))));
    show(el('p', { class: 'hint' }, t('try.noAnswer')));
    choose('order');
  },
};

function verdict(kind, text, status, took) {
  const ms = number(took, { maximumFractionDigits: took < 10 ? 1 : 0 });
  return el('p', { class: kind }, el('strong', {}, String(status)), ' ', text, ' ', el('span', { class: 'hint' }, t('try.took', { ms })));
}

// wrongIn returns what is wrong with a JSON text, or empty text.
function wrongIn(text) {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return t('try.invalid', { message: error.message });
  }
}
