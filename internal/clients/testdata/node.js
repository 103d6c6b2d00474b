// Follows a stream with a package: node node.js PACKAGE URL.
import { follow, types, write } from './events.js'

const [name, url] = process.argv.slice(2)
const library = await import(name)

// Most have an EventSource. While one waits to reconnect, it may let Node exit if nothing else is pending.
const ways = {
  'launchdarkly-eventsource': () => {
    const { EventSource } = library
    const source = follow(class extends EventSource {
      constructor(url) { super(url, { readTimeoutMillis: 40_000 }) }
    }, url)
    source.onclosed = () => write('stopped')
  },
  // It retries forever, unless it is closed at the end of the topic.
  'reconnecting-eventsource': async () => {
    const { EventSource: eventSourceClass } = await import('eventsource')
    const source = follow(class extends library.default {
      constructor(url) { super(url, { eventSourceClass }) }
    }, url)
    source.addEventListener('tidings.end', () => {
      source.close()
      write('stopped')
    })
  },
  // It retries after a 401, unless it is closed.
  'eventsource-client': () => {
    const stop = () => {
      source.close()
      write('stopped')
    }
    const source = library.createEventSource({
      url,
      onMessage: ({ event = 'message', id, data }) => { if (types.includes(event)) write(event, id, data) },
      fetch: async (...request) => {
        const response = await fetch(...request)
        if ([204, 401, 403].includes(response.status)) stop()
        return response
      },
    })
  },
  // It reads one response.
  'fetch-event-stream': async () => {
    for (let id = '', pause = 3000; ; await new Promise(done => setTimeout(done, pause))) {
      try {
        const response = await fetch(url, { headers: id ? { 'Last-Event-ID': id } : {} })
        if ([204, 401, 403].includes(response.status)) break
        for await (const frame of library.events(response)) {
          id = frame.id ?? id
          pause = frame.retry ?? pause
          const type = frame.event ?? 'message'
          if (frame.data !== undefined && types.includes(type)) write(type, id, frame.data)
        }
      } catch { /* it could not connect, or the connection broke */ }
    }
    write('stopped')
  },
}

const way = ways[name] ?? (() => follow(library.EventSource ?? library.default, url))
way()
setInterval(() => {}, 1 << 30)
