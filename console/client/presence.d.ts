import type { Tidings } from './tidings.js';

export interface PresenceOptions {
  /** The server that the client reads from. */
  url: string | URL;
  /** Whether the browser now allows the page to sound its alarm. If omitted, the page has none. */
  armed?: () => boolean | undefined;
  /** Send cookies to another origin of the same site. Default: false. */
  withCredentials?: boolean;
}

/**
 * Reports to the server, with each heartbeat of the client's stream, whether a person may see the page (`visible`),
 * whether the browser shows its notifications (`allowed`), and whether it may sound an alarm (`armed`). The server
 * keeps reports in memory, as long as the stream: `GET /v1/subscribers` shows them, and a rule that nobody would hear
 * is reported as unheard.
 *
 * Tabs that share the stream are one page: the one that holds the stream asks the others. If that one has no Presence,
 * a tab that has one takes the stream over with `client.reconnect()`, after 10 to 40 s. Several Presences of one client
 * report as one. `<tidings-alarm>` has its own. While the client polls, nothing is reported. Reports carry the token
 * that opened the stream. If the server rejects them, `console.warn` says so once.
 */
export class Presence {
  constructor(client: Tidings, options: PresenceOptions);
  /** Reports now: call it when the result of `armed` has changed. */
  changed(): void;
  /** Stops reporting. The client continues. */
  close(): void;
}
