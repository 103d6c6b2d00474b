// JSON as text. Numbers are shown as sent, which JSON.parse cannot do beyond 2^53, and so are escapes.

const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[[\]{},:]|[^\s[\]{},:"]+/g;

// DEEPEST is how many levels are indented: otherwise text nested 10,000 deep would become hundreds of megabytes.
const DEEPEST = 16;

// indent returns a valid JSON text with a line for each member and entry.
export function indent(text) {
  const out = [];
  let depth = 0;
  let before = '';
  const line = () => '\n' + '  '.repeat(Math.min(depth, DEEPEST));
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '}' || token === ']') {
      depth--;
      if (before !== '{' && before !== '[') out.push(line());
    } else if (before === '{' || before === '[' || before === ',') {
      out.push(line());
    }
    out.push(token === ':' ? ': ' : token);
    if (token === '{' || token === '[') depth++;
    before = token;
  }
  return out.join('');
}

// members returns the members of a JSON object, by name, as raw texts.
export function members(text) {
  const found = new Map();
  let depth = 0;
  let name;
  let start;
  let before = '';
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (depth === 1 && (token === ',' || token === '}') && name !== undefined) {
      found.set(name, text.slice(start, index).trim());
      name = undefined;
    } else if (depth === 1 && token === ':') {
      name = JSON.parse(before);
      start = index + 1;
    }
    if (token === '{' || token === '[') depth++;
    if (token === '}' || token === ']') depth--;
    before = token;
  }
  return found;
}

// object reverses members.
export const object = entries => `{${[...entries].map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;
