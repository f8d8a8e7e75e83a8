package translate

import (
	"strconv"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// mapped is the view that proves the seam: a renamed subtree (Device.WiFi.), shifted instance numbers (NAT.PortMapping), one parameter
// of the CPE that is two in Device:2 (the NTP servers) and two that are one (LocalTimeZone). TR-098 comes under the same interface.
type mapped struct{}

const (
	shift      = 1000
	ownWiFi    = "Device.X_TEST_WLAN."
	ownServers = "Device.Time.X_TEST_Servers"
	ownZone    = "Device.Time.X_TEST_Zone"
	ownOffset  = "Device.Time.X_TEST_Offset"
	server1    = "Device.Time.NTPServer1"
	server2    = "Device.Time.NTPServer2"
	zone       = "Device.Time.LocalTimeZone"
	mappings   = "Device.NAT.PortMapping."
)

// shifted changes the instance number that follows a table's path.
func shifted(path string, by int) string {
	rest, ok := strings.CutPrefix(path, mappings)
	if !ok {
		return path
	}
	seg, tail, dot := strings.Cut(rest, ".")
	n, err := strconv.Atoi(seg)
	if err != nil {
		return path
	}
	if n += by; n < 1 {
		n = 1 << 30
	}
	path = mappings + strconv.Itoa(n)
	if dot {
		path += "." + tail
	}
	return path
}

func ownName(path string) []string {
	switch path {
	case server1, server2:
		return []string{ownServers}
	case zone:
		return []string{ownZone, ownOffset}
	}
	if tail, ok := strings.CutPrefix(path, "Device.WiFi."); ok {
		return []string{ownWiFi + tail}
	}
	return []string{shifted(path, -shift)}
}

func shownName(own string) []string {
	switch {
	case datamodel.Hidden(own):
		return nil
	case own == ownServers:
		return []string{server1, server2}
	case own == ownZone, own == ownOffset:
		return []string{zone}
	}
	if tail, ok := strings.CutPrefix(own, ownWiFi); ok {
		return []string{"Device.WiFi." + tail}
	}
	return []string{shifted(own, shift)}
}

func value(t *tree, own string) string {
	if n := t.get(own); n != nil {
		return n.value
	}
	return ""
}

func (mapped) Needs(q agent.Query) []need {
	if datamodel.Hidden(q.Path) {
		return nil
	}
	var needs []need
	for _, own := range ownName(q.Path) {
		needs = append(needs, need{path: own, depth: q.Depth, rowsOnly: q.RowsOnly})
	}
	return needs
}

func (mapped) Render(t *tree, q agent.Query) []agent.Object {
	shown := newTree()
	t.walk("Device.", 0, func(path string, n *node) {
		for _, p := range shownName(path) {
			k := shown.put(p)
			switch p {
			case server1:
				k.value, _, _ = strings.Cut(n.value, ";")
			case server2:
				_, k.value, _ = strings.Cut(n.value, ";")
			case zone:
				k.value = value(t, ownZone) + value(t, ownOffset)
			default:
				k.value = n.value
			}
		}
	})
	return identity{}.Render(shown, q)
}

func (mapped) Writes(t *tree, writes []agent.Write) ([]cpeWrite, error) {
	if _, err := (identity{}).Writes(t, writes); err != nil {
		return nil, err
	}
	var out []cpeWrite
	servers := -1
	for i, w := range writes {
		switch w.Path {
		case server1, server2:
			if servers < 0 {
				servers = len(out)
				out = append(out, cpeWrite{path: ownServers, value: value(t, ownServers)})
			}
			one, two, _ := strings.Cut(out[servers].value, ";")
			if w.Path == server1 {
				one = w.Value
			} else {
				two = w.Value
			}
			out[servers].value = one + ";" + two
			out[servers].from = append(out[servers].from, i)
		case zone:
			cut := min(3, len(w.Value))
			out = append(out, cpeWrite{path: ownZone, value: w.Value[:cut], from: []int{i}}, cpeWrite{path: ownOffset, value: w.Value[cut:], from: []int{i}})
		default:
			out = append(out, cpeWrite{path: ownName(w.Path)[0], value: w.Value, from: []int{i}})
		}
	}
	return out, nil
}

func (mapped) Table(_ *tree, table string, _ []agent.Setting) string { return ownName(table)[0] }

func (mapped) Moves(*tree, []change) (created, deleted []string) { return nil, nil }

func (v mapped) Changes(t *tree, changes []change) []*agent.ValueChange {
	return rendered(v, t, changes)
}

func (mapped) Row(row string) string      { return ownName(row)[0] }
func (mapped) Rows(own string) []string   { return shownName(own) }
func (mapped) Params(own string) []string { return shownName(own) }

func (mapped) Diagnostics(_ *tree, object string, _ map[string]string) (string, map[string]string) {
	return object, nil
}

func (mapped) Names(t *tree) []datamodel.Name {
	var out []datamodel.Name
	seen := map[string]bool{}
	for _, n := range t.names(deviceRoot) {
		for _, p := range shownName(n.Path) {
			if !seen[p] {
				seen[p] = true
				out = append(out, datamodel.Name{Path: p, Writable: n.Writable, Type: n.Type})
			}
		}
	}
	return out
}
