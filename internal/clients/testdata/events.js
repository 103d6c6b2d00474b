// What the clients write: every event of the log, and these of the stream's own.
export const types = ['message', 'tidings.open', 'tidings.gap', 'tidings.end', 'tidings.bye']

// write writes an event as a line of type, ID and data, with tabs between. A line break in the data is one between the
// tokens of JSON.
export const write = (...fields) => console.log(fields.join('\t').replaceAll('\n', ''))

// follow follows a stream with an EventSource.
export function follow(EventSource, url) {
  const source = new EventSource(url)
  for (const type of types) {
    source.addEventListener(type, e => write(type, e.lastEventId, e.data))
  }
  source.addEventListener('error', () => {
    queueMicrotask(() => { // some are closed after that
      if (source.readyState === EventSource.CLOSED) write('stopped')
    })
  })
  return source
}
