// Runs before the console's scripts, at every load. It reports what no page should do, and helps to use one.
if (location.protocol.startsWith('http')) {
  let n = 0;
  for (let text; (text = sessionStorage.getItem(`report ${n}`)); n++) console.debug(text); // of earlier loads, which may have been lost

  globalThis.report = (type, detail) => {
    const text = JSON.stringify({ n, type, detail });
    sessionStorage.setItem(`report ${n++}`, text);
    console.debug(text);
  };
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => report('violation', { violatedDirective, blockedURI }));
  addEventListener('error', ({ message }) => report('exception', { message }));
  addEventListener('unhandledrejection', ({ reason }) => report('exception', { message: String(reason) }));
  if (!localStorage.getItem('tidings language')) localStorage.setItem('tidings language', 'en'); // whatever the machine's is
  globalThis.ran = what => report('exception', { message: `a script of ${what} ran` });
}

Object.defineProperty(navigator, 'clipboard', { value: { writeText: async text => report('copied', { text }) } });

globalThis.$ = selector => document.querySelector(selector);
globalThis.$$ = selector => [...document.querySelectorAll(selector)];

// shown reports whether a text is visible within a selector.
globalThis.shown = (text, selector = 'body') => $$(selector).some(element => element.innerText.includes(text));

// press presses the control with a name, once it is there and enabled. In a dialog nothing else can be pressed.
globalThis.press = (name, within = 'body') => {
  const scope = $('dialog[open]') ?? $(within);
  const found = [...scope.querySelectorAll('a, button, summary, label.option')].find(element =>
    (element.ariaLabel ?? element.innerText.trim()) === name && !element.disabled && element.checkVisibility());
  found?.click();
  return Boolean(found);
};

globalThis.enter = (selector, value) => {
  const input = $(selector);
  input.value = value;
  input.dispatchEvent(new Event('input', { bubbles: true }));
  input.dispatchEvent(new Event('change', { bubbles: true }));
};

// walk scrolls through a list, down or up to its end, and returns the IDs that it passes, in order.
globalThis.walk = async (selector, idOf, down, atEnd) => {
  const frame = () => new Promise(requestAnimationFrame);
  const passed = new Set();
  for (let still = 0; still < 2;) { // what has arrived is in the document a frame later
    const rows = $$(selector).map(idOf);
    if (new Set(rows).size < rows.length) throw new Error(`an ID is there twice: ${rows}`);
    for (const id of down ? rows : rows.reverse()) passed.add(id);
    const arrived = down ? scrollY + innerHeight >= document.documentElement.scrollHeight - 2 : scrollY === 0;
    still = arrived && atEnd() ? still + 1 : 0;
    scrollBy({ top: (down ? 1 : -1) * innerHeight, behavior: 'instant' });
    await frame(); // the list follows
    await frame();
  }
  return [...passed];
};
