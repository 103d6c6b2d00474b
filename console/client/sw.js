// The service worker for Tidings' pushes: it shows what arrives, and opens the page that the push names. It answers no
// requests of pages. Browsers that support declarative pushes show them without it.

const home = new URL('.', location.href).href;

addEventListener('install', () => skipWaiting());

addEventListener('push', event => event.waitUntil(show(messageOf(event))));

addEventListener('notificationclick', event => {
  event.notification.close();
  event.waitUntil(open(event.notification.data.navigate));
});

// messageOf reads a declarative push message (W3C Push API). Anything else is not from the server; a browser may still
// require a notification for it.
function messageOf({ data }) {
  try {
    const { web_push: is, notification, app_badge: badge } = data.json();
    if (is === 8030) return { ...notification, navigate: here(notification.navigate), badge };
  } catch { /* as below */ }
  return { title: 'Tidings', navigate: home };
}

// here returns a page that a click may open: only one of this origin, whatever was registered.
function here(page) {
  const { origin, href } = new URL(page, home);
  return origin === location.origin ? href : home;
}

function show({ title, badge, navigate, data, ...options }) {
  if (badge !== undefined) navigator.setAppBadge?.(badge).catch(() => {});
  return registration.showNotification(title, { ...options, data: { ...data, navigate } });
}

// open brings the page that a push names into view: a window that shows it, else a new one.
async function open(page) {
  const pageOf = url => url.split('#')[0];
  const windows = await clients.matchAll({ type: 'window', includeUncontrolled: true });
  const there = windows.find(({ url }) => url === page) ?? windows.find(({ url }) => pageOf(url) === pageOf(page));
  return there ? there.focus() : clients.openWindow(page);
}
