package main

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings/store"
	"tidings/store/bolt"
)

// richLog returns the directory of a closed log with an event of each kind.
func richLog(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []store.Draft{
		{Topic: "orders", Type: "order.created", ContentType: "application/json",
			Data: []byte(`{"total": 1.50, "a":"\u00e9<é"}`)},
		{Topic: "orders", ContentType: "application/json; charset=utf-8",
			Data: []byte("{\n  \"spans\": \"lines\"\r\n}\n")},
		{Topic: "orders", ContentType: "application/json", Data: []byte(` 1 `)},
		{Topic: "orders", ContentType: "application/json", Data: []byte(`null`)},
		{Topic: "orders", ContentType: "application/json"},
		{Topic: "texts", ContentType: "text/plain", Data: []byte("a\r\nb\u2028<c>\t\"")},
		{Topic: "texts", ContentType: "text/plain"},
		{Topic: "texts", ContentType: "text/plain", Data: []byte("\xff\xfe")},
		{Topic: "texts", ContentType: "application/octet-stream", Data: []byte{0, 1, 2, '\n'}},
		{Topic: "texts", Data: []byte("no type")},
		{Topic: "$alerts.texts", Type: "t", ContentType: "application/json", Data: []byte(`{}`)},
		{Topic: "ce", ContentType: "application/json", Data: []byte(`"x"`),
			Attributes: []store.Attribute{
				{Name: "source", Value: `"/shop"`}, {Name: "id", Value: `"1"`},
				{Name: "number", Value: `1.0`}, {Name: "another", Value: `"\u003c<"`}}},
		{Topic: "ce", Type: store.TypeEnd, ContentType: "application/json",
			Data: []byte(`{"topic":"ce"}`)},
		{Topic: "orders", ContentType: "application/json",
			Data: []byte(`"after the end of another"`)},
	} {
		if _, err := store.Append(t.Context(), log, []store.Draft{d}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// eventsIn reads all events of a closed log.
func eventsIn(t *testing.T, dir string) []store.Event {
	t.Helper()
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	page, err := log.NewReader(store.Everything(), store.ID{}).Next(1000)
	if err != nil {
		t.Fatal(err)
	}
	return page.Events
}

func TestExportImport(t *testing.T) {
	from, to := richLog(t), filepath.Join(t.TempDir(), "data")
	lines := runCLI(t, "export", "--data-dir", from).ended(t, exitOK).stdout
	if !strings.Contains(lines, `"data":{"total": 1.50, "a":"\u00e9<é"}`) ||
		strings.Count(lines, "\n") != 14 {
		t.Errorf("exported %s", lines)
	}
	runWith(t.Context(), nil, strings.NewReader(lines), "import", "--data-dir", to).ended(t, exitOK)
	verifies(t, to)
	if again := runCLI(t, "export", "--data-dir", to).ended(t, exitOK).stdout; again != lines {
		t.Errorf("exported again: %s\nwant %s", again, lines)
	}
	want := eventsIn(t, from)
	for i, got := range eventsIn(t, to) {
		if got.ID != want[i].ID || string(got.Data) != string(want[i].Data) ||
			got.Type != want[i].Type || got.ContentType != want[i].ContentType {
			t.Errorf("event %d is %+v, want %+v", i, got, want[i])
		}
	}
	runWith(t.Context(), nil, strings.NewReader(lines), "import", "--data-dir", to).want(t,
		exitFailure, "", "events keep their IDs only in a log that never had one")
	file := filepath.Join(t.TempDir(), "lines")
	if err := os.WriteFile(file, []byte(`{"topic":"new","datacontenttype":"text/plain","data":"x"}`+
		"\n\n"+`{"topic":"new"}`+"\n"+`{"topic":"new","data":{"n":1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	runCLI(t, "import", file, "--data-dir", to).ended(t, exitOK)
	if all := eventsIn(t, to); len(all) != 17 || string(all[14].Data) != "x" ||
		all[15].Type != store.DefaultType ||
		string(all[16].Data) != `{"n":1}` || all[16].ContentType != "application/json" {
		t.Errorf("%d events: %+v", len(all), all)
	}
	verifies(t, to)
}

// TestExportImportDeep: JSON nested deeper than a publish accepts moves with its log, which may be older than that
// limit, also from a line of that time; without an ID it is an ordinary event.
func TestExportImportDeep(t *testing.T) {
	data := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	from, _ := storedLog(t, `{"order":1}`, data)
	to := filepath.Join(t.TempDir(), "data")
	lines := runCLI(t, "export", "--data-dir", from).ended(t, exitOK).stdout
	runWith(t.Context(), nil, strings.NewReader(lines), "import", "--data-dir", to).ended(t, exitOK)
	if got := eventsIn(t, to); len(got) != 2 || string(got[1].Data) != data {
		t.Errorf("imported %d events, want 2 with the same data", len(got))
	}
	deep := strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)
	to = filepath.Join(t.TempDir(), "data")
	runWith(t.Context(), nil, strings.NewReader(
		`{"id":"01KAJ8F3QK3T7S3B8ZK8X9P1RD","topic":"a","data":`+deep+`}`), "import", "--data-dir",
		to).ended(t, exitOK)
	if got := eventsIn(t, to); len(got) != 1 || string(got[0].Data) != deep {
		t.Errorf("imported %d events, want 1 with the same data", len(got))
	}
	for _, line := range []string{`{"topic":"a","data":` + deep + `}`,
		`{"topic":"a","datacontenttype":"application/json","data_base64":"` +
			base64.StdEncoding.EncodeToString([]byte(deep)) + `"}`} {
		runWith(t.Context(), nil, strings.NewReader(line), "import", "--data-dir",
			t.TempDir()).want(t, exitFailure, "", "at most 128 levels")
	}
}

func TestImportRefuses(t *testing.T) {
	const id = `"id":"01KAJ8F3QK3T7S3B8ZK8X9P1RD",`
	for lines, want := range map[string]string{
		"nonsense": "line 1: not an event",
		`{"topic":"a"}` + "\n" +
			`{"topc":"a"}`: "line 2: not an event",
		`{"topic":"a","data":1,"data_base64":"AA=="}`: "both data and data_base64",
		`{"topic":"a b"}`: "invalid topic",
		`{"topic":"a","datacontenttype":"text/plain","data":1}`: "must be a string",
		`{"topic":"a","ce":1}`: "ce must be an object",
		`{` + id + `"topic":"a"}` + "\n" + `{` +
			id + `"topic":"a"}`: "line 2: event 01KAJ8F3QK3T7S3B8ZK8X9P1RD does not follow",
		`{"topic":"a"}` + "\n" + `{` + id +
			`"topic":"a"}`: "line 2: event 01KAJ8F3QK3T7S3B8ZK8X9P1RD has an ID",
		`{` + id + `"topic":"a"}` + "\n" +
			`{"topic":"a"}`: "line 2: the event has no ID",
		`{"topic":"a","type":"tidings.end"}` + "\n" +
			`{"topic":"a"}`: "topic has ended",
		`{"topic":"a"} {"topic":"a"}`:           "unexpected text after the event",
		`{"topic":"a","topic":"b"}`:             `"topic" occurs twice`,
		`{"Topic":"a"}`:                         `unknown member "Topic"`,
		`{"topic":"a","type":"a\nb"}`:           "printable",
		`{"topic":"a","type":"tidings.gap"}`:    "reserved",
		`{"topic":"a","data":"` + "\xff" + `"}`: "JSON must be UTF-8",
		`{"topic":"a","datacontenttype":"application/json","data_base64":"AA=="}`: "looking for beginning of value",
	} {
		runWith(t.Context(), nil, strings.NewReader(lines), "import", "--data-dir",
			t.TempDir()).want(t, exitFailure, "", want)
	}
}

// TestExportSaysWhatIsLeft: whatever is not an event is left out of an export, and counted.
func TestExportSaysWhatIsLeft(t *testing.T) {
	dir := richLog(t)
	if got := runCLI(t, "export", "--data-dir", dir).ended(t, exitOK); got.stderr != "" {
		t.Errorf("a log of events alone: %s", got.stderr)
	}
	log, err := bolt.Open(dir, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.AppendOnce(t.Context(), []store.Group{{Key: "1",
		Drafts: []store.Draft{{Topic: "a"}, {Topic: "b"}}}})
	for _, name := range []string{"inbox", "outbox"} {
		_, markErr := log.SetMark(t.Context(), "ada", name, store.Mark{Topics: store.All()})
		err = errors.Join(err, markErr)
	}
	bare, filterErr := store.NewFilter("a", "ce")
	_, trimErr := log.Trim(t.Context(), bare, store.MaxID)
	if err := errors.Join(err, filterErr, trimErr, log.Close()); err != nil {
		t.Fatal(err)
	}
	got := runCLI(t, "export", "--data-dir", dir).ended(t, exitOK)
	if !strings.Contains(got.stderr, "keys: 1, read marks: 2, topics without events: 2.") {
		t.Errorf("standard error: %s", got.stderr)
	}
}

func TestExportOfDamaged(t *testing.T) {
	dir, ids := storedLog(t, `{"order":1}`, `{"order":2}`, `{"order":3}`)
	flip(t, dir, `{"order":2}`)
	got := runCLI(t, "export", "--data-dir", dir).ended(t, exitDamaged)
	if strings.Count(got.stdout, "\n") != 2 ||
		!strings.Contains(got.stderr, "event "+ids[1].String()+" is damaged and left out") {
		t.Errorf("got %+v", got)
	}
	runCLI(t, "export", "--data-dir", t.TempDir()).want(t, exitFailure, "", "there is no log")
}
