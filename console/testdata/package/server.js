// Renders on a server, where nothing may be requested, and nothing may keep the process alive.
import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { createSSRApp, h } from 'vue';
import { renderToString as renderVue } from 'vue/server-renderer';
import { Tidings } from '@tidings/client';
import * as react from '@tidings/client/react';
import * as vue from '@tidings/client/vue';

for (const name of ['fetch', 'EventSource', 'BroadcastChannel']) {
  globalThis[name] = function () { throw new Error(`the server used ${name}`); };
}

function Shown() {
  const events = react.useEvents({ topics: ['orders'] }), { state } = react.useTidings();
  return createElement('p', null, `${events.length} ${state}`);
}
const url = 'http://127.0.0.1:1';
console.log(renderToString(createElement(react.TidingsProvider, { url, topics: ['orders'] }, createElement(Shown))));

const shown = { setup: () => {
  const events = vue.useEvents({ topics: ['orders'] }), { state } = vue.useTidings();
  return () => h('p', `${events.value.length} ${state.value}`);
} };
console.log(await renderVue(createSSRApp({ setup: () => { vue.provideTidings({ url, topics: ['orders'] }); return () => h(shown); } })));

const failed = render => { try { render(); } catch (error) { console.log(error.message); } };
failed(() => renderToString(createElement(react.TidingsProvider)));
failed(() => renderToString(createElement(Shown)));
console.log(typeof Tidings);
