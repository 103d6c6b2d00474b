// Puts the page's timers under the test's control: they run only in pass(ms), which advances the clock.
{
  const start = Date.now();
  let now = start;
  let last = 0;
  const timers = new Map();
  const set = every => (run, ms = 0, ...args) => timers.set(++last, { run: () => run(...args), at: now + ms, every: every && ms }) && last;
  Date.now = () => now;
  globalThis.setTimeout = set(false);
  globalThis.setInterval = set(true);
  globalThis.clearTimeout = globalThis.clearInterval = id => timers.delete(id);
  globalThis.pass = ms => {
    const until = now + ms;
    for (;;) {
      const [id, next] = [...timers].sort((a, b) => a[1].at - b[1].at)[0] ?? [];
      if (!next || next.at > until) break;
      now = next.at;
      if (next.every) next.at += next.every;
      else timers.delete(id);
      next.run();
    }
    now = until;
  };
}
