import type { Locks } from './tidings.js';

/** Locks over BroadcastChannel, for `Tidings.locks` on pages that are neither on HTTPS nor on localhost. */
export const locks: Locks;
