// Tidings for Vue 3.3 and later. docs/BROWSER.md describes its use, vue.d.ts each part.

import { computed, getCurrentInstance, inject, onMounted, provide, shallowRef, toValue, watch } from 'vue';
import { Hub, IDLE, keyOf, NOTHING } from './hub.js';
import { keyOfTopics } from './topics.js';

const HUB = Symbol('Tidings');
const provided = new WeakMap(); // by providing component: inject looks only above

export function provideTidings(options) {
  const given = () => {
    const { topics, ...others } = toValue(options);
    return others;
  };
  const key = computed(() => keyOf(given()));
  const asked = computed(() => {
    const topics = toValue(toValue(options).topics);
    return topics && keyOfTopics(topics);
  });
  const hub = shallowRef(new Hub(given()));
  let used = key.value;
  whileMounted(given, options => {
    if (key.value === used) return void hub.value.use(options);
    used = key.value;
    hub.value = new Hub(options);
  });
  whileMounted(() => [hub.value, asked.value], ([hub, key]) => (key === undefined ? undefined : hub.ask(key)));
  whileMounted(() => hub.value, hub => {
    hub.start();
    return () => hub.stop();
  });
  provide(HUB, hub);
  provided.set(getCurrentInstance(), hub);
  return useTidings();
}

export function useEvents(options) {
  const hub = useHub();
  const key = computed(() => keyOfTopics(toValue(toValue(options)?.topics)));
  const view = computed(() => hub.value.view(key.value, toValue(toValue(options)?.limit)));
  whileMounted(() => [hub.value, key.value], ([hub, key]) => hub.ask(key));
  return follow(hub, () => view.value, NOTHING);
}

export function useTidings() {
  const hub = useHub();
  const status = follow(hub, () => () => hub.value.status, IDLE);
  const refs = Object.keys(IDLE).map(name => [name, computed(() => status.value[name])]);
  return { ...Object.fromEntries(refs), clear: () => hub.value.clear() };
}

function useHub() {
  const hub = provided.get(getCurrentInstance()) ?? inject(HUB, null);
  if (!hub) throw new Error('no component above has called provideTidings()');
  return hub;
}

// follow returns a ref to the result of a function of the hub.
function follow(hub, reader, first) {
  const shown = shallowRef(first);
  whileMounted(() => [hub.value, reader()], ([hub, read]) => {
    const show = () => { shown.value = read(); };
    show();
    return hub.subscribe(show);
  });
  return shown;
}

// whileMounted acts on a value and on each that replaces it, never on a server. What act returns ends it.
function whileMounted(source, act) {
  onMounted(() => watch(source, (value, _, onCleanup) => {
    const end = act(value);
    if (end) onCleanup(end);
  }, { immediate: true }));
}
