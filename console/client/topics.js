// Lists of topics and patterns, for hub.js.

/** A list of topics as text, the same for the same topics in any order; '' is everything. */
export function keyOfTopics(topics = []) {
  const fits = Array.isArray(topics) && topics.every(topic => typeof topic === 'string' && topic);
  if (fits) return [...new Set(topics)].sort().join(' ');
  const got = JSON.stringify(topics);
  throw new TypeError(`topics: expected an array of topics or patterns, such as ['orders'], but got ${got}`);
}

/** The list for such a text. */
export function topicsOf(key) { return key ? key.split(' ') : []; }

/**
 * Returns a function that reports whether such a text matches a topic: `*` is one segment, a trailing `>` one or more.
 */
export function matcher(key) {
  const means = { '*': '[^.$]+', '>': '[^$]+', '.': '\\.', $: '\\$' }; // wildcards match nothing reserved
  const patterns = topicsOf(key || '>').map(topic => topic.replace(/[*>.$]/g, c => means[c]));
  const expression = new RegExp(`^(?:${patterns.join('|')})$`);
  return topic => expression.test(topic);
}
