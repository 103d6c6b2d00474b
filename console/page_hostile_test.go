package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tidings/internal/auth"
)

// What would run, or load something, if it were ever taken for anything but text.
var hostile = []string{
	`<img src=x onerror=ran('img')>`,
	`</script><script>ran('script')</script>`,
	`"><svg onload=ran('svg')>`,
	`'-ran('quote')-'`,
	`javascript:ran('url')`,
	`<iframe srcdoc="<script>parent.ran('iframe')</script>"></iframe>`,
	`<style>@import "https://example.com/x.css"</style><link rel=stylesheet href=https://example.com/x.css>`,
	`<a href="javascript:ran('link')" id=main>x</a><form action=https://example.com><button>Cut off</button></form>`,
	`{{constructor.constructor("ran('template')")()}}${ran('literal')}`,
	`<meta http-equiv=refresh content="0;url=https://example.com">`,
	"\u202eran('rtl')\u2066<base href=https://example.com/>",
	`__proto__`,
}

// printable drops what neither a type nor a header may contain.
var printable = strings.NewReplacer("\u202e", "", "\u2066", "")

// TestConsoleHostile: whatever an event, a client or a token contains, every page shows it as text.
func TestConsoleHostile(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	all := strings.Join(hostile, " ")
	for i, h := range hostile {
		q := quote(h)
		s.publishLine(t, fmt.Sprintf(`{"topic":"hostile","type":%s,"data":%s}`,
			quote(printable.Replace(h)), q))
		s.publishLine(t,
			fmt.Sprintf(
				`{"topic":"hostile","data":{"title":%[1]s,"status":%[1]s,"author":%[1]s,"message":%[1]s,"total":%[1]s,"currency":%[1]s,%[1]s:%[1]s}}`,
				q))
		s.publishLine(t, fmt.Sprintf(`{"topic":"hostile.%d","data":{"number":%s,"status":%[2]s,"total":%[2]s,"currency":"EUR","customer_note":%[2]s,"billing":{"first_name":%[2]s},
			"line_items":[{"name":%[2]s,"quantity":%[2]s}]}}`, i, q))
		s.publishLine(t, fmt.Sprintf(`{"topic":"hostile","data":{"action":%s,"issue":{"number":%[1]s,"title":%[1]s,"state":%[1]s,"body":%[1]s,"labels":[%[1]s],"user":{"login":%[1]s}},
			"comment":{"body":%[1]s,"user":{"login":%[1]s}},"repository":{"full_name":%[1]s}}}`, q))
	}
	s.post(t, "hostile", "", "text/html", all)
	s.post(t, "hostile", "", "image/svg+xml",
		`<svg xmlns="http://www.w3.org/2000/svg" onload="ran('svg')"><script>ran('svg')</script></svg>`)
	last := s.post(t, "__proto__.constructor", "", "application/cloudevents+json",
		fmt.Sprintf(
			`{"specversion":"1.0","id":%s,"source":%[1]s,"type":%[1]s,"subject":%[1]s,"dataschema":"javascript:ran('schema')","ext":%[1]s,"data":%s}`,
			quote(hostile[1]), quote(all)))
	plain := s.post(t, "hostile", "", "text/plain", all)
	s.hold(t, all)

	subject := `<img src=x onerror=ran('subject')>`
	tb := p.openConsole(t, s, "/#token="+s.mint(t,
		auth.Grant{Subject: subject, Publish: filter(">"), Subscribe: filter(">"), Admin: true}))
	tb.isLive(t)
	tb.holds(t, `$('#settings bdi').textContent === `+quote(subject))
	tb.sees(t, ".feed", hostile[0])
	tb.eval(t, `for (const fold of $$('.feed .fold')) fold.click()`)
	tb.holds(t,
		`$$('.feed pre:not([hidden])').every(pre => pre.innerText !== 'Loading…') && shown('ran(', '.feed pre')`)
	tb.isHarmless(t)

	for _, page := range []struct{ hash, see string }{
		{"log", hostile[4]}, {"log?topic=hostile", hostile[1]}, {"topics", "__proto__.constructor"},
		{"connections", hostile[0]}, {"server", "Engine"}, {"try", "Nothing"},
		{"log?id=" + last, "dataschema"}, {"log?id=" + plain, "text/plain"},
		{"log?topic=<img src=x onerror=ran(1)>&type=javascript:ran(2)&since=<svg onload=ran(3)>&id=<img src=x onerror=ran(4)>",
			"That did not work"},
		{`<img src=x onerror=ran("hash")>`, "Alerts"},
	} {
		tb.eval(t, `location.hash = '#/'+`+quote(page.hash))
		tb.sees(t, "main, dialog", page.see)
		tb.isHarmless(t)
	}
	tb.holds(t, `!$('dialog')`)

	// Live over the stream, and in a dialog's title, too.
	s.publishLine(t, `{"topic":"hostile","type":`+quote(hostile[1])+`,"data":{"title":`+
		quote("the last, "+all)+`}}`)
	tb.sees(t, ".feed", "the last, "+hostile[0])
	tb.isHarmless(t)
	tb.eval(t, `$$('.feed button').filter(({ innerText }) => innerText === 'Details')[0].click()`)
	tb.sees(t, "dialog", "the last, ")
	tb.isHarmless(t)
}

// TestConsolePoison: an event that cannot be parsed is one entry among others, in the feed and in the log. This server
// no longer accepts such data; another release may.
func TestConsolePoison(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.post(t, "a", "", "application/json", `{"title":"Before"}`)
	for _, data := range []string{`"deep"`, `"escapes"`,
		`{"note":"Odd","customer_note":1,"_links":{"up":[{"href":{"toString":1}}]}}`,
		`{"line_items":[],"total":{},"billing":{"first_name":{"toString":1}},"status":[]}`,
		`{"issue":{"title":{},"number":[],"labels":{}},"comment":{"user":[]}}`} {
		s.post(t, "a", "odd", "application/json", data)
	}
	s.post(t, "a", "", "text/plain", strings.Repeat("one line ", 100_000))
	s.post(t, "a", "", "application/json", `{"title":"After"}`)
	tb := p.openConsole(t, s, "/", `{
		const answered = fetch;
		globalThis.fetch = async (url, options) => {
			const answer = await answered(url, options);
			if (!/v1.events[?]/.test(url)) return answer;
			const text = (await answer.text()).replace('"deep"', '['.repeat(9000) + ']'.repeat(9000)).replace('"escapes"', '"' + '\\n'.repeat(6e6) + '"');
			return new Response(text, answer);
		};
	}`)
	tb.holds(t, `$$('.feed article').length === 8 && shown('Before', '.feed') && shown('After', '.feed')`)
	tb.holds(t, `!shown('undefined') && $$('.feed h2').every(({ innerText }) => innerText.trim())`)
	s.post(t, "a", "", "application/json", `{"title":"Live"}`)
	tb.sees(t, ".feed", "Live")
	tb.eval(t, `location.hash = '#/log'`)
	tb.holds(t, `$$('.log-rows article').length === 9 && shown('Before', '.log-rows')`)
}

// publishLine publishes an event as a line of a batch, where a type may contain anything.
func (s *site) publishLine(t *testing.T, line string) {
	t.Helper()
	s.ask(t, http.MethodPost, "/v1/events", "application/x-ndjson",
		strings.ReplaceAll(line, "\n", ""), nil)
}

// hold keeps a stream open whose client uses this name.
func (s *site) hold(t *testing.T, agent string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		s.server.URL()+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", printable.Replace(agent))
	req.Header.Set("Authorization",
		"Bearer "+s.mint(t, auth.Grant{Subject: hostile[1], Subscribe: filter("hostile", ">")}))
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
}

// isHarmless expects that the page has only its own elements and attributes. Every tab checks at its end that no script
// ran, nothing broke the policy and nothing was loaded from another origin.
func (tb *tab) isHarmless(t *testing.T) {
	t.Helper()
	found := value[json.RawMessage](t, tb, `$$('*').filter(element =>
		element.matches('img, iframe, style, object, embed, base, svg, meta[http-equiv], link[href^=http], script:not([src^="console/"]), form[action]') ||
		[...element.attributes].some(({ name, value }) => name.startsWith('on') || name === 'style' && !/^padding/.test(value) || /^(href|src|action|srcdoc)$/.test(name) && /^\s*(javascript|data|https?):/i.test(value) && !element.matches('link[rel=icon]'))
	).map(element => element.outerHTML.slice(0, 200))`)
	if string(found) != "[]" {
		t.Errorf("at %s the page has %s", value[string](t, tb, `location.hash`), found)
	}
}
