package deliver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/deliver"
)

// hangs is a push service that never answers at hosts with this prefix, and at others at once.
func hangs(prefix string) func(int, got) *http.Response {
	return func(_ int, g got) *http.Response {
		if strings.HasPrefix(g.url.Host, prefix) {
			<-g.ctx.Done()
			return nil
		}
		return status(http.StatusCreated)
	}
}

// at is a browser of the push service at a host.
func at(host string, i int) *browser {
	b := newBrowser("")
	b.endpoint = fmt.Sprintf("https://%s/send/%d", host, i)
	return b
}

// told counts the requests to a host.
func told(all []got, host string) (n int) {
	for _, g := range all {
		if g.url.Host == host {
			n++
		}
	}
	return n
}

// TestPushServiceHangs: a push service that accepts connections and answers nothing delays its own devices only, also
// those of other ports; when it answers again all get their pushes.
func TestPushServiceHangs(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		s.service.set(hangs("hang."))
		const n = 200
		for i := range n {
			if i == n/2 { // so that some come before and some after, whatever the order
				for i := range n {
					s.register(at("push.example.com", i).registration(fmt.Sprint("b", i), "orders"))
				}
			}
			s.register(at(fmt.Sprintf("hang.example.com:%d", 4430+i%3), i).registration(fmt.Sprint(i), "orders"))
		}
		for round := range 3 {
			s.publish(1, "orders")
			if got := told(s.after(time.Second), "push.example.com"); got != n {
				t.Errorf("round %d: %d of %d are told while another push service hangs", round, got, n)
			}
			s.after(time.Minute)
		}
		for i := range n / 2 { // some are removed while they wait
			id := s.list(fmt.Sprint(i))[0].ID
			if err := s.Remove(t.Context(), id, func(string) bool { return true }); err != nil {
				t.Fatal(err)
			}
		}
		s.service.set(nil)
		if got := len(s.after(2 * time.Hour)); got < n/2 || s.Stats().Due != 0 {
			t.Errorf("%d are told when it answers again, want %d; %+v", got, n/2, s.Stats())
		}
	})
}

// TestPushOwnerHangs: whoever registers browsers at many hanging push services delays nobody else, also by registering
// and removing them again.
func TestPushOwnerHangs(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		s.service.set(hangs("hang-"))
		register := func(i int) deliver.Device {
			eve := at(fmt.Sprintf("hang-%d.example.com", i), i)
			return s.register(eve.registration(fmt.Sprint("eve", i%4), "orders"))
		}
		var all []deliver.Device
		for i := range 4 * deliver.DefaultDevicesPerOwner {
			if i == 10 {
				s.register(newBrowser("ana").registration("ana", "orders"))
			}
			all = append(all, register(i))
		}
		s.publish(1, "orders")
		if got := told(s.after(time.Second), "push.example.com"); got != 1 {
			t.Errorf("%d pushes to ana", got)
		}
		for i, d := range all {
			if err := s.Remove(t.Context(), d.ID, func(string) bool { return true }); err != nil {
				t.Fatal(err)
			}
			register(i)
		}
		s.after(30 * time.Second)
		s.publish(1, "orders")
		if got := told(s.after(time.Second), "push.example.com"); got != 1 {
			t.Errorf("%d pushes to ana once more", got)
		}
		s.service.set(nil)
		if s.after(2 * time.Hour); s.Stats().Due != 0 {
			t.Errorf("%+v are still due when all answer", s.Stats())
		}
	})
}

// TestPushRenewed: registering again, as pages do when they load, neither repeats a push under way nor retries a failed
// one early; nor is it lost at a kill.
func TestPushRenewed(t *testing.T) {
	testPush(t, func(t *testing.T, s *pushing) {
		r := newBrowser("ana").registration("ana", "orders")
		s.register(r)
		s.service.set(func(int, got) *http.Response {
			time.Sleep(10 * time.Second)
			return status(http.StatusCreated)
		})
		s.publish(1, "orders")
		time.Sleep(time.Second)
		r.Name = "Ana's phone"
		if d := s.register(r); d.Name != "Ana's phone" {
			t.Errorf("%+v", d)
		}
		if n := len(s.after(time.Hour)); n != 1 {
			t.Errorf("%d pushes of one event", n)
		}
		s.service.set(always(503, "Retry-After", "3600"))
		s.publish(1, "orders")
		s.after(time.Minute)
		if d := s.register(r); d.State != deliver.DeviceFailing || d.Answered != 503 {
			t.Errorf("registered again it is %+v", d)
		}
		s.kill()
		s.service.set(nil)
		if n := len(s.after(50 * time.Minute)); n != 0 {
			t.Errorf("%d attempts before the time", n)
		}
		if n := len(s.after(30 * time.Minute)); n != 1 {
			t.Errorf("%d pushes when it is tried again", n)
		}
	})
}
