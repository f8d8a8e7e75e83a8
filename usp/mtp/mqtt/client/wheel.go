package client

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	tick        = time.Second
	slots       = 256 // of a Wheel; a turn that is further away comes round more than once
	pingWait    = 10  // ticks that a broker has to answer PINGREQ
	pingTimeout = time.Second
)

// Wheel sends the PINGREQ of many connections from one goroutine (3.1.2.10), and ends those whose broker says nothing for ten seconds after one.
type Wheel struct {
	mu    sync.Mutex
	slots [slots]map[*Conn]struct{}
	now   int // ticks
	stop  chan struct{}
	ended chan struct{}
}

// beat is what a Wheel knows of a connection.
type beat struct {
	due      int  // guarded by the Wheel's mutex, as is off
	off      bool // the connection is over
	interval int  // ticks
	pinged   bool // PINGREQ was sent; the Wheel's goroutine's
	heard    atomic.Bool
	handling atomic.Bool
}

// NewWheel returns a Wheel. Its goroutine runs until Close.
func NewWheel() *Wheel {
	w := &Wheel{stop: make(chan struct{}), ended: make(chan struct{})}
	for i := range w.slots {
		w.slots[i] = map[*Conn]struct{}{}
	}
	go w.run()
	return w
}

// Close ends it, and with it the keep-alive of connections that there still are.
func (w *Wheel) Close() {
	close(w.stop)
	<-w.ended
}

func (w *Wheel) run() {
	defer close(w.ended)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			w.turn()
		case <-w.stop:
			return
		}
	}
}

// add has a connection pinged each keepAlive, unless that is 0.
func (w *Wheel) add(c *Conn, keepAlive time.Duration) {
	if c.interval = int(keepAlive / tick); c.interval > 0 {
		w.put(c, c.interval)
	}
}

func (w *Wheel) put(c *Conn, in int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !c.off {
		c.due = w.now + in
		w.slots[c.due%slots][c] = struct{}{}
	}
}

func (w *Wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.off = true
	delete(w.slots[c.due%slots], c)
}

func (w *Wheel) turn() {
	w.mu.Lock()
	w.now++
	slot := w.slots[w.now%slots]
	var due []*Conn
	for c := range slot {
		if c.due <= w.now {
			due = append(due, c)
			delete(slot, c)
		}
	}
	w.mu.Unlock()
	for _, c := range due {
		if in := c.keep(); in > 0 {
			w.put(c, in)
		}
	}
}

// keep is a connection's turn: it pings, or looks whether anything came since. It returns the ticks until the next turn, 0 for none.
func (c *Conn) keep() int {
	wait := min(pingWait, c.interval)
	if c.pinged {
		c.pinged = false
		switch rest := c.interval - wait; {
		case !c.heard.Load() && !c.handling.Load():
			c.abort(ErrKeepAlive)
			return 0
		case rest > 0:
			return rest
		}
	}
	select {
	case c.writing <- struct{}{}:
		defer func() { <-c.writing }()
	default: // what is being written serves as well, and has a deadline
		return wait
	}
	if c.closing.Load() {
		return 0
	}
	c.heard.Store(false)
	c.pinged = true
	_ = c.nc.SetWriteDeadline(time.Now().Add(pingTimeout))
	if _, err := c.nc.Write([]byte{pingreq << 4, 0}); err != nil {
		c.abort(err)
		return 0
	}
	c.sent.Add(1)
	return wait
}
