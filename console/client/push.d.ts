import type { Token } from './tidings.js';

/** Which server, and who asks. */
export interface PushAccess {
  /** The server. Default: where this module was loaded from. */
  url?: string | URL;
  /** As in TidingsOptions; without one the session's cookie counts. */
  token?: Token | (() => Token | Promise<Token>);
  /** Send cookies to another origin. */
  withCredentials?: boolean;
  /**
   * The service worker: a copy of the server's `sw.js` on the page's own origin. Default: the server's, which has to be of
   * that origin. It is registered below `tidings/` beside it, so that it is in charge of no page.
   */
  worker?: string | URL;
}

/** What this browser is told of, and how. */
export interface PushOptions extends PushAccess {
  /** Topics and patterns that the token grants. */
  topics: string[];
  /** The person's read mark (`/v1/cursors/{name}`): what it has passed is not told if it covers the topics, what is unread after it is the badge if they cover it. */
  readMark?: string;
  /** The URL that a click opens. Default: this page. */
  page?: string;
  /** For people, as "Ana's phone". */
  name?: string;
  /** Of the texts. Default: `en`. */
  language?: 'en' | 'zh';
  /** How soon a push has to be there: a phone that saves its battery lets all but `high` wait. Default: `normal`. */
  urgency?: 'very-low' | 'low' | 'normal' | 'high';
}

/** This browser, as the server has it. */
export interface Device {
  id: string;
  subject: string;
  name: string;
  topics: string[];
  read_mark: string | null;
  language: 'en' | 'zh';
  urgency: 'very-low' | 'low' | 'normal' | 'high';
  /** The origin of the browser's push service. */
  service: string;
  /** RFC 3339, as all times. */
  created: string;
  renewed: string;
  /** When the token ends. Some days later pushes do, unless `push` was called again. */
  expires: string | null;
  /** What matches up to this ID was pushed, or need not be. */
  cursor: string;
  state: 'active' | 'failing' | 'expired' | 'held';
  failure: string | null;
}

/** What the server has refused. */
export class PushError extends Error {
  constructor(status: number, problem?: { title?: string; detail?: string; code?: string });
  readonly status: number;
  readonly code?: string;
}

/**
 * Whether this browser is pushed to. `lost`: it was, and has dropped its subscription by itself; `push()` makes another one
 * without asking anybody. `denied`: its person has forbidden notifications; `unsupported`: it takes no pushes
 * here, as without HTTPS, or on iOS outside of the home screen. Nobody is asked.
 */
export function pushState(options?: PushAccess): Promise<'on' | 'off' | 'lost' | 'denied' | 'unsupported'>;

/**
 * Has this browser pushed to, or renews that with the token of now. The first call asks the person, so it belongs to a
 * click; call it again when a page loads and `pushState()` is `on` or `lost`. Throws a PushError, a NotAllowedError when the person
 * refuses, and what the browser throws.
 */
export function push(options: PushOptions): Promise<Device>;

/** Ends it, in the browser and on the server. Call it before the person signs out: the device would stay theirs. */
export function stopPush(options?: PushAccess): Promise<void>;

/** Closes notifications that are shown of events up to an ID, or all; when none is left the badge is taken away. */
export function readPushes(id?: string, options?: PushAccess): Promise<void>;
