import { createApp, defineComponent, h, reactive, type PropType } from 'vue';
import type { State, TidingsEvent } from '@tidings/client';
import { provideTidings, useEvents, useTidings } from '@tidings/client/vue';

const shown = reactive({ url: new URLSearchParams(location.search).get('url')!, topics: ['orders'], token: 'a', page: true, list: true });
Object.assign(window, { show: (change: Partial<typeof shown>) => Object.assign(shown, change) });

const List = defineComponent({
  props: { topics: Array as PropType<string[]>, limit: Number },
  setup(props) {
    const events = useEvents<{ n: number }>(() => ({ topics: props.topics, limit: props.limit }));
    const item = (event: TidingsEvent<{ n: number }>) => h('li', { key: event.id, title: event.data?.n.toFixed() }, event.id);
    return () => h('ul', events.value.map(item));
  },
});

const Status = defineComponent(() => {
  const { state, error, gap, clear, client } = useTidings();
  return () => {
    const known: State = state.value;
    return h('p', [h('span', { id: 'state' }, known), error.value?.message, gap.value?.detail, client.value?.cursor,
      h('button', { id: 'clear', onClick: () => clear() })]);
  };
});

const Page = defineComponent(() => {
  provideTidings(() => ({ url: shown.url, last: 100, token: () => shown.token }));
  const newest = useEvents({ topics: () => ['*'], limit: 2 }); // from what this component provides
  return () => [
    h(Status),
    shown.list ? h(List, { id: 'changing', topics: shown.topics }) : null,
    h(List, { id: 'tickets', topics: ['tickets.>', 'tickets.*'] }),
    h('ul', { id: 'newest' }, newest.value.map(event => h('li', event.id))),
  ];
});

createApp(() => (shown.page ? h(Page) : null)).mount('#app');

// @ts-expect-error: an address is needed
export const addressless = () => provideTidings({});
// @ts-expect-error: there is no such option
export const misspelt = () => provideTidings({ url: '/', topic: 'orders' });
// @ts-expect-error: a list
export const listless = () => useEvents({ topics: 'orders' });
