// The public HTTP API, as the page uses it: with the session cookie, relative to where the page is.

export const base = new URL('..', import.meta.url);

export class Problem extends Error {
  constructor(status, { title, detail, code, outcome } = {}) {
    super(detail || title || `HTTP ${status}`);
    Object.assign(this, { name: 'Problem', status, code, outcome });
  }
}

// session tells of "expired": the server does not know this browser any more.
export const session = new EventTarget();

// request answers with a Response whose status is 2xx, else throws a Problem. A query value that is a list is repeated.
export async function request(method, path, { query = {}, body, headers, signal } = {}) {
  const answer = await fetch(address(path, query), { method, body, headers, signal });
  if (answer.status === 401) session.dispatchEvent(new Event('expired'));
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => undefined));
  return answer;
}

export async function get(path, query, signal) {
  return (await request('GET', path, { query, signal })).json();
}

export function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ''), base);
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== '') url.searchParams.append(name, one);
  }
  return url;
}
