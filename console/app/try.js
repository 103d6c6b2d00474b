// Publish an event by hand.

import { request } from './api.js';
import { command as curl } from './curl.js';
import { el, fill } from './dom.js';
import { number, t } from './i18n.js';
import { command, field } from './parts.js';
import { indent } from './raw-json.js';
import samples from './samples.js';
import * as session from './session.js';

export default {
  id: 'try',
  title: 'page.try',
  show(root, { signal }) {
    const topic = el('input', { name: 'topic', title: t('try.topicHint'), required: true, maxlength: '255', pattern: '[A-Za-z0-9_\\-]+(\\.[A-Za-z0-9_\\-]+){0,15}', autocomplete: 'off', spellcheck: 'false' });
    const type = el('input', { name: 'type', maxlength: '255', placeholder: 'message', autocomplete: 'off', spellcheck: 'false' });
    const data = el('textarea', { name: 'data', rows: '12', spellcheck: 'false', autocomplete: 'off', required: true });
    const key = el('input', { name: 'key', maxlength: '255', pattern: '[!-~]+', autocomplete: 'off', spellcheck: 'false' });
    const invalid = el('p', { id: 'try-invalid', class: 'problem', role: 'status' });
    const example = el('select', { name: 'example', onchange: () => choose(example.value) },
      Object.keys(samples).map(name => el('option', { value: name }, t(`try.${name}`))));
    const publish = el('button', { class: 'primary' }, t('try.publish'));
    const answer = el('section', { class: 'card answer', role: 'status' }, el('h2', {}, t('try.answer')), el('p', { class: 'hint' }, t('try.noAnswer')));
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
      const problem = problemOf(data.value);
      if (invalid.textContent !== problem) fill(invalid, problem);
      data.setAttribute('aria-invalid', String(problem !== ''));
    }

    async function send(event) {
      event.preventDefault();
      if (problemOf(data.value)) return void data.focus();
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
      publish.focus({ preventScroll: true }); // a button that is disabled loses it
    }

    function report(status, text, took) {
      const { id, topic: at } = JSON.parse(text);
      fill(answer, el('h2', {}, t('try.answer')), verdict('good', t(status === 201 ? 'try.stored' : 'try.replayed'), status, took),
        el('pre', { tabindex: '0', role: 'region', 'aria-label': t('try.answer') }, el('code', {}, indent(text))),
        el('p', {}, el('a', { href: `#/log?${new URLSearchParams({ topic: at, id })}` }, t('try.see'))));
    }

    function refused(error, took) {
      fill(answer, el('h2', {}, t('try.answer')),
        error.status ? verdict('bad', error.code ?? '', error.status, took) : null, el('p', {}, error.message));
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
          el('div', { class: 'actions' }, publish)),
        el('div', { class: 'column' }, answer, el('section', { class: 'card' }, preview.element, el('p', { class: 'hint' }, t('try.commandHint'))))));
    choose('order');
  },
};

const verdict = (kind, text, status, took) => el('p', { class: `verdict ${kind}` },
  el('strong', {}, String(status)), ' ', text, ' ', el('span', { class: 'hint' }, t('try.took', { ms: number(took, { maximumFractionDigits: took < 10 ? 1 : 0 }) })));

// problemOf says what is wrong with a JSON text; it is empty when nothing is.
function problemOf(text) {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return t('try.invalid', { message: error.message });
  }
}
