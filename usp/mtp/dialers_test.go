package mtp

import (
	"slices"
	"testing"
)

// TestOnlyShares: what a fleet shares is not copied for each of its Agents.
func TestOnlyShares(t *testing.T) {
	list := func(protocols string) (out []Target) {
		for i, p := range protocols {
			out = append(out, Target{Protocol: string(p), Port: i})
		}
		return out
	}
	for _, c := range []struct {
		of     string
		want   []int
		copied bool
	}{
		{"", nil, false},
		{"b", nil, false},
		{"aa", []int{0, 1}, false},
		{"baab", []int{1, 2}, false},
		{"aba", []int{0, 2}, true},
	} {
		to := list(c.of)
		var ports []int
		got := only("a", to)
		for _, g := range got {
			ports = append(ports, g.Port)
		}
		if !slices.Equal(ports, c.want) || cap(got) != len(got) && !c.copied {
			t.Errorf("%s: %v", c.of, ports)
		}
		if len(got) > 0 && (&got[0] != &to[got[0].Port]) != c.copied {
			t.Errorf("%s: copied %v", c.of, !c.copied)
		}
	}
}
