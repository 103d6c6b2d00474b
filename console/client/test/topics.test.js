// Which topics a list matches, and where a list of reserved topics starts.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matcher } from '../topics.js';
import { Stage } from './stage.js';

test('wildcards stand for nothing that is reserved', () => {
  const all = ['orders', 'orders.eu', '$alerts.orders', '$alerts.orders.eu'];
  for (const [key, ...want] of [
    ['', 'orders', 'orders.eu'],
    ['>', 'orders', 'orders.eu'],
    ['*.>', 'orders.eu'],
    ['$alerts.>', '$alerts.orders', '$alerts.orders.eu'],
    ['$alerts.* *', 'orders', '$alerts.orders'],
  ]) assert.deepEqual(all.filter(matcher(key)), want, key);
});

test('who has read everything has not read what is reserved', async () => {
  const stage = new Stage();
  const visit = async topics => {
    const tab = stage.open({ name: 'me', topics });
    await stage.pass(2);
    tab.fire('pagehide');
    tab.die();
    await stage.pass(1);
    return tab.of('event').map(({ topic }) => topic);
  };
  await visit(['$alerts.orders']);
  stage.server.publish('$alerts.orders');
  stage.server.publish('orders');
  await visit([]);
  assert.ok((await visit(['$alerts.orders'])).includes('$alerts.orders'));
});
