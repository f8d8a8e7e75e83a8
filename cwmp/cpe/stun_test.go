package cpe

import (
	"crypto/hmac"
	"crypto/sha1"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"isthmus/cwmp/stun"
)

type received struct {
	m    *stun.Message
	from netip.AddrPort
}

// stunServer is one that tells every CPE the same address.
func stunServer(t *testing.T, mapped netip.AddrPort, password string) (server *net.UDPConn, requests chan received) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, requests = conn.(*net.UDPConn), make(chan received, 64)
	done := make(chan struct{})
	t.Cleanup(func() { _ = server.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, maxUDP)
		for {
			n, from, err := server.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			m, err := stun.Parse(append([]byte(nil), b[:n]...))
			if err != nil {
				t.Error(err)
				return
			}
			requests <- received{m, from}
			w := stun.New(stun.BindingResponse, m.ID)
			w.Address(stun.MappedAddress, mapped)
			if m.Has(stun.BindingChange) && !m.Authentic(password) {
				w = stun.New(stun.BindingError, m.ID)
				w.Error(stun.Unauthorized, "Unauthorized")
			}
			_, _ = server.WriteToUDPAddrPort(w.Bytes(), from)
		}
	}()
	return server, requests
}

func TestSTUN(t *testing.T) {
	mapped := netip.MustParseAddrPort("192.0.2.1:61000")
	server, requests := stunServer(t, mapped, "stun secret")
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, ConnReqUsername: "cr", ConnReqPassword: "secret",
		STUN: &STUN{Server: server.LocalAddr().String(), Username: "cpe", Password: "stun secret"}})
	var at netip.AddrPort
	for i, want := range []struct{ change, signed bool }{{false, false}, {true, false}, {true, true}} {
		r := <-requests
		m := r.m
		at = r.from
		if m.Has(stun.BindingChange) != want.change || m.Authentic("stun secret") != want.signed || m.Username() != "cpe" || !m.Has(stun.ConnectionRequestBinding) {
			t.Errorf("request %d: %+v", i, m)
		}
	}
	const object = "Device.ManagementServer."
	if nat, address := c.Value(object+"NATDetected"), c.Value(object+"UDPConnectionRequestAddress"); nat != "true" || address != mapped.String() {
		t.Errorf("NATDetected %s, UDPConnectionRequestAddress %s", nat, address)
	}
	idle(t, c)

	send := func(ts, id, un, key string) {
		t.Helper()
		mac := hmac.New(sha1.New, []byte(key))
		mac.Write([]byte(ts + id + un + "cn"))
		text := fmt.Sprintf("GET http://%s?ts=%s&id=%s&un=%s&cn=cn&sig=%X HTTP/1.1\r\n\r\n", mapped, ts, id, un, mac.Sum(nil))
		if _, err := server.WriteToUDPAddrPort([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
	sessions := c.Sessions()
	for _, bad := range [][4]string{{"5", "1", "cr", "wrong"}, {"5", "1", "other", "secret"}, {"x", "1", "cr", "secret"}, {"5", "", "cr", "secret"}} {
		send(bad[0], bad[1], bad[2], bad[3])
	}
	for range 3 {
		send("5", "1", "cr", "secret")
	}
	if err := c.WaitSessions(timeout(t), sessions+1); err != nil {
		t.Fatal(err)
	}
	for _, stale := range [][2]string{{"5", "2"}, {"4", "3"}, {"6", "1"}} {
		send(stale[0], stale[1], "cr", "secret")
	}
	send("7", "4", "cr", "secret")
	if err := c.WaitSessions(timeout(t), sessions+2); err != nil {
		t.Fatal(err)
	}
	idle(t, c)
	if c.Sessions() != sessions+2 || codes(a.inform(-1)) != "6 CONNECTION REQUEST" {
		t.Errorf("%d sessions, the last for %s", c.Sessions()-sessions, codes(a.inform(-1)))
	}
}
