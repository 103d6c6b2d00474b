// A client in a worker, which reports to the page what it gets.
import { Tidings } from '/tidings.js';

const page = new BroadcastChannel('worker'), tell = (type, detail) => page.postMessage(JSON.stringify([type, detail]));
const client = new Tidings({ topics: ['orders'], name: 'me', since: 'earliest' });
client.addEventListener('event', ({ detail }) => tell('event', detail.id));
client.addEventListener('live', () => tell('live', client.persistent));
