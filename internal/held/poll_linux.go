package held

import (
	"errors"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Supported reports whether connections can be held on this platform.
const Supported = true

// pollEvents is how many events one poll returns at most.
const pollEvents = 128

// maxBuffers is how many buffers one write accepts (IOV_MAX).
const maxBuffers = 1024

// poller reports which connections are readable, writable or gone: an epoll instance that the runtime's poller
// watches, so that no thread waits in it. It knows connections by our number, never by their descriptor, and the
// kernel forgets them when they are closed.
type poller struct {
	file   *os.File
	raw    syscall.RawConn
	events [pollEvents]unix.EpollEvent
	found  int
	err    error
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.NewFile hands it to the runtime
		return nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(fd))
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

// close ends wait.
func (p *poller) close() error { return p.file.Close() }

// add makes the poller report a connection by its number, until it is closed. It reports edges, so a connection that
// nobody reads or writes is reported once.
func (p *poller) add(conn syscall.RawConn, number uint64) error {
	var failed error
	err := p.raw.Control(func(epoll uintptr) {
		failed = conn.Control(func(fd uintptr) {
			failed = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD,
				int(fd), &unix.EpollEvent{
					Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET,
					Fd:     int32(uint32(number)), Pad: int32(uint32(number >> 32))}))
		})
	})
	return errors.Join(err, failed)
}

// wait waits for events and reports each. An error means that the poller was closed.
func (p *poller) wait(tell func(number uint64, s signals)) error {
	if err := p.raw.Read(p.look); err != nil {
		return err
	}
	for _, e := range p.events[:p.found] {
		var s signals
		if e.Events&unix.EPOLLIN != 0 {
			s |= readable
		}
		if e.Events&unix.EPOLLOUT != 0 {
			s |= writable
		}
		if e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			s |= gone
		}
		tell(uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32, s)
	}
	return p.err
}

// look reports whether there were events.
func (p *poller) look(epoll uintptr) bool {
	p.found = 0
	n, err := unix.EpollWait(int(epoll), p.events[:], 0)
	switch {
	case err == unix.EINTR:
		return true
	case err != nil:
		p.err = os.NewSyscallError("epoll_wait", err)
		return true
	}
	p.found = n
	return n > 0
}

// writev writes as much of the buffers as the connection accepts now, which may be nothing, without an error.
func writev(fd int, buffers [][]byte) (n int, err error) {
	for {
		n, err = unix.Writev(fd, buffers)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return 0, nil
		}
		return max(n, 0), os.NewSyscallError("writev", err)
	}
}

// read reads what the connection has now: n is 0 and err nil when there is nothing, and err is ErrGone at the end.
func read(fd int, into []byte) (n int, err error) {
	for {
		n, err = unix.Read(fd, into)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, ErrGone
		}
		return n, nil
	}
}

// BoundUnsent bounds how much of a connection's data the kernel buffers before it can be sent. Data in flight, of
// which a distant client needs much, is for the kernel to bound: its buffer may still grow.
func BoundUnsent(conn *net.TCPConn, bytes int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
	})
	return errors.Join(err, os.NewSyscallError("setsockopt", failed))
}
