// What a person looks for in an event: the formats of shops and trackers are known; from others, members with telling
// names are taken. The payload itself is not kept: a hundred thousand would not fit.

import { number, t } from './i18n.js';

const EXCERPT = 280; // characters

// summary returns { id, key, topic, type, time, kind, title, state, amount, facts, text }; missing members are
// undefined. It never throws: if data nests too deep, or pretends to be something else, only the event's type is shown.
export function summary(event) {
  const { id, topic, type, time } = event;
  const entry = { id, key: id, topic, type, time, kind: 'event' };
  try {
    const known = told(event);
    return { ...entry, ...known, title: known.title ?? type };
  } catch {
    return { ...entry, title: type };
  }
}

function told({ topic, type, data }) {
  if (type === 'tidings.end') return { kind: 'end', title: t('card.ended', { topic }) };
  if (typeof data === 'string') return { title: excerpt(data) };
  if (!isObject(data)) return { text: excerpt(data) };
  return refund(data) ?? order(data) ?? note(data) ?? comment(data) ?? ticket(data) ?? generic(data, type);
}

// --- a shop (WooCommerce REST API v1 to v3, and similar)

function order(data) {
  const billing = data.billing ?? data.billing_address;
  if (!Array.isArray(data.line_items) || data.total === undefined) return undefined;
  const items = data.line_items.filter(isObject);
  return {
    kind: 'order',
    title: t('card.order', { number: text(data.number ?? data.order_number ?? data.id) ?? '' }),
    state: text(data.status),
    amount: money(data.total, data.currency),
    facts: [
      isObject(billing) ? joined(' ', text(billing.first_name), text(billing.last_name)) ?? text(billing.company) ?? text(billing.email) : undefined,
      listed(items.map(item => `${text(item.quantity) ?? 1} × ${text(item.name) ?? '?'}`)),
    ],
    text: excerpt(data.customer_note || data.note),
  };
}

function refund(data) {
  if (data.amount === undefined || !('refunded_by' in data || 'refunded_payment' in data)) return undefined;
  return {
    kind: 'order',
    title: t('card.refund', { number: text(data.parent_id ?? orderOf(data) ?? data.id) ?? '' }),
    amount: money(data.amount, data.currency),
    text: excerpt(data.reason),
  };
}

function note(data) {
  if (typeof data.note !== 'string' || !('customer_note' in data)) return undefined;
  return {
    kind: 'order',
    title: t('card.note', { number: text(orderOf(data) ?? data.id) ?? '' }),
    facts: [text(data.author), data.customer_note ? t('card.to-customer') : undefined],
    text: excerpt(data.note),
  };
}

// orderOf returns the number of the order that a note or a refund links to.
const orderOf = data => text(data.order_id) ?? /\/orders\/(\d+)$/.exec(text(data._links?.up?.[0]?.href))?.[1];

// --- a tracker (GitHub webhooks, and similar)

function ticket(data) {
  const issue = data.issue ?? data.pull_request ?? data.ticket;
  if (!isObject(issue) || issue.title === undefined) return undefined;
  const labels = Array.isArray(issue.labels) ? issue.labels.map(label => text(label?.name ?? label)).filter(Boolean) : [];
  return {
    kind: 'ticket',
    title: numbered(issue),
    state: text(issue.state ?? issue.status),
    facts: [action(data), who(data.sender ?? issue.user), text(data.repository?.full_name), listed(labels)],
    text: excerpt(issue.body),
  };
}

function comment(data) {
  if (!isObject(data.comment)) return undefined;
  const about = data.issue ?? data.discussion ?? data.pull_request ?? data.ticket;
  const title = isObject(about) && text(about.title) && numbered(about);
  return {
    kind: 'comment',
    title: title ? t('card.comment-on', { title }) : t('card.comment'),
    state: text(about?.state),
    facts: [action(data), who(data.comment.user ?? data.comment.author), text(data.repository?.full_name)],
    text: excerpt(data.comment.body ?? data.comment.text),
  };
}

const numbered = ({ number, title }) => joined(' ', text(number) && `#${text(number)}`, text(title));
const action = data => text(data.action)?.replaceAll('_', ' ');

// --- anything else

function generic(data, type) {
  const used = new Set();
  const first = (names, of) => {
    const name = names.find(name => of(data[name]) !== undefined);
    used.add(name);
    return name && of(data[name]);
  };
  const name = first(['title', 'subject', 'name', 'summary'], text);
  const number = first(['number', 'order_number', 'order', 'ticket', 'id', 'key'], text);
  const amount = first(['total', 'amount', 'price'], value => money(value, data.currency));
  if (amount) used.add('currency');
  return {
    title: name ? number ? `#${number} ${name}` : name : number ? `${type} #${number}` : type,
    state: first(['status', 'state', 'severity', 'priority', 'level'], text),
    amount,
    facts: [first(['author', 'user', 'customer', 'from', 'sender'], who), first(['email', 'customer_email'], text)],
    text: excerpt(first(['message', 'body', 'text', 'comment', 'description', 'note', 'reason'], text) ?? rest(data, used)),
  };
}

// rest returns an event's other members, in one line.
const rest = (data, used) => Object.entries(data).filter(([name]) => !used.has(name))
  .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : json(value)}`).join(', ');

const who = person => text(isObject(person) ? person.name ?? person.login ?? person.username ?? person.email : person);

const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);

function text(value) {
  if (typeof value === 'number') return isRounded(value) ? undefined : String(value);
  return typeof value === 'string' && value.trim() ? value.trim().slice(0, EXCERPT) : undefined;
}

// isRounded reports whether JSON.parse has changed the number.
const isRounded = value => Number.isInteger(value) && !Number.isSafeInteger(value);
const json = value => JSON.stringify(value, (_, part) => (isRounded(part) ? '…' : part));

const joined = (separator, ...texts) => texts.filter(Boolean).join(separator) || undefined;
const listed = texts => (texts.length > 4 ? [...texts.slice(0, 3), t('card.more', { n: texts.length - 3 })] : texts).join(', ') || undefined;

function money(value, currency) {
  const amount = typeof value === 'string' && value.trim() ? Number(value) : value;
  if (typeof amount !== 'number' || !Number.isFinite(amount)) return text(value);
  if (typeof currency !== 'string' || !/^[A-Za-z]{3}$/.test(currency)) return text(value);
  return number(amount, { style: 'currency', currency: currency.toUpperCase() });
}

function excerpt(value) {
  if (value === undefined || value === null || value === '') return undefined;
  const whole = typeof value === 'string' ? value : json(value);
  const short = whole.slice(0, 2 * EXCERPT).replace(/\s+/g, ' ').trim();
  return short.length > EXCERPT ? `${short.slice(0, EXCERPT)}…` : short || undefined;
}
