// The shell of the console: the session, the page shown, and what is always in view.

import { alerts } from './alerts.js';
import { session as requests } from './api.js';
import { Attention, countOf } from './attention.js';
import connections from './connections.js';
import deliveries from './deliveries.js';
import { el, fill } from './dom.js';
import { language, t } from './i18n.js';
import { Inbox } from './inbox.js';
import log from './log.js';
import { Pushes } from './pushes.js';
import rules from './rules.js';
import server from './server.js';
import * as session from './session.js';
import { settings } from './settings.js';
import { Shift } from './shift.js';
import { recall, remember } from './stored.js';
import topics from './topics.js';
import tryIt from './try.js';

const RETRY = 3_000; // ms, while the server does not respond
const SLOW = 1_000; // ms after which the page says what it waits for

const main = el('main', { id: 'main', tabindex: '-1' });
const announcer = el('p', { class: 'hidden', role: 'status' });
let inside; // aborted when something else is shown, or being looked up
let who; // who is signed in, as text; undefined while that is being looked up
let changes = 0; // made by other tabs

document.documentElement.lang = language;
addEventListener('hashchange', () => {
  if (new URLSearchParams(location.hash.slice(1)).has('token')) enter();
});
session.changedElsewhere(() => {
  changes++;
  follow();
});
addEventListener('pageshow', ({ persisted }) => persisted && follow()); // such a page has heard nothing meanwhile
enter();

const nameOf = ({ grant }) => JSON.stringify(grant, (name, value) => (name === 'expires' ? undefined : value));

// follow shows the session as another tab's sign-in or sign-out left it, unless it is already shown.
async function follow() {
  const seen = changes;
  const present = inside;
  try {
    const access = await session.access();
    if (who === undefined || seen !== changes) return;
    if (present !== inside) return void follow(); // the response may be older than the current session
    if (who === nameOf(access)) return;
    if (access.grant) begin(access);
    else ask();
  } catch {
    setTimeout(() => seen === changes && follow(), RETRY);
  }
}

// enter signs in: with the token in the address, else with the browser's cookie. A link can come from anyone, so its
// token does not replace a session before the person has agreed. Of two overlapping calls the later one counts.
async function enter(token = session.tokenOfAddress(), agreed = false) {
  const { signal } = leave();
  const slow = setTimeout(() => bare(el('p', { role: 'status' }, t('server.loading'))), SLOW);
  signal.addEventListener('abort', () => clearTimeout(slow));
  try {
    if (token && !agreed) {
      const { keys, grant } = await session.access(signal);
      if (keys && grant) return offer(token, grant.subject);
    }
    if (token) await session.signIn(token, signal);
    let access;
    let seen;
    do {
      seen = changes;
      access = await session.access(signal);
    } while (seen !== changes);
    if (access.grant) begin(access);
    else ask();
  } catch (error) {
    if (signal.aborted) return;
    if (error.lasting && token) return ask(session.refusal(error));
    bare(el('p', { role: 'status' }, t('shell.unreachable')));
    setTimeout(() => signal.aborted || enter(token, agreed), RETRY);
  } finally {
    clearTimeout(slow);
  }
}

// leave ends what is shown, or being looked up. The signal it returns is aborted when what follows ends.
function leave() {
  inside?.abort();
  who = undefined;
  return inside = new AbortController();
}

// ask shows the form for a token, and why.
function ask(reason) {
  leave();
  who = nameOf({ grant: null });
  document.title = `${t('session.title')} · Tidings`;
  bare(session.form(reason, () => enter()));
  document.getElementById('token').focus();
}

// offer shows whose session a link would end, and lets the person choose.
function offer(token, subject) {
  document.title = `${t('session.title')} · Tidings`;
  bare(session.question(subject, replace => enter(replace ? token : null, replace)));
  main.querySelector('button').focus();
}

function bare(content) {
  fill(main, content);
  document.body.replaceChildren(skipLink(), el('header', { class: 'top' }, brand(), settings()), main);
}

const skipLink = () => el('a', { class: 'skip', href: '#main', onclick: event => {
  event.preventDefault(); // the address names the page shown
  main.focus();
} }, t('shell.skip'));

const brand = () => el('a', { class: 'brand', href: '#/alerts' }, 'Tidings');

// begin shows the console, for as long as the browser is signed in.
function begin({ keys, grant }) {
  const { signal } = leave();
  who = nameOf({ grant });
  requests.addEventListener('expired', () => ask(t('session.expired')), { signal });

  const inbox = new Inbox((recall('topics') ?? '').split(' ').filter(Boolean), grant.subscribe, signal);
  const attention = new Attention(inbox, signal, text => fill(announcer, text));
  const pushes = new Pushes(inbox, grant, signal);
  const watch = wanted => {
    remember('topics', wanted.length ? wanted.join(' ') : null);
    location.hash = '#/alerts';
    begin({ keys, grant });
    main.focus({ preventScroll: true });
  };
  const shift = grant.subscribe.length ? new Shift(grant, signal) : undefined;
  const pages = [alerts(inbox, watch), shift?.page, grant.admin && rules, grant.admin && deliveries, log, topics, grant.admin && connections, server, tryIt].filter(Boolean);

  const count = el('span', { class: 'badge', hidden: true });
  const links = new Map(pages.map(page => [page, el('a', { href: `#/${page.id}` }, t(page.title))]));
  links.get(pages[0]).append(' ', count);
  inbox.addEventListener('unread', () => {
    const text = countOf(inbox);
    count.hidden = !text;
    if (count.textContent !== text) fill(count, text);
  }, { signal });
  if (shift) {
    const open = el('span', { class: 'badge', hidden: true });
    links.get(shift.page).append(' ', open);
    shift.addEventListener('alerts', () => {
      attention.alarm = shift;
      open.hidden = !shift.open;
      open.classList.toggle('rings', shift.rings);
      if (open.textContent !== String(shift.open)) fill(open, String(shift.open));
    }, { signal });
  }

  const out = keys && (async () => {
    await pushes.end(); // needs the session
    await session.signOut().catch(() => {}); // only the server can delete the cookie before it expires
    ask();
  });
  document.body.replaceChildren(
    skipLink(),
    el('header', { class: 'top' }, brand(),
      el('nav', { 'aria-label': t('shell.pages') }, el('ul', {}, pages.map(page => el('li', {}, links.get(page))))),
      connection(inbox, signal), attention.notice, settings({ attention, pushes, who: keys && grant.subject, out })),
    shift?.bar ?? [], announcer, main, shift?.rest ?? []);

  route({ pages, links, attention, grant, notice: !keys && openNotice() }, signal);
}

// connection shows the connection's state, and announces a change that lasts more than a moment.
function connection(inbox, signal) {
  const element = el('p', { class: 'connection' });
  const show = () => {
    const name = inbox.shown;
    element.dataset.state = name;
    element.title = t(`state.${name}-hint`);
    fill(element, t(`state.${name}`));
    clearTimeout(timer);
    timer = setTimeout(() => fill(announcer, t(`state.${name}`)), 1000);
  };
  let timer;
  inbox.addEventListener('state', show, { signal });
  inbox.addEventListener('entry', ({ detail }) => {
    if (detail.kind !== 'missed' && detail.kind !== 'gap') return;
    clearTimeout(timer);
    fill(announcer, detail.kind === 'gap' ? t(`gap.${detail.gap.reason}`) : t('state.caught-up', { n: detail.missed }));
  }, { signal });
  signal.addEventListener('abort', () => clearTimeout(timer));
  show();
  return element;
}

// Without keys everything is open: on a loopback address to this machine, else to anyone who reaches the server.
function openNotice() {
  const { hostname } = location;
  const loopback = hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\./.test(hostname);
  return el('p', { class: 'notice' }, t(loopback ? 'shell.open-here' : 'shell.open-everywhere'));
}

// route shows the page that the address names, until the session ends.
function route({ pages, links, attention, grant, notice }, signal) {
  let left = new AbortController();
  let first = true;
  let shown;
  let follow; // returned by a page: takes an address's parameters, and returns whether they belong to the view it shows
  const go = address => {
    if (location.hash === address) show(...named());
    else location.hash = address;
  };
  const named = () => {
    const [path, query] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
    return [pages.find(({ id }) => id === path) ?? pages[0], new URLSearchParams(query)];
  };
  const turn = () => {
    const [page, params] = named();
    if (page !== shown || !follow?.(params)) show(page, params);
  };
  const show = (page, params) => {
    left.abort();
    left = new AbortController();
    for (const [other, link] of links) {
      if (other === page) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    attention.page = t(page.title);
    const root = el('section', { class: `page ${page.id}` });
    links.get(page).scrollIntoView({ block: 'nearest', inline: 'center' }); // in a narrow window the bar scrolls
    fill(main, notice, root);
    window.scrollTo(0, 0);
    shown = page;
    follow = page.show(root, { signal: left.signal, params, go, grant });
    if (!first) main.focus({ preventScroll: true });
    first = false;
  };
  signal.addEventListener('abort', () => left.abort());
  addEventListener('hashchange', turn, { signal });
  turn();
}
