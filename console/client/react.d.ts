import type { ReactNode } from 'react';
import type { Gap, ProblemError, State, Tidings, TidingsEvent, TidingsOptions } from './tidings.js';

export interface TidingsProviderProps extends TidingsOptions {
  /** Where the server is; `/` where the page is from. A client in a bundle cannot know it. */
  url: string | URL;
  /** Topics that are read from the first on, whichever components there are. They need not be given. */
  topics?: readonly string[];
  /** How many events are kept for the components, the newest of all topics together. Default: 1000. */
  keep?: number;
  children?: ReactNode;
}

/**
 * Has one client, and so one connection, for all components in it. The client is made in an effect, when a component,
 * or `topics`, asks for events first, and closed with the provider. It reads what all of them ask for together.
 *
 * A new `url`, `name`, `shared` or `withCredentials`, and a token where there was none, is a new client with no events.
 * Of new functions, and of new tokens, the client takes the newest, also of one that is text: so the state is never
 * `refused` for a token. Of `after`, `since` and `last` the first counts. Where another person signs in, give the
 * provider a `key` that is the person's.
 */
export function TidingsProvider(props: TidingsProviderProps): ReactNode;

/**
 * The events of some topics or patterns, the newest first; of all that the token grants without `topics`. At most
 * `limit` of those that the provider keeps. The list is the same object until it changes.
 *
 * A topic that is asked for when others are read already begins with what comes next. After the last component that
 * asks for it has gone, a topic is still read and kept, so that a component that comes again has lost nothing, until
 * 20 more lists of topics have been let go. Throws a TypeError if `topics` is no array of text.
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
  /** What is wrong; null again once the state is `live`. */
  error: ProblemError | Error | null;
  /** The client; null until an effect has made it, and on a server. The provider closes it. */
  client: Tidings | null;
  /** Forgets the events and the gap, and returns the ID up to which everything had come. */
  clear(): string | null;
}

/** How the client of the provider is. It asks for no events. */
export function useTidings(): TidingsStatus;
