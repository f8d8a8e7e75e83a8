package legacy

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"
)

// testNode is a node of a tree made by a test. Numbered segments are rows.
type testNode struct {
	name     string
	num      uint32
	param    bool
	settable bool
	value    string
	kids     []*testNode
}

func (n *testNode) Segment() string { return n.name }
func (n *testNode) Number() uint32  { return n.num }
func (n *testNode) Param() bool     { return n.param }
func (n *testNode) Text() string    { return n.value }
func (n *testNode) Settable() bool  { return n.settable }

func (n *testNode) Each(f func(Node)) {
	for _, k := range n.kids {
		f(k)
	}
}

func (n *testNode) Child(segment string) Node {
	if k := n.kid(segment); k != nil {
		return k
	}
	return nil
}

func (n *testNode) kid(segment string) *testNode {
	for _, k := range n.kids {
		if k.name == segment {
			return k
		}
	}
	return nil
}

// at finds or makes what a path names.
func (n *testNode) at(path string) *testNode {
	for seg := range strings.SplitSeq(strings.TrimSuffix(path, "."), ".") {
		k := n.kid(seg)
		if k == nil {
			num, _ := number32(seg)
			k = &testNode{name: seg, num: num}
			n.kids = append(n.kids, k)
		}
		n = k
	}
	n.param = !strings.HasSuffix(path, ".")
	return n
}

// entry is a line of a table of the older data models.
type entry struct {
	path, kind, access, typ, flags string
	enum                           []string
}

// olderModel reads the table of an older data model.
func olderModel(t testing.TB, name string) (entries []entry) {
	t.Helper()
	f, err := os.Open("../datamodel/tables/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		c := strings.Split(s.Text(), "\t")
		e := entry{path: c[0], kind: c[1], access: c[2], typ: c[3], flags: c[4]}
		if c[8] != "" {
			e.enum = strings.Split(c[8], "|")
		}
		entries = append(entries, e)
	}
	return entries[1:]
}

// full is a CPE that has all of an older data model, with one row in every table and a value that the model allows in every parameter. Objects that
// exclude one another are there together.
func full(t testing.TB, table string, with map[string]string) *testNode {
	t.Helper()
	top := &testNode{}
	entries := olderModel(t, table)
	for _, e := range entries {
		n := top.at(strings.ReplaceAll(e.path, "{i}", "1"))
		n.settable = e.access == "rw" || e.access == "w" || strings.HasPrefix(e.access, "add") || e.access == "del"
		if n.param {
			n.value = sample(e)
		}
	}
	service := top.at(entries[0].path + "Services.X_TEST_Service.1.Name")
	service.value, service.settable = "s", true
	for path, v := range with {
		n := top.at(path)
		n.value, n.settable = v, true
	}
	return top.kids[0]
}

// sample is a value of a parameter.
func sample(e entry) string {
	switch {
	case len(e.enum) > 0:
		return e.enum[0]
	case e.typ == "boolean":
		return "true"
	case slices.Contains([]string{"int", "unsignedInt", "long", "unsignedLong"}, e.typ):
		return "1"
	case e.typ == "dateTime":
		return "2026-01-02T03:04:05Z"
	case e.typ == "base64":
		return "AQI="
	case strings.Contains(e.path, "MAC"), strings.Contains(e.path, "BSSID"):
		return "00:11:22:33:44:55"
	case strings.Contains(e.path, "Mask"):
		return "255.255.255.0"
	case strings.Contains(e.path, "Address"):
		return "192.0.2.1"
	}
	return "x"
}

// shown is what a Map makes of a CPE.
type shown struct {
	value    map[string]string
	settable map[string]bool
}

func project(m *Map, top Node) shown {
	s := shown{map[string]string{}, map[string]bool{}}
	m.Project(top, func(path, value string, settable bool) {
		s.value[path] = value
		s.settable[path] = s.settable[path] || settable
	})
	return s
}
