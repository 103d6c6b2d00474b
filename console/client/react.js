'use client';
// Tidings for React 18 and later. docs/BROWSER.md describes its use, react.d.ts each part.

import { createContext, createElement, useContext, useEffect, useMemo, useSyncExternalStore } from 'react';
import { Hub, IDLE, keyOf, NOTHING } from './hub.js';
import { keyOfTopics } from './topics.js';

const Context = createContext(null);

export function TidingsProvider({ children, topics, ...options }) {
  const hub = useMemo(() => new Hub(options), [keyOf(options)]);
  const key = topics && keyOfTopics(topics);
  useEffect(() => hub.use(options));
  useEffect(() => (key === undefined ? undefined : hub.ask(key)), [hub, key]);
  useEffect(() => {
    hub.start();
    return () => hub.stop();
  }, [hub]);
  return createElement(Context.Provider, { value: hub }, children);
}

export function useEvents({ topics, limit } = {}) {
  const hub = useHub(), key = keyOfTopics(topics);
  useEffect(() => hub.ask(key), [hub, key]);
  const view = useMemo(() => hub.view(key, limit), [hub, key, limit]);
  return useSyncExternalStore(hub.subscribe, view, () => NOTHING);
}

export function useTidings() {
  const hub = useHub();
  const status = useSyncExternalStore(hub.subscribe, () => hub.status, () => IDLE);
  return useMemo(() => ({ ...status, clear: hub.clear }), [hub, status]);
}

function useHub() {
  const hub = useContext(Context);
  if (!hub) throw new Error('there is no <TidingsProvider> around this component');
  return hub;
}
