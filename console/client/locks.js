// Locks between the tabs of an origin where a browser has none: on pages that are neither on HTTPS nor on localhost.
// They implement what tidings.js needs of Web Locks (W3C Web Locks §5) over BroadcastChannel. A tab that asks for a
// lock has it if nobody objects. For a moment two may believe they have it, which tidings.js tolerates (docs/adr/0007);
// then one loses it as if it were stolen. A tab that ends silently keeps its lock until it is stolen.

const WITHIN = 300; // ms: time to object

export const locks = {
  request: (name, { ifAvailable, steal, signal }, act) => new Promise((resolve, reject) => {
    const me = Math.random(), channel = new BroadcastChannel(`lock ${name}`);
    let holds = false, over = false;
    let timer; // while it runs somebody may object; none: somebody has
    let fresh = true; // the lock was stolen just now

    const say = what => over || channel.postMessage({ what, from: me });
    const leave = () => {
      over = true;
      clearTimeout(timer);
      channel.close();
    };
    const lose = message => {
      leave();
      reject(new DOMException(message, 'AbortError'));
    };
    const hold = async () => {
      holds = true;
      timer = setTimeout(() => { fresh = false; }, WITHIN);
      say(steal ? 'stolen' : 'held');
      try {
        resolve(await act({ name, mode: 'exclusive' }));
      } catch (error) {
        reject(error);
      }
      say('free');
      leave();
    };
    const ask = () => {
      say('ask');
      timer = setTimeout(hold, WITHIN);
    };
    const wait = () => {
      clearTimeout(timer);
      timer = undefined;
      if (!ifAvailable) return;
      leave();
      resolve(act(null));
    };

    channel.onmessage = ({ data: { what, from } }) => {
      const yields = from < me; // of two
      if (over) return;
      if (what === 'free') return void (holds || timer || ask());
      if (!holds) return void (what !== 'ask' || yields ? wait() : timer && say('ask'));
      if (what === 'stolen' && (yields || !(steal && fresh)) || what === 'held' && yields) lose('the lock was stolen');
      else say('held');
    };
    signal?.addEventListener('abort', () => over || holds || lose('it is not asked for any more'));
    if (signal?.aborted) lose('it is not asked for any more');
    else if (steal) hold();
    else ask();
  }),
};
