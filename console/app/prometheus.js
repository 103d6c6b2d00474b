// Metrics in Prometheus' text format.

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

// parse returns the samples by name, each as { labels, value }.
export function parse(text) {
  const metrics = new Map();
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = line.match(SAMPLE) ?? [];
    if (name === undefined) continue; // a comment
    if (!metrics.has(name)) metrics.set(name, []);
    const pairs = [...labels.matchAll(LABEL)].map(([, label, text]) => [label, text]);
    metrics.get(name).push({ labels: Object.fromEntries(pairs), value: Number(value) });
  }
  return metrics;
}

export const valueOf = (metrics, name) => metrics.get(name)?.[0].value;

// histogram returns one without labels of its own, as a list of { to, count }; counts are cumulative.
export const histogram = (metrics, name) => (metrics.get(`${name}_bucket`) ?? []).map(({ labels, value }) =>
  ({ to: labels.le === '+Inf' ? Infinity : Number(labels.le), count: value }));

// since returns what a histogram has counted since an earlier look.
export const since = (buckets, earlier) => buckets.map(({ to, count }, i) => ({ to, count: count - (earlier[i]?.count ?? 0) }));

export const total = buckets => buckets.at(-1)?.count ?? 0;

// quantile is estimated as by Prometheus' histogram_quantile: spread evenly within a bucket. In the last bucket it is
// the lower end; undefined if nothing was counted.
export function quantile(q, buckets) {
  const rank = q * total(buckets);
  if (rank === 0) return undefined;
  const i = buckets.findIndex(bucket => bucket.count >= rank);
  const from = i > 0 ? buckets[i - 1] : { to: 0, count: 0 };
  if (buckets[i].to === Infinity) return from.to;
  return from.to + (buckets[i].to - from.to) * (rank - from.count) / (buckets[i].count - from.count);
}
