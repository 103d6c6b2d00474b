package held

// SetWrite replaces the system call that writes. Call it before anything is held.
func (p *Pool) SetWrite(write func(fd int, buffers [][]byte) (int, error)) { p.write = write }

// Writev is the system call that writes.
var Writev = writev

// Writable reports to all connections that their sockets accept more.
func (p *Pool) Writable() { p.all(writable) }

// Held returns how many connections there are.
func (p *Pool) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}

func (p *Pool) all(s signals) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if c != nil {
			c.signal(s)
		}
	}
}
