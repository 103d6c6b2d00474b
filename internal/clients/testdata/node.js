// Follows a stream with the EventSource of a package: node node.js PACKAGE URL.
import { follow } from './events.js'

const [name, url] = process.argv.slice(2)
const { EventSource } = await import(name)
follow(EventSource, url)

// While undici waits to come back, it lets Node exit if there is nothing else to do.
setInterval(() => {}, 1 << 30)
