// A client in Node: node node.js URL. It writes the IDs of the events that it is given.
import { Tidings } from '../client/tidings.js';

const client = new Tidings({ url: process.argv[2], topics: ['orders'], name: 'me' });
client.addEventListener('event', ({ detail }) => console.log(detail.id));
client.addEventListener('live', () => console.log('live'));
