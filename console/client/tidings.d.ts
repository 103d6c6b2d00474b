/** Where and how a client reads. */
export interface TidingsOptions<Data = unknown> {
  /** Where the server is. Default: where this module was loaded from. */
  url?: string | URL;
  /** Topics or patterns (`orders`, `tickets.>`). None: everything that the token grants. */
  topics?: readonly string[];
  /**
   * Names the reader. Under its name the cursor outlives a reload, a crash and a closed tab, on this browser: one for each
   * person, as the server knows them, and for each set of topics. Topics that were not read together before begin at
   * the oldest of these. Without a name nothing is stored.
   */
  name?: string;
  /** Start after this event, whatever is stored; under a name the cursor is stored from there on. */
  after?: string;
  /** Start here under a name that is new: `earliest`, `latest`, a duration (`15m`, `1d`) or an RFC 3339 time. */
  since?: string;
  /** Start with the newest so many events under a name that is new. Default: 0. */
  last?: number;
  /**
   * The token: itself, or a function that gets one. The function is called again when the server takes the
   * last one no longer, one call at a time. Nothing is no token: then the browser's cookie counts. What it throws,
   * and that it took longer than 10 s, is an `error`; it is called again after a pause.
   */
  token?: string | (() => Token | Promise<Token>);
  /**
   * Handles an event, after the listeners. The next waits until the promise that it returns is fulfilled, and only then is
   * the cursor stored: a reload, or a crash, before that gives the event again. So each is handled at least once, one at
   * a time, in each tab. What it throws is an `error`, and it is called again with the same event, after pauses of up to 30 s.
   */
  handled?: (event: TidingsEvent<Data>) => unknown;
  /**
   * Share one connection with the other tabs that have the same url, name and topics, and in which the same person may
   * read the same; and read as another person when one signs in, or out, in another tab. Default: true.
   */
  shared?: boolean;
  /** Send cookies to another origin of the same site. Default: false. */
  withCredentials?: boolean;
}

/** What a token function returns: a token, or nothing if there is none. */
export type Token = string | null | undefined;

/** An event of the log. `GET /v1/events` has the same. */
export interface TidingsEvent<Data = unknown> {
  /** A ULID. IDs rise in the order of the log, as strings too. */
  id: string;
  topic: string;
  type: string;
  /** When it was committed, RFC 3339. */
  time: string;
  datacontenttype?: string;
  /** The payload: a JSON value, a string when it is text, null when there is none. */
  data?: Data;
  /** Binary payload, instead of data. */
  data_base64?: string;
  /** The attributes of an event that was published as a CloudEvent. */
  ce?: Record<string, unknown>;
}

/** Events that were asked for are gone, or the cursor means nothing to this log. Reading goes on. */
export interface Gap {
  reason: 'expired' | 'unknown' | 'ahead' | 'malformed' | 'corrupt';
  requested: string;
  through: string;
  first: string | null;
  last: string | null;
  detail: string;
}

/** The server ends the connection. The client comes back by itself. */
export interface Bye {
  reason: 'shutdown' | 'expired-token' | 'lifetime' | 'disconnected' | 'overloaded' | 'unavailable';
}

/**
 * - `connecting`: there is no connection; it is being made, or tried again
 * - `catching-up`: what was missed comes in
 * - `live`: nothing is missing
 * - `refused`: the server does not serve this client: see the `error` event. `reconnect()` tries again.
 * - `ended`: all topics have ended
 * - `closed`: by `close()`
 */
export type State = 'connecting' | 'catching-up' | 'live' | 'refused' | 'ended' | 'closed';

/** What the server said when it refused. `status` and `code` are those of docs/ERRORS.md. */
export interface ProblemError extends Error {
  name: 'ProblemError';
  status: number;
  code?: string;
}

export interface TidingsEventMap<Data = unknown> {
  /** An event; each once, in the order of the log. */
  event: CustomEvent<TidingsEvent<Data>>;
  /** A topic has ended. Once all have, the state is `ended`. */
  end: CustomEvent<TidingsEvent<unknown>>;
  gap: CustomEvent<Gap>;
  /** Everything up to now has been handed over; missed is how many events that were since the state was last live. */
  live: CustomEvent<{ missed: number }>;
  bye: CustomEvent<Bye>;
  /**
   * Something has come on the stream that this tab holds: a heartbeat at least, every so many milliseconds. `subscriber` is what
   * the server calls the stream, `token` what it was asked for with. For presence.js, which tells the server what the page can do.
   */
  beat: CustomEvent<{ subscriber: string; heartbeat: number; token: Token }>;
  state: CustomEvent<{ state: State; transport: 'stream' | 'poll'; leads: boolean }>;
  /**
   * A refusal; what the token function threw; or, once per outage and with the name `AnswerError`, that something
   * which is no Tidings server has answered.
   */
  error: CustomEvent<ProblemError | Error>;
}

/** As much of the Web Locks API as a client uses. */
export interface Locks {
  request(name: string, options: LockOptions, act: (lock: Pick<Lock, 'name' | 'mode'> | null) => unknown): Promise<unknown>;
}

type Listener<Client, E> = ((this: Client, event: E) => void) | { handleEvent(event: E): void } | null;

/** A reader of the log. It begins when it is made. Data is what the payloads of its topics are; nothing checks it. */
export class Tidings<Data = unknown> extends EventTarget {
  /**
   * By which tabs agree on who reads for all: the browser's Web Locks, where it has them. On plain HTTP it has none; then
   * those of locks.js may be put here, before a client is made, or each tab has a connection of its own.
   */
  static locks: Locks | undefined;
  constructor(options?: TidingsOptions<Data>);
  /**
   * Whose events are handed over, and whose place is stored: `Tidings-Who` of the last answer. Before there was one, of
   * the last answer under the name, else undefined. What stands before the dot is the person alone. A page that shows
   * what is meant for one person clears it when that changes, which it does before the next event.
   */
  readonly who: string | undefined;
  /** The ID up to which everything has been handed over; null before the first connection. */
  readonly cursor: string | null;
  readonly state: State;
  readonly transport: 'stream' | 'poll';
  /** Whether this tab holds the connection. */
  readonly leads: boolean;
  /** Names the tabs that share the connection; undefined while this one holds its own. */
  readonly group: string | undefined;
  /** Whether the cursor outlives a reload: it has a name, and storage takes it. */
  readonly persistent: boolean;
  /**
   * Fulfilled when the state is `live`, or `ended`, for the first time. Rejected with the ProblemError if it is `refused`
   * before that, with an AbortError if it is `closed`. A network that is down is waited for.
   */
  readonly ready: Promise<void>;
  /**
   * Read other topics from the cursor on: everything after it of theirs, nothing before. Throws a TypeError if it is given
   * anything but an array of strings; does nothing once closed.
   */
  setTopics(topics: readonly string[]): void;
  /**
   * Try again now, with a new token; after signing in or out, for example. The other tabs hear of it, and ask the server
   * who they are. This tab then holds the connection.
   */
  reconnect(): void;
  /** Stop for good. The cursor stays stored. */
  close(): void;
  addEventListener<K extends keyof TidingsEventMap>(
    type: K, listener: Listener<this, TidingsEventMap<Data>[K]>, options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof TidingsEventMap>(
    type: K, listener: Listener<this, TidingsEventMap<Data>[K]>, options?: boolean | EventListenerOptions,
  ): void;
}
