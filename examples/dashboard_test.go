package examples_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"tidings/internal/e2e"
)

// TestDashboard: the numbers are replaced, and a page that opens between two events has the newest at once.
func TestDashboard(t *testing.T) {
	t.Parallel()
	s := newPlace(t)
	site := serveFolder(t, "dashboard", s.url(), nil)
	s.start(t, nil, "--cors-origin", site)
	publisher := exec.Command(build(t, "dashboard"), "-every", "20ms")
	publisher.Env = append(e2e.Environ(), "TIDINGS_URL="+s.url())
	if err := publisher.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = publisher.Process.Kill() }) // if the test fails

	browser := newProfile(t)
	early := browser.open(t, site+"/")
	early.await(t, textOf("state"), "live")
	for range 3 {
		early.await(t, "Number("+textOf("orders")+") > "+early.value(t,
			"Number("+textOf("orders")+") || 0"), "true")
	}
	// It finishes the publish in progress, so that the log has its last event.
	if err := publisher.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := publisher.Wait(); err != nil {
		t.Fatal(err)
	}

	events := readTopic(t, s.url(), "", "dashboard")
	var newest struct{ Orders, Revenue, Open int }
	if err := json.Unmarshal(events[len(events)-1].Data, &newest); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d %.2f %d", newest.Orders, float64(newest.Revenue)/100, newest.Open)
	const shown = "[...document.querySelectorAll('dd')].map(dd => dd.textContent).join(' ')"
	early.await(t, shown, want)
	late := browser.open(t, site+"/")
	late.await(t, shown, want)
	late.await(t, textOf("state"), "live")
}
