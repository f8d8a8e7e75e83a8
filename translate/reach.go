package translate

import (
	"context"
	"errors"
	"time"

	"isthmus/cwmp/connreq"
	"isthmus/usp"
)

// errNoURL says that a Connection Request cannot even be tried.
var errNoURL = errors.New("the CPE has told no ConnectionRequestURL")

// ask sees to it that a session is coming: one Connection Request at a time, however many jobs wait for it. A CPE that is about to
// reboot because we told it to is not asked: its boot brings the session. One that has informed since, without a boot, is.
func (d *Device) ask() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asking || d.session != nil || d.p.closing.Load() {
		return
	}
	if p := d.head.Pending; p != nil && time.Since(p.At) < rebootTime && !d.inform.at.After(p.At) {
		return
	}
	d.asking = true
	opened := make(chan struct{})
	d.opened = opened
	target := connreq.Target{URL: d.head.URL, InformFromLoopback: d.head.Loopback}
	target.Username, target.Password = d.p.opts.ConnectionRequest.credentials(d.id)
	d.p.wg.Go(func() { d.request(target, opened) })
}

// credentials are what a CPE asks of Connection Requests.
func (o *ConnectionRequest) credentials(id usp.EndpointID) (username, password string) {
	if o.Credentials != nil {
		if username, password = o.Credentials(id); username != "" {
			return username, password
		}
	}
	return o.Username, o.Password
}

// rebootTime is how long a CPE that was told to reboot is left in peace.
const rebootTime = 3 * time.Minute

// request sends a Connection Request and waits for the session; if none comes in time, everybody who waits is told why.
func (d *Device) request(target connreq.Target, opened <-chan struct{}) {
	ctx, cancel := context.WithTimeout(d.p.ctx, d.p.opts.ConnectionRequest.Timeout)
	defer cancel()
	start := time.Now()
	err := errNoURL
	if target.URL != "" {
		err = d.call(ctx, target, opened)
	}
	d.mu.Lock()
	d.tried = attempt{at: start, err: err}
	d.mu.Unlock()
	failure := "the CPE cannot be reached"
	if err == nil {
		failure = "the CPE accepted a Connection Request but opened no session"
		select {
		case <-opened:
		case <-ctx.Done():
		}
	}
	d.mu.Lock()
	d.asking = false
	if d.opened == opened {
		d.opened = nil
	}
	open, waiting := d.session != nil, len(d.queue) > 0
	d.mu.Unlock()
	d.p.m.connectionRequests.WithLabelValues(outcomeOf(err, open)).Inc()
	if !open {
		select {
		case <-opened: // it came and is over already
			if waiting {
				d.ask() // who came meanwhile took this request for its own
			}
		default:
			d.failQueue(d.unreachable(failure))
		}
	}
}

// busyRetry is how long a CPE that answers 503 is left alone: it limits the rate, or has just ended a session.
const busyRetry = time.Second

// call sends a Connection Request, again while the CPE says that it is busy and there is time.
func (d *Device) call(ctx context.Context, target connreq.Target, opened <-chan struct{}) error {
	for {
		err := d.p.connreq.Request(ctx, target)
		if !errors.Is(err, connreq.ErrRefused) {
			return err
		}
		wait := time.NewTimer(busyRetry)
		select {
		case <-wait.C:
		case <-opened: // it came by itself
			wait.Stop()
			return nil
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}

func outcomeOf(err error, session bool) string {
	switch {
	case session:
		return "session"
	case err == nil:
		return "no_session"
	case errors.Is(err, errNoURL):
		return "no_url"
	case errors.Is(err, connreq.ErrNotAllowed):
		return "not_allowed"
	case errors.Is(err, connreq.ErrAuth):
		return "unauthorized"
	case errors.Is(err, connreq.ErrRefused):
		return "refused"
	}
	return "unreachable"
}
