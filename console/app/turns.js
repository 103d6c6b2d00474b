// Over plain HTTP a browser has six connections to a server, for all its tabs, and no locks by which one tab could read for all:
// a seventh tab would not even load. So only the tabs that were looked at last read; the others wait until somebody looks.

import { base } from './api.js';

const READING = 4; // tabs; the other connections are for what they ask

// turns calls change(whether) each time this tab's turn to read begins or ends. It has one at first.
export function turns(signal, change) {
  if (navigator.locks) return;
  const me = Math.random();
  const seen = new Map(); // tab -> when it was looked at last
  const tabs = new BroadcastChannel(`tidings console turns ${base}`);
  let reads = true;
  const rank = () => {
    const before = [...seen.values()].filter(at => at > seen.get(me)).length;
    if (reads !== before < READING) change(reads = !reads);
  };
  const tell = asks => tabs.postMessage({ tab: me, at: seen.get(me), asks });
  const look = asks => {
    if (document.hidden && seen.has(me)) return;
    seen.set(me, Date.now());
    tell(asks);
    rank();
  };
  const leave = () => tabs.postMessage({ tab: me });
  tabs.onmessage = ({ data: { tab, at, asks } }) => {
    if (at) seen.set(tab, at);
    else seen.delete(tab);
    if (asks) tell();
    rank();
  };
  document.addEventListener('visibilitychange', () => look(), { signal });
  addEventListener('focus', () => look(), { signal });
  addEventListener('pagehide', leave, { signal });
  addEventListener('pageshow', ({ persisted }) => persisted && look(true), { signal });
  signal.addEventListener('abort', () => {
    leave();
    tabs.close();
  });
  look(true);
}
