package connreq

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"isthmus/cwmp/stun"
)

// BenchmarkBindingRequest is a keep-alive of a CPE, without the socket: 100,000 CPE send one every 30 s.
func BenchmarkBindingRequest(b *testing.B) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	u := NewUDP(conn.(*net.UDPConn), UDPOptions{Logger: slog.New(slog.DiscardHandler)})
	defer u.Close() //nolint:errcheck // nothing to be lost
	u.rates = newLimiter(0, float32(b.N)+1e9)
	request := binding(func(w *stun.Builder) {
		w.Text(stun.ConnectionRequestBinding, stun.ConnectionRequestBindingValue)
		w.Text(stun.Username, "somebody")
	})
	from, asked := netip.MustParseAddrPort("192.0.2.1:61000"), u.Addr()
	b.ReportAllocs()
	for b.Loop() {
		if out, _, _ := u.handle(request, from, asked, nil); out == nil {
			b.Fatal("no answer")
		}
	}
}
