import { onScopeDispose, ref, shallowRef } from 'vue';
import { Tidings } from 'tidings';

// useTidings reads the log as long as its component lives. The options are those of Tidings. events has the
// newest first, limit of them at most; clear empties it and returns the ID up to which it had everything.
export function useTidings({ limit = 1000, ...options }) {
  const tidings = new Tidings(options);
  const events = shallowRef([]), state = ref(tidings.state), gap = shallowRef(null), error = shallowRef(null);

  tidings.addEventListener('event', ({ detail }) => events.value = [detail, ...events.value].slice(0, limit));
  tidings.addEventListener('state', ({ detail }) => state.value = detail.state);
  tidings.addEventListener('gap', ({ detail }) => gap.value = detail);
  tidings.addEventListener('error', ({ detail }) => error.value = detail);
  onScopeDispose(() => tidings.close());

  const clear = () => {
    events.value = [];
    return tidings.cursor;
  };
  return { events, state, gap, error, clear };
}
