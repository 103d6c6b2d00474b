// The public HTTP API, as the page uses it: with the session cookie, relative to the page's address.

export const base = new URL('..', import.meta.url);

export class Problem extends Error {
  constructor(status, { title, detail, code, outcome } = {}) {
    super(detail || title || `HTTP ${status}`);
    Object.assign(this, { name: 'Problem', status, code, outcome });
  }

  // lasting: the server would only repeat itself. A response without a code is not the server's, but for example a
  // proxy's 404 or 403 while the server is replaced: that passes.
  get lasting() { return this.code !== undefined && this.status >= 400 && this.status < 500 && this.status !== 429; }
}

// session dispatches "expired": the server no longer accepts this browser's session.
export const session = new EventTarget();

let ahead = 0; // how far the server's clock is ahead of this browser's, in milliseconds

// now returns the time by the server's clock, which sets the times in the log, to within a second.
export const now = () => Date.now() + ahead;

// request returns a Response with status 2xx, else throws a Problem. A query value that is a list is repeated.
export async function request(method, path, { query = {}, body, headers, signal } = {}) {
  const answer = await fetch(address(path, query), { method, body, headers, signal });
  const date = Date.parse(answer.headers.get('Date'));
  if (date) ahead = date - Date.now();
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await said(answer, 'application/problem+json').catch(() => undefined));
  if (problem.status === 401 && problem.code) session.dispatchEvent(new Event('expired'));
  throw problem;
}

// unlessChanged returns the header with which only settings of this tag are changed; without a tag they are new.
export const unlessChanged = tag => (tag ? { 'If-Match': `"${tag}"` } : { 'If-None-Match': '*' });

export async function get(path, query, signal) {
  const answer = await request('GET', path, { query, signal });
  return await said(answer, 'application/json') ?? fail(answer);
}

// getList returns the items of the first n pages of a list, and where the next page starts: null at the end.
export async function getList(n, path, name, signal) {
  let list = [];
  let next;
  for (; n > 0 && next !== null; n--) {
    const page = await get(path, { after: next }, signal);
    list = [...list, ...page[name]];
    next = page.next;
  }
  return { list, next };
}

// fail handles a success that is not the server's, such as a sign-in page.
export function fail({ status, headers }) {
  throw new Problem(status, { title: `HTTP ${status}, ${headers.get('Content-Type')}` });
}

// said returns a response as JSON, if that is its type: others come from a proxy, or are pages for people.
async function said(answer, type) {
  return answer.headers.get('Content-Type')?.startsWith(type) ? answer.json() : undefined;
}

export function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ''), base);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== '') url.searchParams.append(name, one);
  }
  return url;
}
