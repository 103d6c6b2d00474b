// The clients write every event of the log, and these control events.
export const types = ['message', 'tidings.open', 'tidings.gap', 'tidings.end', 'tidings.bye']

// write writes an event as a line of type, ID and data, separated by tabs. Line breaks in the data lie between JSON
// tokens.
export const write = (...fields) => console.log(fields.join('\t').replaceAll('\n', ''))

// follow follows a stream with an EventSource.
export function follow(EventSource, url) {
  const source = new EventSource(url)
  for (const type of types) {
    source.addEventListener(type, e => write(type, e.lastEventId, e.data))
  }
  source.addEventListener('error', () => {
    queueMicrotask(() => { // some close only after that
      if (source.readyState === EventSource.CLOSED) write('stopped')
    })
  })
  return source
}
