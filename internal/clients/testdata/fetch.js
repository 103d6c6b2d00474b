import { fetchEventSource } from './node_modules/@microsoft/fetch-event-source/lib/esm/index.js'
import { types, write } from './events.js'

class Stop extends Error {}

// careful makes fetchEventSource do what an EventSource does.
const careful = {
  openWhenHidden: true, // otherwise a hidden tab closes its stream
  onopen(response) {
    if (response.status === 204) throw new Stop('the stream is over for good')
    if ([401, 403].includes(response.status)) throw new Stop('another token is needed')
    if (response.status !== 200) throw new Error(`the server answered ${response.status}`)
  },
  onclose() {
    throw new Error('the stream ended') // otherwise the end of one response ends it all
  },
  onerror(error) {
    if (error instanceof Stop) throw error // anything else is retried
  },
}

// follow follows a stream.
export function follow(url, options = careful) {
  const onmessage = ({ event, id, data }) => {
    const type = event || 'message'
    if (types.includes(type)) write(type, id, data)
  }
  const stopped = () => write('stopped')
  fetchEventSource(url, { ...options, onmessage }).then(stopped, stopped)
}
