import type { ComputedRef, MaybeRefOrGetter, ShallowRef } from 'vue';
import type { Gap, ProblemError, State, Tidings, TidingsEvent, TidingsOptions } from './tidings.js';

export interface ProvideTidingsOptions extends Omit<TidingsOptions, 'topics'> {
  /** Where the server is; `/` where the page is from. A client in a bundle cannot know it. */
  url: string | URL;
  /** Topics that are read from the first on, whichever components there are. They need not be given. */
  topics?: MaybeRefOrGetter<readonly string[] | undefined>;
  /** How many events are kept for the components, the newest of all topics together. Default: 1000. */
  keep?: number;
}

/**
 * Has one client, and so one connection, for this component and all below. To be called in `setup`. The client is made
 * when the component is mounted and it, or one below, or `topics`, asks for events first, and closed with the
 * component. It reads what all of them ask for together.
 *
 * A new `url`, `name`, `shared` or `withCredentials`, and a token where there was none, is a new client with no events.
 * Of new functions, and of new tokens, the client takes the newest, also of one that is text: so the state is never
 * `refused` for a token. Of `after`, `since` and `last` the first counts. Where another person signs in, give the
 * component a `key` that is the person's.
 */
export function provideTidings(options: MaybeRefOrGetter<ProvideTidingsOptions>): TidingsStatus;

/**
 * The events of some topics or patterns, the newest first; of all that the token grants without `topics`. At most
 * `limit` of those that are kept.
 *
 * A topic that is asked for when others are read already begins with what comes next. After the last component that
 * asks for it has gone, a topic is still read and kept, so that a component that comes again has lost nothing, until
 * 20 more lists of topics have been let go. Throws a TypeError if `topics` is no array of text.
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
  /** What is wrong; null again once the state is `live`. */
  error: ComputedRef<ProblemError | Error | null>;
  /** The client; null until it is made, and on a server. It is closed with the component that provides it. */
  client: ComputedRef<Tidings | null>;
  /** Forgets the events and the gap, and returns the ID up to which everything had come. */
  clear(): string | null;
}

/** How the client is that this component, or the next one above, provides. It asks for no events. */
export function useTidings(): TidingsStatus;
