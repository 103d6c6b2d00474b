package console_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"
)

// The pages with a feed of events, and where its rows are.
var feeds = map[string]string{"alerts": ".feed", "log": ".log-rows"}

const mostElements = 1500 // in a page, however long its feed is

// walk scrolls through a feed to its end and back, and returns the IDs of its rows in the order in which they were
// first seen, what was wrong at any moment, and the largest number of elements in the document.
const walk = `(async (rows, n) => {
	const ids = [], seen = new Set(), wrong = [];
	let elements = 0, idle = 0;
	const look = () => {
		const shown = [...$$(rows + ' > article')]
			.map(row => row.querySelector('h2')?.id.slice('title-'.length) ?? new URLSearchParams(row.querySelector('a').href.split('?')[1]).get('id'));
		if (shown.some((id, i) => i && id >= shown[i - 1])) wrong.push('not in order: ' + shown);
		elements = Math.max(elements, document.getElementsByTagName('*').length);
		idle++;
		for (const id of shown) {
			if (seen.has(id)) continue;
			seen.add(id);
			ids.push(id);
			idle = 0;
		}
	};
	const step = async by => {
		scrollBy({ top: by * innerHeight, behavior: 'instant' });
		await new Promise(requestAnimationFrame);
		await new Promise(done => setTimeout(done)); // lets the page read what is missing
		look();
	};
	look();
	while (seen.size < n && idle < 500) await step(1);
	while (scrollY > 0) await step(-1);
	for (idle = 0; $(rows + ' > article').ariaPosInSet !== '1' && idle < 500;) await step(-1);
	return { ids, wrong, elements };
})`

// TestManyEvents: only the rows of a feed near the view are in the document, and each event is shown, in order.
func TestManyEvents(t *testing.T) {
	t.Parallel()
	s, p := newSite(t), newProfile(t)
	const n = 1800 // the first of which are more than a page of the API
	for range 2 {
		s.publish(t, "orders", 600)
	}
	tb := p.openView(t, s, "en", 1280)
	tb.do(t, chromedp.EmulateViewport(1280, 4000)) // for fewer steps
	tb.isLive(t)
	s.publish(t, "orders", 600)
	var want []string
	for _, event := range slices.Backward(s.log(t, "")) {
		want = append(want, event["id"].(string))
	}
	tb.holds(t, fmt.Sprintf(`document.getElementById('title-%s')`, want[0]))
	for _, name := range slices.Sorted(maps.Keys(feeds)) {
		rows := feeds[name]
		tb.eval(t, `location.hash = '#/`+name+`'`)
		tb.holds(t, fmt.Sprintf(`$('%s > article')`, rows))
		got := value[struct {
			IDs, Wrong []string
			Elements   int
		}](t, tb, fmt.Sprintf("%s('%s', %d)", walk, rows, n))
		if diff := cmp.Diff(want, got.IDs); diff != "" {
			t.Errorf("%s does not show the log (-want +shown):\n%.1000s", name, diff)
		}
		for _, wrong := range got.Wrong {
			t.Errorf("%s: %.300s", name, wrong)
		}
		if got.Elements > mostElements {
			t.Errorf("%s had %d elements, want at most %d", name, got.Elements, mostElements)
		}
		t.Logf("%s: at most %d elements", name, got.Elements)
	}
}

// TestLoad: a feed of 100,000 events stays responsive while 200 more arrive each second and a person scrolls.
//
// The browser's trace of the page's main thread is judged by the thread's processor time: the clock would also judge
// whatever else runs on this machine. Both are logged. A task is all that the thread does at a stretch: scripts, and
// the style, layout and paint that they cause. The work of a frame is what it does between two drawn frames.
func TestLoad(t *testing.T) {
	if os.Getenv("TIDINGS_FULL") != "1" {
		t.Log("runs only with TIDINGS_FULL=1")
		return
	}
	s, p := newSite(t), newProfile(t)
	lines := slices.Collect(strings.Lines(sample(t)))
	publish := func(n int) {
		var batch strings.Builder
		for i := range n {
			batch.WriteString(lines[i%len(lines)])
		}
		s.ask(t, http.MethodPost, "/v1/events", "application/x-ndjson", batch.String(), nil)
	}
	tb := p.openView(t, s, "en", 1280)
	tb.isLive(t)
	begun := time.Now()
	for range 100 {
		publish(1000)
	}
	published := time.Since(begun)
	tb.holds(t, `$('.count').textContent.startsWith('100,000')`)
	t.Logf("100,000 events published in %v, shown after %v", published, time.Since(begun))

	for _, name := range slices.Sorted(maps.Keys(feeds)) {
		tb.eval(t, `location.hash = '#/`+name+`'`)
		tb.holds(t, fmt.Sprintf(`$('%s > article')`, feeds[name]))
		came := 0
		trace := tb.trace(t, func() {
			scrolled := make(chan error, 1)
			go func() { scrolled <- tb.scroll(-30_000, 20_000, -20_000, 30_000) }()
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					publish(10)
					came += 10
				case err := <-scrolled:
					if err != nil {
						t.Fatalf("scroll: %v", err)
					}
					return
				}
			}
		}, "devtools.timeline", "disabled-by-default-devtools.timeline",
			"disabled-by-default-devtools.timeline.frame", "__metadata")
		l := loadOf(t, trace, s.URL)
		elements := value[int](t, tb, `document.getElementsByTagName('*').length`)
		t.Logf("%s, while %d events came: %v; %d elements", name, came, l, elements)
		if l.frames.n < 200 {
			t.Errorf("%s: %d frames were drawn, too few to judge", name, l.frames.n)
		}
		if l.work.p99 >= 50 {
			t.Errorf("%s: the work of one frame in a hundred takes %.1f ms, want less than 50",
				name, l.work.p99)
		}
		if l.tasks.most >= 50 {
			t.Errorf("%s: a task takes %.1f ms, want less than 50", name, l.tasks.most)
		}
		if elements > mostElements {
			t.Errorf("%s has %d elements, want at most %d", name, elements, mostElements)
		}
	}
}

// scroll scrolls by N px each, down if negative. A gesture needs no script.
func (tb *tab) scroll(distances ...float64) error {
	for _, distance := range distances {
		_, err := chromedp.Call(tb.ctx, input.SynthesizeScrollGesture,
			input.SynthesizeScrollGestureParams{
				X: 400, Y: 400, YDistance: distance, Speed: 6000,
				GestureSourceType: input.GestureSourceTypeMouse,
			})
		if err != nil {
			return err
		}
	}
	return nil
}
