// Line ends of two bytes whose second byte arrives later.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Stage } from './stage.js';

test('a frame that is cut anywhere, between CR and LF too, keeps its name', async () => {
  const CUTS = 300; // more than the bytes of a frame
  for (let cut = 0; cut < CUTS; cut++) {
    const stage = new Stage();
    let draws = 0;
    stage.network.random = () => draws++ === 0 ? 1 / 3 : cut / CUTS; // the first draw is the line ends: CRLF
    const tab = stage.open();
    await stage.pass(1);
    assert.equal(tab.client.state, 'live', `cut ${cut}`);
    tab.client.close();
  }
});
