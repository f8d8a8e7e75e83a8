//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
)

// The line "Socket" of the matrix: connections that end, stall and come in the wrong order. What a Controller has been told of its Set is true.
func TestFaultsSocket(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	faults := []fault{
		{"1-byte writes", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Dial = dialBytewise })
			manages(t, d, p)
		}},
		{"new socket per POST (H1)", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Faults.CloseEachPost = true })
			manages(t, d, p)
		}},
		{"reordered reconnect (H2)", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) {
				cfg.Faults.CloseEachPost = true
				cfg.Dial = (&reordered{}).dial
			})
			manages(t, d, p)
		}},
		{"half-close within a head", malformedHTTP, func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.write("POST / HTTP/1.1\r\nContent-Le")
			r.halfClose()
			r.gone()
		}},
		{"half-close within a body", malformedRead, func(t *testing.T, b *bed) {
			r, body := b.dial(t), b.inform(t, b.id(), cwmp.EventBoot)
			r.write("POST / HTTP/1.1\r\nHost: acs\r\nContent-Length: ", fmt.Sprint(len(body)), "\r\n\r\n", body[:len(body)/2])
			r.halfClose()
			r.gone()
		}},
		{"half-close after an Inform", sessionsLost, func(t *testing.T, b *bed) {
			r, body := b.dial(t), b.inform(t, b.id(), cwmp.EventBoot)
			r.post(body)
			r.halfClose()
			r.gone()
			again := b.dial(t) // it tries again, and is let in
			again.post(strings.Replace(body, "<RetryCount>0<", "<RetryCount>1<", 1))
			again.wants(200)
		}},
		{"half-close while an RPC is awaited (S7)", sessionsLost, func(t *testing.T, b *bed) {
			id := b.id()
			r := b.dial(t)
			r.post(b.inform(t, id, cwmp.EventBoot))
			r.wants(200)
			r.post("")
			r.wants(200)
			r.halfClose()
			r.gone()
			again := b.dial(t)
			again.post(b.inform(t, id, cwmp.EventBoot))
			again.wants(200)
		}},
		{"reset while an RPC is awaited (S7)", sessionsLost, func(t *testing.T, b *bed) {
			id := b.id()
			r := b.dial(t)
			r.post(b.inform(t, id, cwmp.EventBoot))
			r.wants(200)
			r.post("")
			r.wants(200)
			_ = r.conn.SetLinger(0)
			_ = r.conn.Close()
			again := b.dial(t)
			again.post(b.inform(t, id, cwmp.EventBoot))
			again.wants(200)
		}},
		{"nothing is sent", sessionsOK, func(t *testing.T, b *bed) { // it costs nothing but its idle time
			b.dial(t)
			manages(t, b.good, &peer{ctx: deadline(t), agent: b.next})
		}},
	}
	// That the 204 after the read-back was lost nobody tells the ACS.
	for step, counts := range []string{sessionsLost, sessionsLost, sessionsLost, sessionsOK} {
		name := []string{"Inform", "empty POST", "answer to a Set", "answer to its read-back"}[step]
		faults = append(faults, fault{"close after the " + name + " (S7)", counts, func(t *testing.T, b *bed) { b.closes(t, step+1) }})
	}
	b.each(t, faults)
}

// closes has a CPE close its connection after a POST of the session in which it is to be set, and come again.
func (b *bed) closes(t *testing.T, post int) {
	t.Helper()
	d, p := b.boot(t, nil)
	d.SetFaults(cpe.Faults{CloseAfterPost: post})
	settles(t, d, p)
}

// settles has a Controller set a CPE that goes wrong meanwhile: what it is told is true, and what it reads then is what the CPE has.
func settles(t *testing.T, d *cpe.CPE, p *peer) {
	t.Helper()
	old := d.Value(ssid)
	_, err := p.try(set("Device.WiFi.SSID.1.", "SSID", "wanted"))
	d.SetFaults(cpe.Faults{})
	got := d.Value(ssid)
	var e *usp.Error
	switch {
	case err == nil && got != "wanted":
		t.Errorf("the Controller was told that it is set, the CPE has %q", got)
	case err != nil && !errors.As(err, &e):
		t.Errorf("the Controller was told nothing: %v", err)
	case errors.As(err, &e) && e.Code < usp.Unreachable && got != old:
		t.Errorf("the Controller was told %v, and the CPE has %q", err, got)
	}
	if err := d.WaitIdle(p.ctx); err != nil {
		t.Error(err)
	}
	p.has(t, get(ssid), ssid+" = "+d.Value(ssid))
}

func (r *rawCPE) halfClose() {
	r.t.Helper()
	if err := r.conn.CloseWrite(); err != nil {
		r.t.Fatal(err)
	}
}

func dialBytewise(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return bytewise{conn}, err
}

// bytewise writes each byte by itself.
type bytewise struct{ net.Conn }

func (c bytewise) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// reordered is a network in which the end of a connection arrives after what its CPE sends on the next one.
type reordered struct{ last net.Conn }

func (r *reordered) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &lingering{garbledConn{conn, func(head, body string) string {
		return framed(strings.Replace(head, "\r\nConnection: close", "", 1), body)
	}}, r}, err
}

// lingering is closed when its CPE has written to the next connection.
type lingering struct {
	garbledConn
	network *reordered
}

func (c *lingering) Close() error {
	c.network.last = c.Conn
	return nil
}

func (c *lingering) Write(p []byte) (int, error) {
	n, err := c.garbledConn.Write(p)
	if last := c.network.last; last != nil && last != c.Conn {
		_ = last.Close()
	}
	return n, err
}
