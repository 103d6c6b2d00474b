// The service worker of Tidings' pushes: it shows what comes, and opens the page where the device was. It answers no requests
// of pages. Browsers that know declarative pushes show them without it.

const home = new URL('.', location.href).href;

addEventListener('install', () => skipWaiting());

addEventListener('push', event => event.waitUntil(show(messageOf(event))));

addEventListener('notificationclick', event => {
  event.notification.close();
  event.waitUntil(open(event.notification.data.navigate));
});

// messageOf reads a declarative push message (W3C Push API). What is none is not the server's; a browser may still want to see
// something for it.
function messageOf({ data }) {
  try {
    const { web_push: is, notification, app_badge: badge } = data.json();
    if (is === 8030) return { ...notification, navigate: here(notification.navigate), badge };
  } catch { /* as below */ }
  return { title: 'Tidings', navigate: home };
}

// here is a page that a click may open: one of this origin, whoever has registered another.
function here(page) {
  const { origin, href } = new URL(page, home);
  return origin === location.origin ? href : home;
}

function show({ title, badge, navigate, data, ...options }) {
  if (badge !== undefined) navigator.setAppBadge?.(badge).catch(() => {});
  return registration.showNotification(title, { ...options, data: { ...data, navigate } });
}

// open brings the page into view that a push names: a window that shows it, else a new one.
async function open(page) {
  const pageOf = url => url.split('#')[0];
  const windows = await clients.matchAll({ type: 'window', includeUncontrolled: true });
  const there = windows.find(({ url }) => url === page) ?? windows.find(({ url }) => pageOf(url) === pageOf(page));
  return there ? there.focus() : clients.openWindow(page);
}
