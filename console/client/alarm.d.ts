import type { Tidings, Token } from './tidings.js';

/** An alert, as in `GET /v1/open`: an event that demands an answer, and its state. */
export interface Alert {
  /** The ID of the event. */
  id: string;
  topic: string;
  type: string;
  /** The rules that the event matches. */
  rules: string[];
  /** When the event was committed, in RFC 3339, like all times. */
  since: string;
  state: 'open' | 'claimed' | 'snoozed' | 'done';
  /** Consoles should sound now. */
  rings: boolean;
  /** Who has claimed it, or ended it. */
  holder: Person | null;
  /** The ID of the answer on which a release, a hand-over, a done or an undo is conditional. */
  handle: string | null;
  changed: string | null;
  /** Snoozed until then. */
  until: string | null;
  /** Escalation steps fired; when the next one is due. */
  step: number;
  due: string | null;
}

/** Who holds an alert: the token's subject, and what the answer supplied. */
export interface Person {
  subject?: string;
  device?: string;
  name?: string;
}

/** Whether somebody would hear the alerts of a rule. */
export interface RuleHearing {
  name: string;
  /** Reported as unheard since then; null: it is not. */
  unheard_since: string | null;
  /** Nobody is on duty until then; null: not signed off. */
  signed_off_until: string | null;
  /** It has hours: signing off can last until they next begin. */
  has_hours: boolean;
  /** It has steps: the first one fires at once while nobody would hear. */
  has_steps: boolean;
}

/** What is known about whether this tab would be heard. Mute and volume cannot be known. */
export interface Hearing {
  /** This tab is the one of its browser that rings. */
  rings: boolean;
  /** The browser allows it to sound. */
  armed: boolean;
  /** The browser shows its notifications. */
  allowed: boolean;
  visible: boolean;
  /** When a person last confirmed hearing the test sound in this browser; null: never. */
  heard: string | null;
}

/**
 * `<tidings-alarm>`: lists the open alerts, oldest first, and rings until somebody has claimed them. Its state is the
 * server's, except the person's name and when a test sound was heard, which this browser keeps (localStorage).
 *
 * Attributes:
 * - `url`: the server. Default: where this module was loaded from.
 * - `topics`: topics and patterns, separated by spaces. Default: `>`, which is all.
 * - `lang`: `en` or `zh`. Default: inherited from the page, else the browser's.
 * - `name`: the person's name. Without it the element asks.
 * - `device`: tells apart two people, or two devices, with one token and name. Default: generated for this browser and
 *   name.
 * - `calls`: which of `sound title icon badge notification` it may use. Default: all.
 *
 * It has the attribute `ringing` while it rings.
 */
export class TidingsAlarm extends HTMLElement {
  /**
   * The page's client, instead of one created by the element. It must read the topics, and `$alerts.` followed by each:
   * `['orders.>', '$alerts.orders.>']`. The page closes it. Each tab with this client needs the element, or a Presence:
   * the tab that holds the stream reports to the server for all of them whether they would be heard.
   */
  tidings: Tidings | undefined;
  /**
   * The token, or a function that returns one, for a server of another origin. Set it before the element is in the
   * page.
   */
  token: string | (() => Token | Promise<Token>) | undefined;
  /**
   * Returns what people call an alert, such as "Order 1001"; shown as text instead of its type. Called once for each.
   */
  describe: ((alert: Alert) => string | undefined | Promise<string | undefined>) | undefined;
  /**
   * Open alerts and those done in the last ten minutes, from the server's last response: at most 100. If there are
   * more, those that ring come first, then other unclaimed ones, claimed ones, done ones.
   */
  readonly alerts: readonly Alert[];
  /** Number of open, unclaimed alerts, including those not listed. */
  readonly open: number;
  /** The rules all of whose topics the element follows. */
  readonly rules: readonly RuleHearing[];
  /** An alert rings, and this tab is the one that sounds it. `audible` says whether it can be heard. */
  readonly ringing: boolean;
  readonly audible: boolean;
  readonly hearing: Hearing;
  /** Asks the server now. */
  refresh(): void;
  /**
   * Each answer resolves with the alert's new state, or with undefined if the request was refused or got no response,
   * as the list then says. `force` takes an alert over from its holder.
   */
  claim(id: string, options?: { force?: boolean }): Promise<Alert | undefined>;
  release(id: string): Promise<Alert | undefined>;
  done(id: string): Promise<Alert | undefined>;
  handOver(id: string, to: Person): Promise<Alert | undefined>;
  undo(id: string): Promise<Alert | undefined>;
  /** Seconds: 1 to 3600, by default 300. */
  snooze(id: string, seconds?: number): Promise<Alert | undefined>;
  /**
   * Signs off a rule, until its hours next begin or for N seconds, at most a week: until then it is not reported as
   * unheard. signOn undoes that. Both reject if the server refuses.
   */
  signOff(rule: string, seconds?: number): Promise<RuleHearing>;
  signOn(rule: string): Promise<RuleHearing>;
  /** Plays the alarm once. */
  test(): void;
  /** Confirms that a person has heard the test sound. */
  heard(): void;
  addEventListener<K extends keyof TidingsAlarmEventMap>(
    type: K, listener: (this: TidingsAlarm, event: TidingsAlarmEventMap[K]) => void, options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

export interface TidingsAlarmEventMap extends HTMLElementEventMap {
  /** It starts or stops ringing, or becomes audible or inaudible. */
  ring: CustomEvent<{ ringing: boolean; audible: boolean }>;
  /** The alerts, or what is known about them, may have changed. rings: one of them rings, in whichever tab. */
  alerts: CustomEvent<{ alerts: readonly Alert[]; open: number; rings: boolean }>;
}

declare global {
  interface HTMLElementTagNameMap {
    'tidings-alarm': TidingsAlarm;
  }
}
