import type { ComputedRef, MaybeRefOrGetter, ShallowRef } from 'vue';
import type { Gap, ProblemError, State, Tidings, TidingsEvent, TidingsOptions } from './tidings.js';

export interface ProvideTidingsOptions extends Omit<TidingsOptions, 'topics'> {
  /** The server; `/` is the page's own. A client in a bundle cannot know it. */
  url: string | URL;
  /** Topics to read from the beginning, whatever components ask for. Optional. */
  topics?: MaybeRefOrGetter<readonly string[] | undefined>;
  /** How many events are kept for the components: the newest of all topics together. Default: 1000. */
  keep?: number;
}

/**
 * Provides one client, and so one connection, for this component and all below. Call it in `setup`. The client is
 * created once the component is mounted and it, or one below, or `topics`, first asks for events, and closed with the
 * component. It reads everything they ask for.
 *
 * A new `url`, `name`, `shared` or `withCredentials`, or a token where there was none, creates a new client with no
 * events. The client uses the newest functions and the newest token, even if it is a string: so the state is never
 * `refused` because of a token. `after`, `since` and `last` count only once. If another person can sign in, give the
 * component a `key` that identifies the person.
 */
export function provideTidings(options: MaybeRefOrGetter<ProvideTidingsOptions>): TidingsStatus;

/**
 * The events of some topics or patterns, newest first; without `topics`, of all that the token grants. At most `limit`
 * of those that are kept.
 *
 * A topic added while others are already being read starts with its next event. After its last component unmounts, a
 * topic is still read and kept, so that a component that mounts again misses nothing, until 20 more lists of topics
 * have gone out of use. Throws a TypeError if `topics` is not an array of non-empty strings.
 */
export function useEvents<Data = unknown>(options?: MaybeRefOrGetter<{
  topics?: MaybeRefOrGetter<readonly string[] | undefined>;
  limit?: MaybeRefOrGetter<number | undefined>;
}>): Readonly<ShallowRef<readonly TidingsEvent<Data>[]>>;

export interface TidingsStatus {
  state: ComputedRef<State>;
  transport: ComputedRef<'stream' | 'poll'>;
  /** Whether this tab holds the connection. */
  leads: ComputedRef<boolean>;
  /** The last gap since `clear()`. */
  gap: ComputedRef<Gap | null>;
  /** The last error; null again once the state is `live`. */
  error: ComputedRef<ProblemError | Error | null>;
  /** The client; null until it is created, and on a server. It is closed with the component that provides it. */
  client: ComputedRef<Tidings | null>;
  /** Clears the events and the gap, and returns the ID up to which everything had arrived. */
  clear(): string | null;
}

/** The status of the client that this component, or the nearest one above, provides. Asks for no events. */
export function useTidings(): TidingsStatus;
