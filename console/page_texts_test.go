package console_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestConsoleTexts: both languages have the same texts with the same placeholders: those that the scripts use, and no
// others.
func TestConsoleTexts(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	tb := p.openConsole(t, s, "/")
	type text struct{ Key, Holes string }
	texts := func(language string) []text {
		return value[[]text](t, tb, `import('/console/`+language+`.js').then(({ default: texts }) => Object.entries(texts).map(([Key, text]) => {
			const holes = text => [...new Set(text.match(/\{\w+\}/g))].sort().join(' ');
			const forms = Object.values(typeof text === 'string' ? { other: text } : text);
			return { Key, Holes: holes(forms.join(' ')) };
		}).sort((a, b) => a.Key < b.Key ? -1 : 1))`)
	}
	en := texts("en")
	if diff := cmp.Diff(en, texts("zh")); diff != "" {
		t.Errorf("the texts (-en +zh):\n%s", diff)
	}
	if len(en) < 100 {
		t.Errorf("there are %d texts", len(en))
	}

	scripts, err := filepath.Glob("app/*.js")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, script := range scripts {
		if regexp.MustCompile(`(en|zh)(-\w+)?\.js$`).MatchString(script) {
			continue
		}
		content, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(content)
	}
	var keys []string
	for _, text := range en {
		keys = append(keys, text.Key)
		family := text.Key[:strings.IndexByte(text.Key, '.')+1]
		if !strings.Contains(source.String(), `'`+text.Key+`'`) &&
			!strings.Contains(source.String(), "`"+family+"${") {
			t.Errorf("no script asks for %s", text.Key)
		}
	}
	for _, match := range regexp.MustCompile(`\bt\('([^']+)'`).FindAllStringSubmatch(
		source.String(), -1) {
		if !slices.Contains(keys, match[1]) {
			t.Errorf("there is no text %s", match[1])
		}
	}
}

// TestConsoleRegion: times are written as in the person's region.
func TestConsoleRegion(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.publish(t, "orders", 1)
	for _, row := range []struct{ languages, time string }{
		{`['fr-FR', 'en-US', 'en-GB']`, `/^\d+:\d\d:\d\d\s[AP]M$/`},
		{`['en-GB', 'en']`, `/^\d\d:\d\d:\d\d$/`},
		{`['en-US@posix', 'en-GB-oed']`, `/^\d+:\d\d:\d\d\s[AP]M$/`}, // possible on Linux; Intl throws
	} {
		tb := p.openConsole(t, s, "/",
			`Object.defineProperty(navigator, 'languages', { value: `+row.languages+` })`)
		tb.holds(t, row.time+`.test($('.event time').innerText)`)
	}
}

// TestConsoleLanguage: the page is in the browser's language, or in the one that a person has chosen, and declares
// which.
func TestConsoleLanguage(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	s.publish(t, "orders", 2)
	const languages = `Object.defineProperty(navigator, 'languages', { value: ['fr-FR', 'zh-TW', 'en'] })`
	tb := p.openConsole(t, s, "/", languages,
		`if (!sessionStorage.getItem('begun')) localStorage.removeItem('tidings language'); sessionStorage.setItem('begun', 'yes')`)
	tb.holds(t,
		`document.documentElement.lang === 'zh-CN' && document.title === '(2) 提醒 · Tidings'`)
	pages := []struct{ id, zh, en string }{
		{"alerts", "全部标为已读", "Mark all read"},
		{"shift", "还没有人处理过告警。", "Nobody has answered an alert yet."},
		{"rules", "还没有规则，不会响铃。", "There are no rules yet: nothing rings."},
		{"deliveries", "还没有投递，不会发送任何内容。", "There are no deliveries yet: nothing is sent."},
		{"log", "没有更早的事件了。", "Nothing is older than this."},
		{"connections", "2 个连接", "2 connections"},
		{"topics", "1 个主题", "1 topic"}, {"server", "保留所有事件。", "Everything is kept."},
		{"try", "还没有从这里发布过事件。", "Nothing has been published from here yet."},
	}
	for _, language := range []string{"zh-CN", "en"} {
		if language == "en" {
			tb.enters(t, "#settings select", language)
		}
		tb.holds(t, `document.documentElement.lang === '`+language+`'`)
		for _, page := range pages {
			text := map[string]string{"zh-CN": page.zh, "en": page.en}[language]
			tb.eval(t, `location.hash = '#/`+page.id+`'`)
			tb.sees(t, "main", text)
			raw := value[[]string](t,
				tb,
				`document.body.innerText.match(/\b(page|shell|session|settings|state|alerts|card|gap|parts|shift|rules|deliveries|why|log|event|download|connections|topics|server|try)\.[a-z][\w-]+|\{\w+\}|undefined|NaN/g) ?? []`)
			if len(raw) != 0 {
				t.Errorf("in %s the page %s shows %v", language, page.id, raw)
			}
		}
	}
}

// TestConsoleClock: how long ago something was is computed by the server's clock.
func TestConsoleClock(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	for _, ahead := range []string{"600_000", "-600_000"} {
		tb := p.openConsole(t, s, "/#/connections",
			`{ const now = Date.now; Date.now = () => now() + `+ahead+` }`)
		tb.holds(t, `$('.connections td time')`)
		tb.holds(t, `/^(now|\d+ seconds? ago)$/.test($('.connections td time').innerText)`)
		tb.close(t)
	}
}
