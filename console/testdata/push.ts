// Uses everything that push.d.ts declares. push-implementation.js is push.js, whose actual types the compiler infers.
import { push, PushError, pushState, readPushes, stopPush, type Device, type PushAccess, type PushOptions } from './push.js';
import * as Implementation from './push-implementation.js';

export const declared: Record<keyof typeof import('./push.js'), unknown> = Implementation;
export const implemented: Record<keyof typeof Implementation, unknown> = { push, PushError, pushState, readPushes, stopPush };

const access: Required<PushAccess> = { url: 'https://events.example.com', token: async () => 'token', withCredentials: false, worker: '/sw.js' };
const options: PushOptions = { ...access, topics: ['orders.>'], readMark: 'inbox', page: '/orders', name: 'Till', language: 'zh', urgency: 'high' };
push(options).then((device: Device) => console.log(device.id.length, device.topics, device.read_mark?.length, device.expires?.length, device.state === 'held'),
  (error: PushError | DOMException) => console.log(error.name));
pushState(access).then(state => console.log(state === 'unsupported'));
stopPush().then(() => readPushes('01', access)).then(() => readPushes());
new PushError(403, { code: 'topic-forbidden' }).status.toFixed();

// @ts-expect-error: a device names its topics
push({});
// @ts-expect-error: there is no such option
pushState({ topics: [] });
