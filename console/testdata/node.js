// A client in Node: node node.js URL. It prints the IDs of its events.
import { Tidings } from '../client/tidings.js';

const client = new Tidings({ url: process.argv[2], topics: ['orders'], name: 'me' });
client.addEventListener('event', ({ detail }) => console.log(detail.id));
client.addEventListener('live', () => console.log('live'));
