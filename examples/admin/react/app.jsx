import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { TidingsProvider, useEvents, useTidings } from '@tidings/client/react';

const topics = ['orders', 'comments', 'tickets.>'];

function Badge() {
  const events = useEvents({ topics });
  return <span id="badge">{events.length || ''}</span>;
}

function Alerts() {
  const events = useEvents({ topics });
  const { state, gap, error, clear } = useTidings();
  return (
    <>
      <p>Alerts: <span id="state">{state}</span> <button id="seen" disabled={!events.length} onClick={() => { localStorage.seen = clear(); }}>Seen</button></p>
      {gap && <p>{gap.detail}</p>}
      {error && <p>{error.message}</p>}
      <ul id="alerts">
        {events.map(event => <li key={event.id}>{event.type} {JSON.stringify(event.data)}</li>)}
      </ul>
    </>
  );
}

// Everything after the last alert seen; on the first visit, the newest twenty. One client for both components.
createRoot(document.getElementById('app')).render(
  <StrictMode>
    <TidingsProvider url="http://127.0.0.1:8080" after={localStorage.seen} last={20}>
      <h1>Shop admin <Badge /></h1>
      <Alerts />
    </TidingsProvider>
  </StrictMode>,
);
