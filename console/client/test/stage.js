// A stage: the model's browser, network and server, driven by a test. Delays are 10 ms, draws 0.5.

import { readFileSync } from 'node:fs';
import { Channels } from './channels.js';
import { Clock } from './clock.js';
import { Locks } from './locks.js';
import { Network } from './network.js';
import { Server } from './server.js';
import { compile, Tab } from './tab.js';

const client = compile(readFileSync(new URL('../tidings.js', import.meta.url), 'utf8'));

export class Stage {
  clock = new Clock();
  wall = Date.UTC(2026, 0, 1);
  local = new Map(); // localStorage
  random = () => 0.5;
  throttle = 0;

  constructor({ auth = false } = {}) {
    const delay = () => 10;
    this.server = new Server(this.clock, this.random, auth);
    this.network = new Network(this.clock, this.random, this.server, delay);
    this.channels = new Channels(this.clock, this.random, delay);
    this.locks = new Locks(this.clock, delay);
  }

  // open creates a tab with a client. given lists what its listeners got: [type, detail] each.
  open(options = {}, session = new Map(), faults = {}) {
    const tab = new Tab(this, { session, storage: 'ok', ...faults });
    const Tidings = tab.load(client), given = [];
    tab.client = new Tidings(options);
    for (const type of ['event', 'end', 'gap', 'live', 'bye', 'state', 'error']) {
      tab.client.addEventListener(type, ({ detail }) => given.push([type, detail]));
    }
    const of = type => given.filter(([t]) => t === type).map(([, detail]) => detail);
    return Object.assign(tab, { Tidings, given, session, of, errors: () => of('error').map(e => e.message) });
  }

  // pass lets N seconds pass.
  pass(seconds) { return this.clock.advance(1000 * seconds); }
}
