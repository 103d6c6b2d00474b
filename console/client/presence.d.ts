import type { Tidings } from './tidings.js';

export interface PresenceOptions {
  /** The server that the client reads from. */
  url: string | URL;
  /** Whether the browser lets the page sound its alarm now. Left out: the page has none. */
  armed?: () => boolean | undefined;
  /** Send cookies to another origin of the same site. Default: false. */
  withCredentials?: boolean;
}

/**
 * Tells the server, with each heartbeat of the client's stream, whether a person may see the page (`visible`), whether the
 * browser shows its notifications (`allowed`), and whether it may sound an alarm (`armed`). The server keeps it in memory,
 * as long as the stream: `GET /v1/subscribers` shows it, and a rule that nobody would hear says so. Tabs that share the
 * stream are one page, and each needs a Presence: the one that holds the stream asks the others. One that is not asked for
 * two minutes says so by `console.warn`. Several of one client speak as one. `<tidings-alarm>` has its own. While the client polls nothing is told. Reports bear the token that the
 * client asked for the stream with. That the server does not take them is said once, by `console.warn`.
 */
export class Presence {
  constructor(client: Tidings, options: PresenceOptions);
  /** Tells it now: what `armed` says has changed. */
  changed(): void;
  /** Ends it. The client goes on. */
  close(): void;
}
