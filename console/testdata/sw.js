// A service worker of the page's, that does what its query says with the answers of the server.
const ways = {
  passes: request => fetch(request),
  // reads each answer before it hands it over: of a stream that never ends.
  reads: async request => {
    const answer = await fetch(request);
    return new Response(await answer.text(), answer);
  },
  // keeps every answer that has come to its end, whatever the server says of that.
  keeps: async request => {
    const kept = await caches.open('all'), found = await kept.match(request);
    if (found) return found;
    const answer = await fetch(request);
    kept.put(request, answer.clone()).catch(() => {}); // it broke
    return answer;
  },
};

oninstall = () => skipWaiting();
onactivate = event => event.waitUntil(clients.claim());
onfetch = event => {
  if (new URL(event.request.url).pathname.startsWith('/v1/')) event.respondWith(ways[location.search.slice(1)](event.request));
};
