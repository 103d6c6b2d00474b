/** What a client reads, and how. */
export interface TidingsOptions<Data = unknown> {
  /** The server. Default: where this module was loaded from. */
  url?: string | URL;
  /** Topics or patterns (`orders`, `tickets.>`). Default: everything that the token grants. */
  topics?: readonly string[];
  /**
   * Names the reader. With a name the cursor outlives a reload, a crash and a closed tab, in this browser: one cursor
   * per person, as the server knows them, and per set of topics. Topics not read together before start at the oldest of
   * these. Without a name nothing is stored.
   */
  name?: string;
  /** Start after this event, whatever is stored; with a name the cursor is stored from there on. */
  after?: string;
  /** Where a new name starts: `earliest`, `latest`, a duration (`15m`, `1d`) or an RFC 3339 time. */
  since?: string;
  /** A new name starts with the newest N events. Default: 0. */
  last?: number;
  /**
   * A token, or a function that returns one. The function is called again when the server no longer accepts the last
   * one, one call at a time. If it returns nothing, the browser's cookie counts. If it throws, or takes longer than 10
   * s, that is an `error`, and it is called again after a pause.
   */
  token?: string | (() => Token | Promise<Token>);
  /**
   * Handles an event, after the listeners. The next event waits until the returned promise is fulfilled, and only then
   * is the cursor stored: a reload or a crash before that delivers the event again. So each is handled at least once,
   * one at a time, in each tab. What it throws is an `error`, and it is called again with the same event, after pauses
   * of up to 30 s.
   */
  handled?: (event: TidingsEvent<Data>) => unknown;
  /**
   * Share one connection with other tabs that have the same url, name and topics, and where the same person may read
   * the same; and switch to another person when somebody signs in or out in another tab. Default: true.
   */
  shared?: boolean;
  /** Send cookies to another origin of the same site. Default: false. */
  withCredentials?: boolean;
}

/** What a token function returns: a token, or nothing if there is none. */
export type Token = string | null | undefined;

/** An event of the log, as in `GET /v1/events`. */
export interface TidingsEvent<Data = unknown> {
  /** A ULID. IDs increase in log order, as strings, too. */
  id: string;
  topic: string;
  type: string;
  /** When it was committed, in RFC 3339. */
  time: string;
  datacontenttype?: string;
  /** The payload: a JSON value; a string if it is text; null if there is none. */
  data?: Data;
  /** Binary payload, instead of data. */
  data_base64?: string;
  /** The attributes of an event that was published as a CloudEvent. */
  ce?: Record<string, unknown>;
}

/** Requested events are gone, or the cursor is invalid in this log. Reading continues. */
export interface Gap {
  reason: 'expired' | 'unknown' | 'ahead' | 'malformed' | 'corrupt';
  requested: string;
  through: string;
  first: string | null;
  last: string | null;
  detail: string;
}

/** The server ends the connection. The client reconnects by itself. */
export interface Bye {
  reason: 'shutdown' | 'expired-token' | 'lifetime' | 'disconnected' | 'overloaded' | 'unavailable';
}

/**
 * - `connecting`: there is no connection; the client connects, or waits to retry
 * - `catching-up`: missed events are arriving
 * - `live`: nothing is missing
 * - `refused`: the server does not serve this client: see the `error` event. `reconnect()` tries again.
 * - `ended`: all topics have ended
 * - `closed`: by `close()`
 */
export type State = 'connecting' | 'catching-up' | 'live' | 'refused' | 'ended' | 'closed';

/** The server's refusal. `status` and `code` are those of docs/ERRORS.md. */
export interface ProblemError extends Error {
  name: 'ProblemError';
  status: number;
  code?: string;
}

export interface TidingsEventMap<Data = unknown> {
  /** An event; each once, in log order. */
  event: CustomEvent<TidingsEvent<Data>>;
  /** A topic has ended. Once all have, the state is `ended`. */
  end: CustomEvent<TidingsEvent<unknown>>;
  gap: CustomEvent<Gap>;
  /** Everything up to now has been handed over; missed counts the events since the state was last live. */
  live: CustomEvent<{ missed: number }>;
  bye: CustomEvent<Bye>;
  /**
   * Something arrived on the stream that this tab holds; at least a heartbeat, every `heartbeat` ms. `subscriber` is
   * the server's ID of the stream, `token` the one that opened it. For presence.js, which reports what the page can do.
   */
  beat: CustomEvent<{ subscriber: string; heartbeat: number; token: Token }>;
  state: CustomEvent<{ state: State; transport: 'stream' | 'poll'; leads: boolean }>;
  /**
   * A refusal; what the token function threw; or, once per outage and named `AnswerError`, a response from something
   * that is not a Tidings server.
   */
  error: CustomEvent<ProblemError | Error>;
}

/** The part of the Web Locks API that a client uses. */
export interface Locks {
  request(name: string, options: LockOptions, act: (lock: Pick<Lock, 'name' | 'mode'> | null) => unknown): Promise<unknown>;
}

type Listener<Client, E> = ((this: Client, event: E) => void) | { handleEvent(event: E): void } | null;

/** A reader of the log, which starts when constructed. Data is the type of its topics' payloads; nothing checks it. */
export class Tidings<Data = unknown> extends EventTarget {
  /**
   * How tabs agree on which one reads for all: the browser's Web Locks, if it has them. On plain HTTP it has none; then
   * set those of locks.js here before creating a client, or each tab has its own connection.
   */
  static locks: Locks | undefined;
  constructor(options?: TidingsOptions<Data>);
  /**
   * Whose events are handed over, and whose cursor is stored: `Tidings-Who` of the last response; before the first one,
   * of the last response under the name, else undefined. The part before the dot identifies the person alone. It
   * changes before the next event; a page that shows one person's events clears them then.
   */
  readonly who: string | undefined;
  /** The ID up to which everything has been handed over; null before the first connection. */
  readonly cursor: string | null;
  readonly state: State;
  readonly transport: 'stream' | 'poll';
  /** Whether this tab holds the connection. */
  readonly leads: boolean;
  /** Names the group of tabs that share the connection; undefined while this tab has its own. */
  readonly group: string | undefined;
  /** Whether the cursor outlives a reload: it has a name, and storage accepts it. */
  readonly persistent: boolean;
  /**
   * Fulfilled when the state is `live`, or `ended`, for the first time. Rejected with the ProblemError if it is
   * `refused` before that, with an AbortError if it is `closed`. While the network is down it stays pending.
   */
  readonly ready: Promise<void>;
  /**
   * Reads other topics from the cursor on: everything after it, nothing before. Throws a TypeError for anything but an
   * array of strings; does nothing once closed.
   */
  setTopics(topics: readonly string[]): void;
  /**
   * Reconnects now, with a new token; for example after signing in or out. The other tabs learn of it, and ask the
   * server who they are. This tab then holds the connection.
   */
  reconnect(): void;
  /** Stops permanently. The cursor stays stored. */
  close(): void;
  addEventListener<K extends keyof TidingsEventMap>(
    type: K, listener: Listener<this, TidingsEventMap<Data>[K]>, options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof TidingsEventMap>(
    type: K, listener: Listener<this, TidingsEventMap<Data>[K]>, options?: boolean | EventListenerOptions,
  ): void;
}
