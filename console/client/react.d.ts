import type { ReactNode } from 'react';
import type { Gap, ProblemError, State, Tidings, TidingsEvent, TidingsOptions } from './tidings.js';

export interface TidingsProviderProps extends TidingsOptions {
  /** The server; `/` is the page's own. A client in a bundle cannot know it. */
  url: string | URL;
  /** Topics to read from the beginning, whatever components ask for. Optional. */
  topics?: readonly string[];
  /** How many events are kept for the components: the newest of all topics together. Default: 1000. */
  keep?: number;
  children?: ReactNode;
}

/**
 * Provides one client, and so one connection, for all components in it. The client is created in an effect, when a
 * component, or `topics`, first asks for events, and closed with the provider. It reads everything they ask for.
 *
 * A new `url`, `name`, `shared` or `withCredentials`, or a token where there was none, creates a new client with no
 * events. The client uses the newest functions and the newest token, even if it is a string: so the state is never
 * `refused` because of a token. `after`, `since` and `last` count only once. If another person can sign in, give the
 * provider a `key` that identifies the person.
 */
export function TidingsProvider(props: TidingsProviderProps): ReactNode;

/**
 * The events of some topics or patterns, newest first; without `topics`, of all that the token grants. At most `limit`
 * of those that the provider keeps. The list is the same object until it changes.
 *
 * A topic added while others are already being read starts with its next event. After its last component unmounts, a
 * topic is still read and kept, so that a component that mounts again misses nothing, until 20 more lists of topics
 * have gone out of use. Throws a TypeError if `topics` is not an array of non-empty strings.
 */
export function useEvents<Data = unknown>(options?: {
  topics?: readonly string[];
  limit?: number;
}): readonly TidingsEvent<Data>[];

export interface TidingsStatus {
  state: State;
  transport: 'stream' | 'poll';
  /** Whether this tab holds the connection. */
  leads: boolean;
  /** The last gap since `clear()`. */
  gap: Gap | null;
  /** The last error; null again once the state is `live`. */
  error: ProblemError | Error | null;
  /** The client; null until an effect has created it, and on a server. The provider closes it. */
  client: Tidings | null;
  /** Clears the events and the gap, and returns the ID up to which everything had arrived. */
  clear(): string | null;
}

/** The status of the provider's client. Asks for no events. */
export function useTidings(): TidingsStatus;
