package websocket

import (
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// wheel sends the Pings of many connections from one goroutine (R-WS.17): each connection is in one slot, a slot's turn comes once in
// an interval, and turns are about a second apart, more where the interval is long.
type wheel struct {
	mu    sync.Mutex
	slots []map[*conn]struct{}
	at    int           // the slot whose turn comes next
	where map[*conn]int // the slot of each connection
	tick  time.Duration
	stop  chan struct{}
	ended chan struct{}
}

// maxSlots bounds a wheel's memory, whatever interval a Controller asks for.
const maxSlots = 300

func newWheel(interval time.Duration) *wheel {
	if interval <= 0 {
		interval = defaultKeepAlive
	}
	n := min(max(1, int(interval/time.Second)), maxSlots)
	w := &wheel{
		slots: make([]map[*conn]struct{}, n), where: map[*conn]int{}, tick: interval / time.Duration(n),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	for i := range w.slots {
		w.slots[i] = map[*conn]struct{}{}
	}
	go w.run()
	return w
}

func (w *wheel) add(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := (w.at + len(w.slots) - 1) % len(w.slots) // the one whose turn is an interval away
	w.slots[last][c] = struct{}{}
	w.where[c] = last
}

func (w *wheel) remove(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.slots[w.where[c]], c)
	delete(w.where, c)
}

func (w *wheel) close() {
	close(w.stop)
	<-w.ended
}

func (w *wheel) run() {
	defer close(w.ended)
	t := time.NewTicker(w.tick)
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

func (w *wheel) turn() {
	w.mu.Lock()
	due := make([]*conn, 0, len(w.slots[w.at]))
	for c := range w.slots[w.at] {
		due = append(due, c)
	}
	w.at = (w.at + 1) % len(w.slots)
	w.mu.Unlock()
	for _, c := range due {
		c.ping()
	}
}

// ping sends a Ping, or ends the connection if nothing came since the last one. A Ping that cannot be sent in time counts as sent: if
// the peer is alive something of it will come.
func (c *conn) ping() {
	if c.pinged.Swap(true) {
		c.abort(ErrKeepAlive)
		return
	}
	_ = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(pingTimeout))
}
