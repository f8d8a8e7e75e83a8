package translate

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"isthmus/cwmp"
)

func TestNewcomers(t *testing.T) {
	n, now := newNewcomers(3), time.Now()
	count := func(addr string, tries int) (in int) {
		var a netip.Addr
		if addr != "" {
			a = netip.MustParseAddr(addr)
		}
		for range tries {
			if n.admit(a, now) {
				in++
			}
		}
		return in
	}
	for _, tc := range []struct {
		addr        string
		tries, want int
	}{
		{"192.0.2.1", 10, 3}, {"192.0.2.2", 10, 3}, {"::ffff:192.0.2.1", 10, 0}, {"", 10, 3},
		{"2001:db8::1", 2, 2}, {"2001:db8::2", 10, 1}, {"2001:db8:0:1::1", 10, 3},
	} {
		if got := count(tc.addr, tc.tries); got != tc.want {
			t.Errorf("%q: %d of %d, want %d", tc.addr, got, tc.tries, tc.want)
		}
	}
	now = now.Add(400 * time.Millisecond)
	if got := count("192.0.2.1", 10); got != 1 {
		t.Errorf("after 0.4 s: %d", got)
	}
	now = now.Add(time.Hour)
	if got := count("192.0.2.1", 10); got != 3 {
		t.Errorf("after an hour: %d", got)
	}
	for i := range 3 * maxSources {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		n.admit(a, now)
	}
	if len(n.buckets) != maxSources || n.recent.Len() != maxSources {
		t.Errorf("%d sources are known", len(n.buckets))
	}
	if !(*newcomers)(nil).admit(netip.Addr{}, now) {
		t.Error("a limit where none is set")
	}
}

// Beyond new_devices_per_second a CPE not yet known is told to come again; one that is known is let in.
func TestNewDevicesPerSecond(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NewDevicesPerSecond = 1 })
	from := netip.MustParseAddr("192.0.2.1")
	first := cwmp.DeviceID{OUI: "00D09E", SerialNumber: "first"}
	if _, _, err := w.p.meet(w.ctx, first, from); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.p.meet(w.ctx, cwmp.DeviceID{OUI: "00D09E", SerialNumber: "second"}, from)
	if r := (*cwmp.Refused)(nil); !errors.As(err, &r) || r.Status != 503 || r.RetryAfter == 0 {
		t.Errorf("%v, want 503 with Retry-After", err)
	}
	for range 3 {
		if _, _, err := w.p.meet(w.ctx, first, from); err != nil {
			t.Errorf("one that is known: %v", err)
		}
	}
	if _, _, err := w.p.meet(w.ctx, cwmp.DeviceID{OUI: "00D09E", SerialNumber: "third"}, netip.MustParseAddr("192.0.2.2")); err != nil {
		t.Errorf("from another address: %v", err)
	}
}
