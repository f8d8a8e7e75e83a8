package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// maxPending is how many notifications may wait for one Controller; beyond it the oldest goes, one without NotifRetry first.
const maxPending = 1000

// note is a Notify that is not delivered yet. The exported fields are kept; the others are of this process.
type note struct {
	ID           string         `json:"-"`
	To           usp.EndpointID `json:"to"`
	Subscription string         `json:"subscription,omitempty"` // the row's path, "" for OnBoardRequest
	Kind         string         `json:"kind"`
	Retry        bool           `json:"retry,omitempty"`    // send_resp: wait for the response
	Expires      time.Time      `json:"expires,omitzero"`   // the zero time is never
	Attempts     int            `json:"attempts,omitempty"` // how often it was sent, as far as that was written down
	Msg          []byte         `json:"msg"`                // the encoded Msg

	msgID   string
	at      time.Time       // not to be sent before
	sending bool            // a deliverer has it
	once    bool            // the Controller will not answer it
	after   <-chan struct{} // closed when the response it must not overtake has left
	last    bool            // the Controller's row is gone: it is sent on the channel that is up, or not at all
	action  string          // the Subscription's TriggerAction
	notify  *usppb.Notify   // what Msg is made of, once there is a msg_id
}

// queue is what waits for one Controller, in order.
type queue struct {
	to         usp.EndpointID
	notes      []*note
	delivering bool
	paused     time.Time // nothing is sent before: the channel did not take the last one
}

func (n *note) record() (Record, error) {
	data, err := json.Marshal(n)
	if err != nil {
		return Record{}, fmt.Errorf("encode notification: %w", err)
	}
	return Record{Kind: NotificationRecord, ID: n.ID, Data: data}, nil
}

func (n *note) setID(id string) {
	n.ID = id
	n.msgID = n.Kind + "-" + id
}

// loadNotes takes up what was kept.
func (st *state) loadNotes(records []Record) error {
	for _, r := range records {
		if r.Kind != NotificationRecord {
			continue
		}
		n := &note{}
		if err := json.Unmarshal(r.Data, n); err != nil {
			return fmt.Errorf("decode notification %s: %w", r.ID, err)
		}
		n.setID(r.ID)
		if seq, err := strconv.ParseUint(r.ID, 16, 64); err == nil {
			st.seq = max(st.seq, seq)
		}
		st.enqueue(n)
	}
	for _, q := range st.queues {
		slices.SortFunc(q.notes, func(a, b *note) int { return strings.Compare(a.ID, b.ID) })
	}
	return nil
}

// number gives new notes their IDs, which grow over restarts of the process, since they come from the clock.
func (st *state) number(notes []*note, now time.Time) error {
	for _, n := range notes {
		st.seq = max(st.seq+1, uint64(now.UnixNano()))
		n.setID(fmt.Sprintf("%016x", st.seq))
		msg, err := proto.Marshal(usp.NewRequest(n.msgID, &usppb.Request{ReqType: &usppb.Request_Notify{Notify: n.notify}}))
		if err != nil {
			return fmt.Errorf("encode notification: %w", err)
		}
		n.Msg, n.notify = msg, nil
	}
	return nil
}

func (st *state) queue(to usp.EndpointID) *queue {
	q := st.queues[to]
	if q == nil {
		q = &queue{to: to}
		if st.queues == nil {
			st.queues = make(map[usp.EndpointID]*queue)
		}
		st.queues[to] = q
	}
	return q
}

func (st *state) enqueue(n *note) {
	q := st.queue(n.To)
	q.notes = append(q.notes, n)
}

func (st *state) pending() int {
	n := 0
	for _, q := range st.queues {
		n += len(q.notes)
	}
	return n
}

// affected gives the notes that end with the rows that a tx removes.
func (st *state) affected(t *tx) []*note {
	if len(t.purge) == 0 {
		return nil
	}
	var notes []*note
	for _, q := range st.queues {
		dead := t.purge[t.before.controller(q.to)]
		for _, n := range q.notes {
			if dead || t.purge[n.Subscription] {
				notes = append(notes, n)
			}
		}
	}
	return notes
}

// find looks a note up by its msg_id.
func (q *queue) find(msgID string) *note {
	for _, n := range q.notes {
		if n.msgID == msgID {
			return n
		}
	}
	return nil
}

// next is the first note that may be sent now.
func (q *queue) next(now time.Time) *note {
	if q.paused.After(now) {
		return nil
	}
	for _, n := range q.notes {
		if !n.sending && !n.at.After(now) {
			return n
		}
	}
	return nil
}

// forget takes a note out of its queue and counts what became of it; false if it was not there any more. It is called with a.mu held.
func (a *Agent) forget(n *note, outcome string) bool {
	q := a.st.queues[n.To]
	if q == nil {
		return false
	}
	i := slices.Index(q.notes, n)
	if i < 0 {
		return false
	}
	q.notes = slices.Delete(q.notes, i, i+1)
	a.fleet.metrics.pending.Dec()
	a.fleet.metrics.notifications.WithLabelValues(n.Kind, outcome).Inc()
	return true
}

// trim drops what is over the bound. It is called with a.mu held.
func (a *Agent) trim() []*note {
	var over []*note
	for _, q := range a.st.queues {
		for len(q.notes) > maxPending {
			i := slices.IndexFunc(q.notes, func(n *note) bool { return !n.Retry })
			n := q.notes[max(i, 0)]
			a.forget(n, dropped)
			over = append(over, n)
		}
	}
	return over
}

// erase deletes the records of notes that are done. Should that fail they are delivered once more after a restart, which is better than never.
func (a *Agent) erase(notes []*note) {
	if len(notes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.life()), sendTimeout)
	defer cancel()
	if err := a.takeTurn(ctx); err != nil {
		a.fleet.log.Error("delivered notifications cannot be deleted", "device", a.id.ID, "error", err)
		return
	}
	defer func() { <-a.turn() }()
	a.eraseInTurn(ctx, notes)
}

func (a *Agent) eraseInTurn(ctx context.Context, notes []*note) {
	records := make([]Record, len(notes))
	for i, n := range notes {
		records[i] = Record{Kind: NotificationRecord, ID: n.ID}
	}
	if err := a.keep(ctx, nil, records); err != nil {
		a.fleet.log.Error("delivered notifications cannot be deleted", "device", a.id.ID, "error", err)
	}
}

// keepAttempt writes down how often a note was sent, so that its back-off goes on after a restart of the process.
func (a *Agent) keepAttempt(n *note) {
	ctx, cancel := context.WithTimeout(a.life(), sendTimeout)
	defer cancel()
	if a.takeTurn(ctx) != nil {
		return
	}
	defer func() { <-a.turn() }()
	a.mu.Lock()
	waiting := slices.Contains(a.st.queues[n.To].notes, n)
	r, err := n.record()
	a.mu.Unlock()
	if err == nil && waiting {
		err = a.keeper.Commit(ctx, []Record{r})
	}
	if err != nil && a.life().Err() == nil {
		a.fleet.log.Error("a notification's attempts cannot be kept", "device", a.id.ID, "error", err)
	}
}
