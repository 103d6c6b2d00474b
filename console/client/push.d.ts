import type { Token } from './tidings.js';

/** The server, and the caller's credentials. */
export interface PushAccess {
  /** The server. Default: where this module was loaded from. */
  url?: string | URL;
  /** As in TidingsOptions; without one the session's cookie counts. */
  token?: Token | (() => Token | Promise<Token>);
  /** Send cookies to another origin. */
  withCredentials?: boolean;
  /**
   * The service worker: a copy of the server's `sw.js` on the page's origin. Default: the server's, which must then
   * have that origin. It is registered with the scope `tidings/` beside it, so that it controls no page.
   */
  worker?: string | URL;
}

/** What is pushed to this browser, and how. */
export interface PushOptions extends PushAccess {
  /** Topics and patterns, covered by the token's grant. */
  topics: string[];
  /**
   * The person's read mark (`/v1/cursors/{name}`). Events that it has passed are not pushed if it covers all of the
   * topics; the badge shows the unread events after it if they cover all of its topics.
   */
  readMark?: string;
  /** The URL that a click opens. Default: this page. */
  page?: string;
  /** A name for people, such as "Ana's phone". */
  name?: string;
  /** Language of the texts. Default: `en`. */
  language?: 'en' | 'zh';
  /** How soon a push must arrive: a phone that saves its battery delays all but `high`. Default: `normal`. */
  urgency?: 'very-low' | 'low' | 'normal' | 'high';
}

/** This browser, as registered with the server. */
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
  /** In RFC 3339, like all times. */
  created: string;
  renewed: string;
  /** When the token expires. Pushes end some days later, unless `push` is called again. */
  expires: string | null;
  /** Matching events up to this ID have been pushed, or need no push. */
  cursor: string;
  state: 'active' | 'failing' | 'expired' | 'held';
  failure: string | null;
}

/** The server's refusal. */
export class PushError extends Error {
  constructor(status: number, problem?: { title?: string; detail?: string; code?: string });
  readonly status: number;
  readonly code?: string;
}

/**
 * Whether pushes are on in this browser. `lost`: they were, and the browser dropped its subscription by itself;
 * `push()` creates another one without asking the person. `denied`: the person has blocked notifications;
 * `unsupported`: the browser takes no pushes here, as without HTTPS, or on iOS outside the home screen. Does not ask
 * the person.
 */
export function pushState(options?: PushAccess): Promise<'on' | 'off' | 'lost' | 'denied' | 'unsupported'>;

/**
 * Turns pushes on in this browser, or renews them with the current token. The first call asks the person, so make it on
 * a click; call it again when a page loads and `pushState()` is `on` or `lost`. Throws a PushError, a NotAllowedError
 * if the person refuses, and what the browser throws.
 */
export function push(options: PushOptions): Promise<Device>;

/**
 * Turns pushes off, in the browser and on the server. Call it before the person signs out: else the device stays
 * theirs.
 */
export function stopPush(options?: PushAccess): Promise<void>;

/** Closes notifications of events up to an ID, or all; when none is left, the badge is cleared. */
export function readPushes(id?: string, options?: PushAccess): Promise<void>;
