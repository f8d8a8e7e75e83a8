package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"isthmus/store/badger"
	"isthmus/usp"
)

// sleepers has a Proxy know so many devices of four models, each of which is asleep.
func sleepers(t testing.TB, devices int) *Proxy {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	st, err := badger.Open(t.TempDir(), &badger.Options{Logger: quiet()})
	must(err)
	p, err := New(t.Context(), Options{Store: st, Logger: quiet()})
	must(err)
	t.Cleanup(func() {
		p.cancel()
		must(st.Close())
	})
	for n := range devices {
		h := head{OUI: "00D09E", ProductClass: fmt.Sprint("Gateway-", n%4), SerialNumber: fmt.Sprintf("Ab%06d", n), Manufacturer: "Peer Works",
			Root: deviceRoot, Software: "2.7.1"}
		if n%4 == 3 {
			h.Root = "InternetGatewayDevice."
		}
		id, _, err := usp.AgentEndpointID(h.OUI, h.ProductClass, h.SerialNumber)
		must(err)
		d, err := p.newDevice(t.Context(), id)
		must(err)
		d.head = h
		d.attach()
		p.enter(d)
		d.nap()
		if d.awake != nil {
			t.Fatal("a device does not sleep")
		}
	}
	return p
}

// TestSearch: a device is found by any of what identifies it, in any case, whether it is asleep or awake, and by nothing else.
func TestSearch(t *testing.T) {
	p := sleepers(t, 40)
	for _, f := range []struct {
		Filter
		want int
	}{
		{Filter{}, 40}, {Filter{Text: "AB000007"}, 1}, {Filter{Text: "gateway-2"}, 10}, {Filter{Text: "peer"}, 40}, {Filter{Text: "2.7.1"}, 40}, {Filter{Text: "00d09e"}, 40},
		{Filter{Text: "ops::"}, 40}, {Filter{Text: "nobody"}, 0}, {Filter{Root: "InternetGatewayDevice."}, 10},
		{Filter{Root: "InternetGatewayDevice.", Text: "Gateway-2"}, 0}, {Filter{State: Offline}, 40}, {Filter{State: Online}, 0},
	} {
		for _, awake := range []bool{false, true} {
			for _, d := range p.all() {
				if d.nap(); awake {
					d.mu.Lock()
					d.mu.Unlock() //nolint:staticcheck // whoever locks it wakes it
				}
			}
			found := p.Devices("", f.Filter, 100)
			if len(found) != f.want || !slices.IsSortedFunc(found, func(a, b Summary) int { return strings.Compare(string(a.ID), string(b.ID)) }) {
				t.Errorf("%+v, awake %v: %d devices, want %d in order", f.Filter, awake, len(found), f.want)
			}
		}
	}
	all := p.Devices("", Filter{}, 100)
	if rest := p.Devices(string(all[9].ID), Filter{}, 100); len(rest) != 30 || rest[0].ID != all[10].ID {
		t.Errorf("after the tenth there are %d", len(rest))
	}
}

// BenchmarkSearch looks through 100,000 devices for one that is not there, and lists the first page.
func BenchmarkSearch(b *testing.B) {
	p := sleepers(b, 100_000)
	for name, f := range map[string]Filter{"nobody": {Text: "nobody"}, "page": {}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := len(p.Devices("", f, 50)); (n == 0) != (f.Text != "") {
					b.Fatal(n)
				}
			}
		})
	}
}
