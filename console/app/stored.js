// What this browser remembers of a person's choices. Where storage is disabled they last as long as the page.

const page = new Map();

export function recall(name) {
  if (page.has(name)) return page.get(name);
  try {
    return localStorage.getItem(`tidings ${name}`);
  } catch {
    return null;
  }
}

// remember keeps a text; null forgets it.
export function remember(name, value) {
  page.set(name, value);
  try {
    if (value === null) localStorage.removeItem(`tidings ${name}`);
    else localStorage.setItem(`tidings ${name}`, value);
  } catch {
    // disabled or full
  }
}
