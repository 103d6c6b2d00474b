// Schedules: what may happen, drawn at random, run, and reduced to what it takes to fail.

import { randomFrom } from './clock.js';
import { SETS, World } from './world.js';

// ACTIONS are applied to a world. A step that makes no sense in the world's state does nothing, so that any part of a
// schedule is a schedule.
const ACTIONS = {
  publish(world, { n, topic }) { for (let i = 0; i < n; i++) world.server.publish(topic); },
  trim(world, { n }) { world.server.trim(n); },
  backup(world) { world.server.backup(); },
  restore(world) { world.server.restore(); },
  restart(world, { ms, told }) { world.server.restart(ms, told); },
  expire(world) { world.server.expireToken(); },
  grant(world, { person, yes }) { world.server.grant(person, yes); },
  signIn(world, { slot, person }) { if (world.awake().includes(world.slots[slot])) world.signIn(world.slots[slot], person); },
  sick: living((world, slot, { how }) => { slot.sick = how; }),
  change: living((world, slot, { set }) => world.change(slot, SETS[set])),
  proxy(world, { answer }) { world.network.answer = answer; },
  overload(world, { yes }) { world.server.overloaded = yes; },
  serverClock(world, { ms }) { world.server.offset += ms; },

  drop(world, { share }) { world.network.drop(share); },
  network(world, { mode }) { world.network.become(mode); },
  speed(world, { speed }) { world.speed = speed; },
  wallClock(world, { ms }) { world.wall += ms; },

  open(world, { slot }) { if (!world.slots[slot].readers) world.open(world.slots[slot]); },
  duplicate(world, { slot, from }) {
    const original = world.slots[from];
    if (!world.slots[slot].readers && original.tab && !original.tab.dead) world.open(world.slots[slot], original);
  },
  reload(world, { slot, told }) { if (world.slots[slot].readers) world.reload(world.slots[slot], told); },
  crash: living((world, slot) => world.crash(slot)),
  crashLeader(world) {
    const leader = world.living().find(({ client }) => client.leads);
    if (leader) world.crash(leader);
  },
  crashAtNext: living((world, slot) => { slot.diesAtNext = true; }),
  reconnectAtNext: living((world, slot) => { slot.reconnectsAtNext = true; }),
  close: living((world, slot) => world.close(slot)),
  freeze: living((world, { tab }, { told }) => tab.freeze(told)),
  thaw: living((world, { tab }) => tab.away ? tab.takeOut() : tab.thaw()),
  putAway: living((world, { tab }) => tab.putAway()),
  show: living((world, { tab }, { yes }) => tab.show(yes)),
  online: living((world, { tab }) => tab.run(() => tab.fire('online'))),
  reconnect: living((world, { tab, client }) => tab.run(() => client.reconnect())),
};

function living(act) {
  return (world, step) => {
    const slot = world.slots[step.slot];
    if (slot.tab && !slot.tab.dead) act(world, slot, step);
  };
}

const PEOPLE = ['ann', 'ben', ''];

const ANSWERS = [ // of an intermediary; none: it passes on
  undefined, undefined, { status: 200, type: 'text/html' }, { status: 404, type: 'text/plain' }, { status: 403, type: 'text/html' },
  { status: 502, type: 'text/html' }, { status: 302 }, { status: 200, type: 'application/json', body: {} },
];

// LIKELY is how often each action is drawn, and with what.
const LIKELY = [
  [30, r => ({ act: 'publish', n: 1 + floor(r, 6), topic: ['orders', 'orders', 'orders', 'tickets', 'salaries'][floor(r, 5)] })],
  [4, r => ({ act: 'trim', n: floor(r, 4) })],
  [3, () => ({ act: 'backup' })],
  [3, () => ({ act: 'restore' })],
  [3, r => ({ act: 'restart', ms: 10 ** (5 * r()), told: r() < 0.5 })],
  [2, () => ({ act: 'expire' })],
  [2, r => ({ act: 'grant', person: PEOPLE[floor(r, 2)], yes: r() < 0.5 })],
  [4, r => ({ act: 'signIn', slot: floor(r, 4), person: PEOPLE[floor(r, 3)] })],
  [3, r => ({ act: 'sick', slot: floor(r, 4), how: [undefined, 'throws', 'hangs', 'none', 'wrong'][floor(r, 5)] })],
  [2, r => ({ act: 'change', slot: floor(r, 4), set: floor(r, 4) })],
  [3, r => ({ act: 'proxy', answer: ANSWERS[floor(r, ANSWERS.length)] })],
  [2, r => ({ act: 'overload', yes: r() < 0.4 })],
  [2, r => ({ act: 'serverClock', ms: (r() - 0.5) * 600_000 })],
  [5, r => ({ act: 'drop', share: r() < 0.5 ? 1 : 0.5 })],
  [9, r => ({ act: 'network', mode: ['ok', 'ok', 'ok', 'refuse', 'hang', 'buffer'][floor(r, 6)] })],
  [3, r => ({ act: 'speed', speed: [1, 1, 10, 50][floor(r, 4)] })],
  [2, r => ({ act: 'wallClock', ms: (r() < 0.5 ? -1 : 1) * 10 ** (3 + 5 * r()) })],
  [12, r => ({ act: 'open', slot: floor(r, 4) })],
  [2, r => ({ act: 'duplicate', slot: floor(r, 4), from: floor(r, 4) })],
  [7, r => ({ act: 'reload', slot: floor(r, 4), told: r() < 0.7 })],
  [2, r => ({ act: 'crash', slot: floor(r, 4) })],
  [3, () => ({ act: 'crashLeader' })],
  [3, r => ({ act: 'crashAtNext', slot: floor(r, 4) })],
  [1, r => ({ act: 'reconnectAtNext', slot: floor(r, 4) })],
  [3, r => ({ act: 'close', slot: floor(r, 4) })],
  [6, r => ({ act: 'freeze', slot: floor(r, 4), told: r() < 0.5 })],
  [9, r => ({ act: 'thaw', slot: floor(r, 4) })],
  [2, r => ({ act: 'putAway', slot: floor(r, 4) })],
  [5, r => ({ act: 'show', slot: floor(r, 4), yes: r() < 0.6 })],
  [3, r => ({ act: 'online', slot: floor(r, 4) })],
  [1, r => ({ act: 'reconnect', slot: floor(r, 4) })],
];
const LIKELY_SUM = LIKELY.reduce((sum, [share]) => sum + share, 0);

function floor(r, n) { return Math.floor(r() * n); }

// draw makes a schedule from a seed.
function draw(seed) {
  const r = randomFrom(seed ^ 0x5EED);
  return Array.from({ length: 5 + floor(r, 45) }, () => {
    let at = r() * LIKELY_SUM;
    const [, make] = LIKELY.find(([share]) => (at -= share) < 0);
    return { after: Math.round(10 ** (r() < 0.15 ? 4 + 1.5 * r() : 4 * r())), ...make(r) };
  });
}

// run returns what is wrong after a schedule, if anything. Equal arguments have the same outcome.
function run(compiled, seed, schedule) { return new World(compiled, seed).run(schedule, ACTIONS); }

// explore runs the schedules of count seeds. It returns the first that fails, or nothing.
export async function explore(compiled, first, count) {
  for (let seed = first; seed < first + count; seed++) {
    const schedule = draw(seed), failure = await run(compiled, seed, schedule);
    if (failure) return { seed, schedule, failure };
  }
}

// shrink removes ever smaller stretches of steps, as long as it still fails.
export async function shrink(compiled, { seed, schedule }) {
  for (let size = schedule.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < schedule.length;) {
      const shorter = schedule.toSpliced(at, size);
      if (await run(compiled, seed, shorter)) schedule = shorter;
      else at += size;
    }
  }
  return { seed, schedule, failure: await run(compiled, seed, schedule) };
}

// describe formats a failure for people.
export function describe({ seed, schedule, failure }) {
  const steps = schedule.map(({ after, act, ...rest }) => `  wait ${after} ms, ${act} ${JSON.stringify(rest)}`);
  return `seed ${seed}: ${failure}\nafter:\n${steps.join('\n')}`;
}
