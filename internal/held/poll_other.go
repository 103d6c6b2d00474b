//go:build !linux

package held

import (
	"errors"
	"net"
	"syscall"
)

// Supported reports whether connections can be held on this platform.
const Supported = false

const maxBuffers = 1

type poller struct{}

func newPoller() (*poller, error)                         { return nil, errors.ErrUnsupported }
func (*poller) close() error                              { return nil }
func (*poller) add(syscall.RawConn, uint64) error         { return errors.ErrUnsupported }
func (*poller) wait(func(number uint64, s signals)) error { return errors.ErrUnsupported }
func writev(int, [][]byte) (n int, err error)             { return 0, errors.ErrUnsupported }
func read(int, []byte) (n int, err error)                 { return 0, errors.ErrUnsupported }

// BoundUnsent bounds how much of a connection's data the kernel buffers before it is sent and acknowledged.
func BoundUnsent(conn *net.TCPConn, bytes int) error { return conn.SetWriteBuffer(bytes) }
