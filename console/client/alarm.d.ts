import type { Tidings, Token } from './tidings.js';

/** An alert, as `GET /v1/open` has it: an event that demands an answer, and what became of it. */
export interface Alert {
  /** The ID of the event. */
  id: string;
  topic: string;
  type: string;
  /** The rules that the event matches. */
  rules: string[];
  /** When the event was committed, RFC 3339; so are all times. */
  since: string;
  state: 'open' | 'claimed' | 'snoozed' | 'done';
  /** Consoles should sound now. */
  rings: boolean;
  /** Who has claimed it, or has done it. */
  holder: Person | null;
  /** The ID of the answer that a release, a hand-over, a done or an undo is conditional on. */
  handle: string | null;
  changed: string | null;
  /** Until when it is snoozed. */
  until: string | null;
  /** Steps of escalation that were taken; when the next is due. */
  step: number;
  due: string | null;
}

/** Who holds an alert: the token's subject, and what was given with the answer. */
export interface Person {
  subject?: string;
  device?: string;
  name?: string;
}

/** Whether somebody would hear the alerts of a rule. */
export interface RuleHearing {
  name: string;
  /** Since then it is said that nobody would; null: it is not. */
  unheard_since: string | null;
  /** Until then nobody has to be there; null: somebody has. */
  signed_off_until: string | null;
  /** There are hours that may begin again. */
  has_hours: boolean;
  /** There are steps, the first of which is taken at once while nobody would hear. */
  has_steps: boolean;
}

/** What can be known of whether this tab would be heard. Nothing tells of mute and volume. */
export interface Hearing {
  /** This tab is the one of its browser that rings. */
  rings: boolean;
  /** The browser lets it sound. */
  armed: boolean;
  /** The browser shows its notifications. */
  allowed: boolean;
  visible: boolean;
  /** When a person last said that they had heard the test sound on this browser; null: never. */
  heard: string | null;
}

/**
 * `<tidings-alarm>`: the open alerts, oldest first, and the ring until somebody has taken them. All of its state is the
 * server's; of this browser are the person's name and when a test sound was heard (localStorage).
 *
 * Attributes:
 * - `url`: the server. Default: where this module was loaded from.
 * - `topics`: topics and patterns, with spaces between. Default: `>`, which is all.
 * - `lang`: `en` or `zh`. Default: that of the element around, else the browser's.
 * - `name`: the person's. Without it the element asks.
 * - `device`: tells two people, or two devices, of one token and name apart. Default: made up for this browser and name.
 * - `calls`: what it may use, of `sound title icon badge notification`. Default: all.
 *
 * It has the attribute `ringing` while it rings.
 */
export class TidingsAlarm extends HTMLElement {
  /**
   * A client of the page's, instead of one of the element's own. It has to read the topics, and `$alerts.` and each topic:
   * `['orders.>', '$alerts.orders.>']`. The page closes it. Each tab with this client
   * needs the element, or a Presence: the tab that holds the stream tells the server for all whether they would be heard.
   */
  tidings: Tidings | undefined;
  /** The token, or a function that gets one, for a server of another origin. To be set before the element is in the page. */
  token: string | (() => Token | Promise<Token>) | undefined;
  /** What a person calls an alert, such as "Order 1001"; shown as text in the place of its type. Called once for each. */
  describe: ((alert: Alert) => string | undefined | Promise<string | undefined>) | undefined;
  /** What the server said last: the open ones, and those done in the last ten minutes. */
  readonly alerts: readonly Alert[];
  /** How many are open and claimed by nobody, beyond what is listed too. */
  readonly open: number;
  /** The rules all of whose topics the element has. */
  readonly rules: readonly RuleHearing[];
  /** An alert wants it, and this tab is the one that rings. Whether it can be heard is `audible`. */
  readonly ringing: boolean;
  readonly audible: boolean;
  readonly hearing: Hearing;
  /** Asks the server now. */
  refresh(): void;
  /**
   * Each answer resolves with the alert as it then is; with undefined where it was refused or not answered, which the
   * list says. `force` takes an alert over from its holder.
   */
  claim(id: string, options?: { force?: boolean }): Promise<Alert | undefined>;
  release(id: string): Promise<Alert | undefined>;
  done(id: string): Promise<Alert | undefined>;
  handOver(id: string, to: Person): Promise<Alert | undefined>;
  undo(id: string): Promise<Alert | undefined>;
  /** Seconds: 1 to 3600, by default 300. */
  snooze(id: string, seconds?: number): Promise<Alert | undefined>;
  /**
   * Nobody has to be there for a rule, until its hours begin next or for so many seconds, a week at most: until then it is
   * not said that nobody hears it. signOn takes that back. Both reject with what the server refuses.
   */
  signOff(rule: string, seconds?: number): Promise<RuleHearing>;
  signOn(rule: string): Promise<RuleHearing>;
  /** Plays the alarm once. */
  test(): void;
  /** A person has heard the test sound. */
  heard(): void;
  addEventListener<K extends keyof TidingsAlarmEventMap>(
    type: K, listener: (this: TidingsAlarm, event: TidingsAlarmEventMap[K]) => void, options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

export interface TidingsAlarmEventMap extends HTMLElementEventMap {
  /** It begins or ends to ring, or can or cannot be heard any more. */
  ring: CustomEvent<{ ringing: boolean; audible: boolean }>;
  /** The alerts, or what is known of them, may have changed. rings: one of them wants it, in whichever tab. */
  alerts: CustomEvent<{ alerts: readonly Alert[]; open: number; rings: boolean }>;
}

declare global {
  interface HTMLElementTagNameMap {
    'tidings-alarm': TidingsAlarm;
  }
}
