package legacy

import (
	"math/rand/v2"
	"testing"
)

// limits are the domains of the functions, number for number; what lies outside has no place.
var limits = map[string][]uint32{
	"lan(a)": {maxLAN}, "port(a,b)": {maxPortLAN, maxMember}, "5000+a": {4999}, "1000+a": {8999}, "wanphy(a)": {maxWAN},
	"wan2(a,b)": {maxWAN, maxLink}, "wanip(a,b,c)": {maxWAN, maxLink, maxConn}, "wanppp(a,b,c)": {maxWAN, maxLink, maxConn},
	"pm(wanip(a,b,c),d)": {maxWAN, maxLink, maxConn, maxMapping}, "pm(wanppp(a,b,c),d)": {maxWAN, maxLink, maxConn, maxMapping},
	"pool(a,0)": {maxLAN}, "pool(a,b)": {maxLAN, maxPool}, "host(a,b)": {maxHostLAN, maxHost},
}

// tables are the functions that number rows of one table of Device:2 together: what they give must not meet.
var numberedTogether = [][]string{
	{"lan(a)", "wanip(a,b,c)", "wanppp(a,b,c)"}, // IP.Interface, Ethernet.Link
	{"port(a,b)", "5000+a", "wanphy(a)"},        // Ethernet.Interface
	{"lan(a)", "1000+a"},                        // Bridging.Bridge
	{"pool(a,0)", "pool(a,b)"},                  // DHCPv4.Server.Pool
	{"pm(wanip(a,b,c),d)", "pm(wanppp(a,b,c),d)"},
	{"wan2(a,b)"}, {"host(a,b)"},
}

// TestNumbersAreInverted: over the whole domain of each function, or a part of it taken at random where it has more than a few million members, what comes
// back is what went in, and no number stands for two rows of a table.
func TestNumbersAreInverted(t *testing.T) {
	for name := range numbers {
		if limits[name] == nil {
			t.Errorf("%s is not tested", name)
		}
	}
	for _, together := range numberedTogether {
		of := map[uint32]string{}
		for _, name := range together {
			f := numbers[name]
			domain(limits[name], func(in [maxNums]uint32) {
				x, ok := f.of(in[:])
				if !ok || x == 0 {
					t.Fatalf("%s of %v is outside", name, in)
				}
				var out [maxNums]uint32
				if !f.back(x, out[:]) || out != in {
					t.Fatalf("%s: %v gives %d, that %v", name, in, x, out)
				}
				if other, taken := of[x]; taken && other != name {
					t.Fatalf("%s and %s both give %d", name, other, x)
				}
				of[x] = name
			})
		}
		for x, name := range of {
			for _, other := range together {
				var out [maxNums]uint32
				if other != name && numbers[other].back(x, out[:]) {
					t.Fatalf("%d is %s, and %s takes it for %v", x, name, other, out)
				}
			}
		}
	}
}

// domain calls f for all numbers up to the limits, or for some.
func domain(limit []uint32, f func([maxNums]uint32)) {
	size, most := 1, 300_000
	for _, n := range limit {
		size *= int(n)
	}
	if size <= most {
		for i := range size {
			var in [maxNums]uint32
			for k, n := range limit {
				in[k], i = uint32(i%int(n))+1, i/int(n)
			}
			f(in)
		}
		return
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range most {
		var in [maxNums]uint32
		for k, n := range limit {
			in[k] = 1 + r.Uint32N(n)
			if r.IntN(4) == 0 {
				in[k] = []uint32{1, n}[r.IntN(2)] // the edges
			}
		}
		f(in)
	}
}

// TestNumbersOutside: what no function gives is nobody's row, and what is not in the domain gets no number.
func TestNumbersOutside(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, f := range numbers {
		for range 100_000 {
			x := r.Uint32() >> r.IntN(32)
			var out [maxNums]uint32
			if f.back(x, out[:]) {
				if y, ok := f.of(out[:]); !ok || y != x {
					t.Fatalf("%s: %d comes of %v, which gives %d", name, x, out, y)
				}
			}
			in := [maxNums]uint32{r.Uint32() >> r.IntN(32), r.Uint32() >> r.IntN(32), r.Uint32() >> r.IntN(32), r.Uint32() >> r.IntN(32)}
			if x, ok := f.of(in[:]); ok {
				var out [maxNums]uint32
				if !f.back(x, out[:]) {
					t.Fatalf("%s of %v is %d, which is nobody's", name, in, x)
				}
			}
		}
	}
}
