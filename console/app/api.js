// The public HTTP API, as the page uses it: with the session cookie, relative to where the page is.

export const base = new URL('..', import.meta.url);

export class Problem extends Error {
  constructor(status, { title, detail, code, outcome } = {}) {
    super(detail || title || `HTTP ${status}`);
    Object.assign(this, { name: 'Problem', status, code, outcome });
  }

  // lasting: the server would only say the same again. What has no code was not said by the server, but by what stands before
  // it, as a proxy says 404 or 403 while the server is replaced: that passes.
  get lasting() { return this.code !== undefined && this.status >= 400 && this.status < 500 && this.status !== 429; }
}

// session tells of "expired": the server does not know this browser any more.
export const session = new EventTarget();

let ahead = 0; // of this browser's clock, in milliseconds

// now is the time by the server's clock, to a second, as times in the log are.
export const now = () => Date.now() + ahead;

// request answers with a Response whose status is 2xx, else throws a Problem. A query value that is a list is repeated.
export async function request(method, path, { query = {}, body, headers, signal } = {}) {
  const answer = await fetch(address(path, query), { method, body, headers, signal });
  const date = Date.parse(answer.headers.get('Date'));
  if (date) ahead = date - Date.now();
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await said(answer, 'application/problem+json').catch(() => undefined));
  if (problem.status === 401 && problem.code) session.dispatchEvent(new Event('expired'));
  throw problem;
}

export async function get(path, query, signal) {
  const answer = await request('GET', path, { query, signal });
  return await said(answer, 'application/json') ?? fail(answer);
}

// getList is what the first n pages of a list have under a name, and where the next one begins: null at the end.
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

// fail is for a success that is none of the server's, as a sign-in page is.
export function fail({ status, headers }) {
  throw new Problem(status, { title: `HTTP ${status}, ${headers.get('Content-Type')}` });
}

// said is an answer as JSON, if that is its type: others are of a proxy, or of a page for people.
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
