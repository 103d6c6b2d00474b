// A page's service worker that treats the server's responses as its query says.
const ways = {
  passes: request => fetch(request),
  // reads each response to its end before handing it over: a stream never ends.
  reads: async request => {
    const answer = await fetch(request);
    return new Response(await answer.text(), answer);
  },
  // keeps every complete response, whatever the server says about caching.
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
