package legacy

import (
	"strconv"
	"strings"
)

// number is how an instance number of Device:2 comes of those that the older data model nests, and back. Both are pure functions: nothing has to be
// kept, and whoever computes them gets the same.
type number struct {
	// of gives the number; false outside of the domain.
	of func(nums []uint32) (uint32, bool)
	// back puts the numbers that it came of into nums; false where it is none of these.
	back func(x uint32, nums []uint32) bool
}

// Limits of the domains: what does not fit keeps no digits to be read back.
const (
	maxLAN     = 99
	maxMember  = 99 // of the interfaces of one kind in a LANDevice
	maxPortLAN = 49
	maxWAN     = 20
	maxLink    = 99
	maxConn    = 49
	pppOffset  = 50
	maxMapping = 9999
	maxPool    = 999
	maxHostLAN = 5
	maxHost    = 99999
)

// maxNums is how deep the older data models nest tables, at least.
const maxNums = 6

func in(n, low, high uint32) bool { return low <= n && n <= high }

// port numbers the interfaces of all LANDevices in one table.
func port(a, b uint32) uint32 { return 100*(a-1) + b }

func connection(a, b, c uint32) uint32 { return 10000*a + 100*b + c }

// numbers are the functions of column instance.
var numbers = map[string]number{
	"lan(a)": {
		func(n []uint32) (uint32, bool) { return n[0], in(n[0], 1, maxLAN) },
		func(x uint32, n []uint32) bool { n[0] = x; return in(x, 1, maxLAN) },
	},
	"port(a,b)": {
		func(n []uint32) (uint32, bool) {
			return port(n[0], n[1]), in(n[0], 1, maxPortLAN) && in(n[1], 1, maxMember)
		},
		func(x uint32, n []uint32) bool {
			n[0], n[1] = (x-1)/100+1, (x-1)%100+1
			return x != 0 && in(n[0], 1, maxPortLAN) && in(n[1], 1, maxMember)
		},
	},
	"5000+a": offset(5000, 4999),
	"1000+a": offset(1000, 8999),
	"wanphy(a)": {
		func(n []uint32) (uint32, bool) { return 10000 * n[0], in(n[0], 1, maxWAN) },
		func(x uint32, n []uint32) bool { n[0] = x / 10000; return x%10000 == 0 && in(n[0], 1, maxWAN) },
	},
	"wan2(a,b)": {
		func(n []uint32) (uint32, bool) { return 100*n[0] + n[1], in(n[0], 1, maxWAN) && in(n[1], 1, maxLink) },
		func(x uint32, n []uint32) bool {
			n[0], n[1] = x/100, x%100
			return in(n[0], 1, maxWAN) && in(n[1], 1, maxLink)
		},
	},
	"wanip(a,b,c)":        wan(0),
	"wanppp(a,b,c)":       wan(pppOffset),
	"pm(wanip(a,b,c),d)":  ofConnection(wan(0)),
	"pm(wanppp(a,b,c),d)": ofConnection(wan(pppOffset)),
	"pool(a,0)": {
		func(n []uint32) (uint32, bool) { return 1000 * n[0], in(n[0], 1, maxLAN) },
		func(x uint32, n []uint32) bool { n[0] = x / 1000; return x%1000 == 0 && in(n[0], 1, maxLAN) },
	},
	"pool(a,b)": {
		func(n []uint32) (uint32, bool) { return 1000*n[0] + n[1], in(n[0], 1, maxLAN) && in(n[1], 1, maxPool) },
		func(x uint32, n []uint32) bool {
			n[0], n[1] = x/1000, x%1000
			return in(n[0], 1, maxLAN) && in(n[1], 1, maxPool)
		},
	},
	"host(a,b)": {
		func(n []uint32) (uint32, bool) {
			return 100000*(n[0]-1) + n[1], in(n[0], 1, maxHostLAN) && in(n[1], 1, maxHost)
		},
		func(x uint32, n []uint32) bool {
			n[0], n[1] = (x-1)/100000+1, (x-1)%100000+1
			return x != 0 && in(n[0], 1, maxHostLAN) && in(n[1], 1, maxHost)
		},
	},
}

func offset(by, most uint32) number {
	return number{
		func(n []uint32) (uint32, bool) { return by + n[0], in(n[0], 1, most) },
		func(x uint32, n []uint32) bool { n[0] = x - by; return in(x, by+1, by+most) },
	}
}

// wan numbers the connections of all WANConnectionDevices in one table, those with PPP beside those without.
func wan(by uint32) number {
	return number{
		func(n []uint32) (uint32, bool) {
			return connection(n[0], n[1], by+n[2]), in(n[0], 1, maxWAN) && in(n[1], 1, maxLink) && in(n[2], 1, maxConn)
		},
		func(x uint32, n []uint32) bool {
			n[0], n[1], n[2] = x/10000, x/100%100, x%100-by
			return in(n[0], 1, maxWAN) && in(n[1], 1, maxLink) && in(x%100, by+1, by+maxConn)
		},
	}
}

// ofConnection numbers rows in the connections, the port mappings.
func ofConnection(conn number) number {
	return number{
		func(n []uint32) (uint32, bool) {
			x, ok := conn.of(n)
			return 10000*x + n[3], ok && in(n[3], 1, maxMapping)
		},
		func(x uint32, n []uint32) bool {
			n[3] = x % 10000
			return conn.back(x/10000, n) && in(n[3], 1, maxMapping)
		},
	}
}

// parseNumbers reads column instance: a number for each of count tables of the target. An instance that is no function of the source's numbers, or one
// of what else the CPE says, is refused.
func parseNumbers(instance string, count int) ([]number, bool) {
	if instance == "same" || instance == "" {
		instance = "x=a;y=b;z=c;w=d"
	}
	exprs := strings.Split(instance, ";")
	if count == 0 {
		return []number{}, true
	}
	if len(exprs) < count {
		return nil, false
	}
	out := make([]number, count)
	for i := range out {
		_, expr, ok := strings.Cut(exprs[i], "=")
		if !ok {
			return nil, false
		}
		switch n, known := numbers[expr]; {
		case known:
			out[i] = n
		case expr == "radio(a,b)":
			out[i] = numbers["port(a,b)"]
		case len(expr) == 1 && in(uint32(expr[0]), 'a', 'f'):
			at := int(expr[0] - 'a')
			out[i] = number{
				func(n []uint32) (uint32, bool) { return n[at], n[at] != 0 },
				func(x uint32, n []uint32) bool { n[at] = x; return true },
			}
		default:
			c, err := strconv.ParseUint(expr, 10, 32)
			if err != nil {
				return nil, false
			}
			out[i] = number{
				func([]uint32) (uint32, bool) { return uint32(c), true },
				func(x uint32, _ []uint32) bool { return x == uint32(c) },
			}
		}
	}
	return out, true
}
