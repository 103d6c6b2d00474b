// Uses everything that tidings.d.ts declares. implementation.js is tidings.js, whose actual types the compiler infers.
import { Tidings, type Bye, type Gap, type ProblemError, type State, type TidingsEvent, type TidingsOptions, type Token } from './tidings.js';
import { Tidings as Implementation } from './implementation.js';

// The module has what is declared, and nothing more.
export const declared: new (options?: TidingsOptions) => Record<keyof Tidings, unknown> = Implementation;
export const implemented: new (options?: TidingsOptions) => Record<keyof InstanceType<typeof Implementation>, unknown> = Tidings;

const options: Required<TidingsOptions> = {
  url: new URL('https://events.example.com'), topics: ['orders'], name: 'me', after: '', since: '1d', last: 5,
  token: async () => 'token', handled: async event => void event.id, shared: true, withCredentials: false,
};
const client = new Tidings(options);
client.addEventListener('event', function ({ detail }) {
  const event: TidingsEvent = detail;
  this.reconnect();
  console.log(event.id.length, event.topic, event.type, event.time, event.datacontenttype, event.data, event.data_base64, event.ce?.['id']);
}, { signal: new AbortController().signal });
client.addEventListener('end', ({ detail }) => console.log(detail.topic.length));
client.addEventListener('gap', ({ detail }: CustomEvent<Gap>) => console.log(detail.reason === 'expired', detail.first?.length));
client.addEventListener('live', ({ detail }) => console.log(detail.missed.toFixed()));
client.addEventListener('bye', ({ detail }: CustomEvent<Bye>) => console.log(detail.reason === 'shutdown'));
client.addEventListener('state', ({ detail }) => {
  const state: State = detail.state;
  console.log(state, detail.transport === 'poll', detail.leads);
});
const failed = ({ detail }: CustomEvent<ProblemError | Error>) => console.log('status' in detail && detail.status.toFixed());
client.addEventListener('error', failed);
new Tidings({ token: () => undefined });
new Tidings({ token: async (): Promise<Token> => null });
client.removeEventListener('error', failed);
const all: [string | null, State, 'stream' | 'poll', boolean, boolean] = [client.cursor, client.state, client.transport, client.leads, client.persistent];
console.log(all);
client.setTopics(['orders', 'tickets.>']);
client.ready.then(() => console.log('live'), (error: Error) => console.log(error.name));
client.close();

new Tidings();
// @ts-expect-error: there is no such option
new Tidings({ topic: 'orders' });
// @ts-expect-error: only the client moves it
client.cursor = '';
// @ts-expect-error: there is no such detail
client.addEventListener('live', ({ detail }) => console.log(detail.id));

// The payloads' type can be set once.
const orders = new Tidings<{ total: number }>({ topics: ['orders'], handled: async ({ data }) => console.log(data?.total) });
orders.addEventListener('event', ({ detail }) => console.log(detail.data?.total.toFixed()));
orders.addEventListener('live', { handleEvent: ({ detail }) => console.log(detail.missed) });
// @ts-expect-error: the payload has no such member
orders.addEventListener('event', ({ detail }) => console.log(detail.data?.sum));
// @ts-expect-error: there is no such event
orders.addEventListener('evnet', () => {});
// @ts-expect-error: topics is a list
new Tidings({ topics: 'orders' });
// @ts-expect-error: topics is a list
orders.setTopics('orders');
