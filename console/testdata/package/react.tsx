import { Activity, StrictMode, useState } from 'react';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import type { State, TidingsEvent } from '@tidings/client';
import { TidingsProvider, useEvents, useTidings } from '@tidings/client/react';

function List({ id, topics, limit }: { id: string; topics?: string[]; limit?: number }) {
  const events: readonly TidingsEvent<{ n: number }>[] = useEvents<{ n: number }>({ topics, limit });
  return <ul id={id}>{events.map(event => <li key={event.id} title={event.data?.n.toFixed()}>{event.id}</li>)}</ul>;
}

function Status() {
  const { state, error, gap, clear, client } = useTidings(), known: State = state;
  return <p><span id="state">{known}</span> {error?.message} {gap?.detail} {client?.cursor} <button id="clear" onClick={() => clear()} /></p>;
}

// The test may hold up what handles events.
const test = Object.assign(window, { handled: '', held: undefined as Promise<void> | undefined });

async function handle({ id }: TidingsEvent) {
  await test.held;
  test.handled += ` ${id}`;
}

function App() {
  const [shown, set] = useState({
    url: new URLSearchParams(location.search).get('url')!, topics: ['orders'], token: 'a', page: true, list: true, hidden: false,
  });
  // At once, so that none is missed.
  Object.assign(window, { show: (change: Partial<typeof shown>) => flushSync(() => set(before => ({ ...before, ...change }))) });
  if (!shown.page) return null;
  return (
    <Activity mode={shown.hidden ? 'hidden' : 'visible'}>
      <TidingsProvider url={shown.url} last={100} token={() => shown.token} handled={handle}>
        <Status />
        {shown.list && <List id="changing" topics={shown.topics} />}
        <List id="tickets" topics={['tickets.>', 'tickets.*']} />
        <List id="newest" topics={['*']} limit={2} />
      </TidingsProvider>
    </Activity>
  );
}

createRoot(document.getElementById('app')!).render(<StrictMode><App /></StrictMode>);

// @ts-expect-error: an address is needed
export const addressless = <TidingsProvider />;
// @ts-expect-error: there is no such option
export const misspelt = <TidingsProvider url="/" topic="orders" />;
// @ts-expect-error: a list
export const listless = () => useEvents({ topics: 'orders' });
