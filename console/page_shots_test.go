package console_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"tidings/store"
)

// atHalfPastFour is the early script of a page whose clock starts at the time of the README's pictures.
const atHalfPastFour = `{
	const real = Date;
	const ahead = real.UTC(2026, 10, 20, 16, 30) - real.now();
	globalThis.Date = class extends real {
		static now() { return real.now() + ahead; }
		constructor(...when) { super(...(when.length ? when : [real.now() + ahead])); }
	};
}`

// TestScreenshots takes the pictures of the README, of the sample of examples/console. They are the same each time,
// except for the machine's fonts:
//
//	TIDINGS_SHOTS=$PWD/docs/screenshots go test ./console -run TestScreenshots
func TestScreenshots(t *testing.T) {
	t.Parallel()
	s, p := newGuardedSite(t), newProfile(t)
	read := importSample(t, s)
	s.ask(t, "PUT", "/v1/cursors/console", "application/json",
		fmt.Sprintf(`{"id":%q,"topics":[">"]}`, read), nil)

	tb := p.openConsole(t, s, "/healthz", atHalfPastFour)
	if _, err := chromedp.Call(tb.ctx, emulation.SetTimezoneOverride,
		emulation.SetTimezoneOverrideParams{TimezoneID: "UTC"}); err != nil {
		t.Fatal(err)
	}
	tb.do(t, chromedp.EmulateViewport(1280, 800, chromedp.EmulateScale(1.5)),
		chromedp.Navigate(s.URL+"/#token="+s.token(time.Hour, ">")))
	tb.holds(t, `$('.connection[data-state=live]') && document.title.startsWith('(5)')`)
	tb.chooses(t, "light")
	tb.takeForReadme(t, s, "alerts-light.png")
	tb.chooses(t, "dark")
	tb.takeForReadme(t, s, "alerts-dark.png")

	tb.do(t, chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(1.5)))
	tb.takeForReadme(t, s, "alerts-phone.png")

	tb.do(t, chromedp.EmulateViewport(1280, 800, chromedp.EmulateScale(1.5)))
	tb.chooses(t, "light")
	tb.eval(t, `location.hash = '#/log'`)
	tb.clicks(t, ".log-row:nth-of-type(2) a")
	tb.holds(t, `$('dialog .payload')`)
	tb.eval(t, `document.activeElement.blur()`)
	tb.takeForReadme(t, s, "log.png")
}

// importSample imports the sample into the site's log, an event a minute, and returns the sixth ID from the end.
func importSample(t *testing.T, s *site) (read string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(sample(t)), "\n")
	var log bytes.Buffer
	for i, line := range lines {
		var event map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		when := time.Date(2026, 11, 20, 16, 29, 40,
			0, time.UTC).Add(time.Duration(i-len(lines)+1) * 67 * time.Second)
		var id store.ID
		for b := range 6 {
			id[b] = byte(when.UnixMilli() >> (40 - 8*b))
		}
		copy(id[6:], fmt.Sprintf("sample %3d", i))
		event["id"] = json.RawMessage(fmt.Sprintf("%q", id))
		event["datacontenttype"] = json.RawMessage(`"application/json"`)
		if err := json.NewEncoder(&log).Encode(event); err != nil {
			t.Fatal(err)
		}
		if i == len(lines)-6 {
			read = id.String()
		}
	}
	s.server.Kill()
	s.options.DataDir = t.TempDir()
	cmd := exec.Command(binary, "import", "--data-dir", s.options.DataDir)
	cmd.Stdin = &log
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s", err, out)
	}
	s.start(t)
	return read
}

// takeForReadme takes a picture small enough for a repository. The site's port differs each time.
func (tb *tab) takeForReadme(t *testing.T, s *site, name string) {
	t.Helper()
	tb.eval(t, `$$('code').forEach(code => { code.textContent = code.textContent.replaceAll('`+
		s.URL+`', 'http://127.0.0.1:8080'); })`)
	picture, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small,
		paletted(decoded)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %v, %d bytes, %d as taken", name, decoded.Bounds().Size(),
		small.Len(), len(picture))
	if small.Len() > 150_000 {
		t.Errorf("%s has %d bytes, want at most 150,000", name, small.Len())
	}
	if err := os.WriteFile(filepath.Join(shotsDir(t), name), small.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// paletted returns a picture in its 256 most frequent colours, with the others mapped to the nearest: for a page the
// difference is invisible.
func paletted(picture image.Image) *image.Paletted {
	bounds := picture.Bounds()
	counts := map[color.Color]int{}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			counts[picture.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	})
	p := image.NewPaletted(bounds, colours[:min(len(colours), 256)])
	nearest := map[color.Color]uint8{}
	for _, c := range colours {
		nearest[c] = uint8(p.Palette.Index(c))
	}
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			p.SetColorIndex(x, y, nearest[picture.At(x, y)])
		}
	}
	return p
}
