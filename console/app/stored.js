// A person's choices, stored in this browser. If storage is disabled they last as long as the page.

const page = new Map();

export function recall(name) {
  if (page.has(name)) return page.get(name);
  try {
    return localStorage.getItem(`tidings ${name}`);
  } catch {
    return null;
  }
}

// remember stores a text; null deletes it.
export function remember(name, value) {
  page.set(name, value);
  try {
    if (value === null) localStorage.removeItem(`tidings ${name}`);
    else localStorage.setItem(`tidings ${name}`, value);
  } catch {
    // disabled or full
  }
}
