import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { useTidings } from './useTidings.js';

function Alerts() {
  const { events, state, gap, error, clear } = useTidings({
    topics: ['orders', 'comments', 'tickets.>'],
    after: localStorage.seen,
    last: 20,
  });
  return (
    <>
      <h1>Shop admin <span id="badge">{events.length || ''}</span></h1>
      <p>Alerts: <span id="state">{state}</span> <button id="seen" disabled={!events.length} onClick={() => { localStorage.seen = clear(); }}>Seen</button></p>
      {gap && <p>{gap.detail}</p>}
      {error && <p>{error.message}</p>}
      <ul id="alerts">
        {events.map(event => <li key={event.id}>{event.type} {JSON.stringify(event.data)}</li>)}
      </ul>
    </>
  );
}

createRoot(document.getElementById('app')).render(<StrictMode><Alerts /></StrictMode>);
