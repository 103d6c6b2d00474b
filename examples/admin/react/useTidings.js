import { useEffect, useRef, useState } from 'react';
import { Tidings } from 'tidings';

// useTidings reads the log as long as its component is mounted. The options are those of Tidings, as they were at
// the first render. events has the newest first, limit of them at most; clear empties it and returns the ID up to
// which it had everything.
export function useTidings({ limit = 1000, ...options }) {
  const [events, setEvents] = useState([]);
  const [state, setState] = useState('connecting');
  const [gap, setGap] = useState(null);
  const [error, setError] = useState(null);
  const first = useRef(options);
  const tidings = useRef(null);

  useEffect(() => {
    const t = tidings.current = new Tidings(first.current);
    setEvents([]); // a reader that is made again, as in StrictMode, begins where the first did
    t.addEventListener('event', ({ detail }) => setEvents(events => [detail, ...events].slice(0, limit)));
    t.addEventListener('state', ({ detail }) => setState(detail.state));
    t.addEventListener('gap', ({ detail }) => setGap(detail));
    t.addEventListener('error', ({ detail }) => setError(detail));
    return () => t.close();
  }, [limit]);

  const clear = () => {
    setEvents([]);
    return tidings.current.cursor;
  };
  return { events, state, gap, error, clear };
}
