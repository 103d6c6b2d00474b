//go:build bench && linux

package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidings/internal/e2e"
)

const (
	nearAddress, farAddress = "10.251.0.1", "10.251.0.2"
	linkDelay               = 50 * time.Millisecond // each way
)

// TestRatioDistant measures in turns how fast a client reads a replay over a link with a delay, from a server that
// holds its streams and from one that has a goroutine for each. docs/BENCHMARKS.md has the figures.
func TestRatioDistant(t *testing.T) {
	const pairs, events = 5, 200_000
	read := newDistantClient(t)
	url := func(writer string) string {
		dir := t.TempDir()
		fill(t, dir, events)
		return start(t, dir, "--listen", nearAddress+":0", "--insecure", "--stream-writer", writer).URL()
	}
	held, ordinary := url("held"), url("ordinary")
	read(held)
	read(ordinary)
	var ratios []float64
	for range pairs {
		a, b := read(held), read(ordinary)
		ratios = append(ratios, b.Seconds()/a.Seconds())
		t.Logf("%d events: held %v, ordinary %v", events, a, b)
	}
	slices.Sort(ratios)
	t.Logf("rate of a replay over %v of delay, held ÷ ordinary: %.2f (%.2f to %.2f)", 2*linkDelay, ratios[pairs/2],
		ratios[0], ratios[pairs-1])
	if got := ratios[pairs/2]; got < 0.8 {
		t.Errorf("a held stream replays at %.2f of the ordinary writer's rate, want at least 0.8", got)
	}
}

// newDistantClient starts a client at the other end of a link. What it returns reads a server's log from the first
// event until the stream is live, and returns how long that took. The link is two TUN devices, and a process that
// passes packets on after a while; the other device is in a network namespace, where the client is, too.
func newDistantClient(t *testing.T) (read func(url string) time.Duration) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	near, err := openTUN(nearAddress, farAddress)
	if err != nil {
		t.Fatal("a TUN device needs /dev/net/tun and ip: ", err)
	}
	t.Cleanup(func() { near.Close() })
	child := exec.Command(os.Args[0])
	child.ExtraFiles = []*os.File{near}
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	orders, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewScanner(runChild(t, child, "distant"))
	return func(url string) time.Duration {
		t.Helper()
		fmt.Fprintln(orders, url)
		if !answers.Scan() {
			t.Fatal("the client has ended")
		}
		took, err := time.ParseDuration(answers.Text())
		if err != nil {
			t.Fatal(err)
		}
		return took
	}
}

func init() { children["distant"] = distant }

// distant is the client. It inherits the near device as its first file.
func distant(string) error {
	if err := unix.SetNonblock(3, true); err != nil {
		return err
	}
	near := os.NewFile(3, "near")
	far, err := openTUN(farAddress, nearAddress)
	if err != nil {
		return err
	}
	go passOn(near, far)
	go passOn(far, near)
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		began := time.Now()
		if err := readToLive(orders.Text()); err != nil {
			return err
		}
		fmt.Println(time.Since(began))
	}
	return io.EOF
}

// readToLive reads a server's log from the first event until its stream is live.
func readToLive(url string) error {
	stream, err := e2e.Subscribe(context.Background(), http.DefaultClient, url, "topic=missed.*&since=earliest", "")
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		e, err := stream.Next()
		if err != nil {
			return err
		}
		if e.Type == "tidings.live" {
			return nil
		}
	}
}

// passOn passes packets on, each after linkDelay.
func passOn(from, to *os.File) {
	type packet struct {
		due  time.Time
		data []byte
	}
	queue := make(chan packet, 1<<16)
	go func() {
		for p := range queue {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.data); err != nil {
				panic(err)
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			panic(err)
		}
		queue <- packet{time.Now().Add(linkDelay), slices.Clone(buffer[:n])}
	}
}

// openTUN makes a device, a network interface whose packets are read from a file and written to it, in this process's
// namespace, with an address for each end.
func openTUN(own, other string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	name := "tidings" + own[len(own)-1:]
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), name)
	for _, args := range []string{"addr add " + own + " peer " + other + " dev " + name,
		"link set " + name + " up txqueuelen 10000"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("ip %s: %w: %s", args, err, out), file.Close())
		}
	}
	return file, nil
}
