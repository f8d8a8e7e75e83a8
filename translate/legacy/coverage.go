package legacy

import (
	"slices"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// Leaf is a parameter that a CPE has, and what becomes of it.
type Leaf struct {
	Path     string
	Standard bool     // it is in the older data model, not the maker's own
	Mapped   bool     // something in Device:2 is made of it
	Places   []string // where, as far as that is one parameter's doing
	Reason   string   // why nothing is made of it
}

// Entry is an object, row (with its final dot) or parameter of a CPE.
type Entry struct {
	Path, Value string
	Writable    bool
}

// Coverage says of each parameter of a CPE what becomes of it. m has no vendor's rules; vendor is for TR098 and may be nil.
func (m *Map) Coverage(entries []Entry, vendor *Vendor) []Leaf {
	rows := m.rows()
	if vendor != nil {
		m, rows = m.With(vendor), append(rows, vendor.rows...)
	}
	top := &dumped{}
	for _, e := range entries {
		top.add(e)
	}
	shown := map[string]bool{}
	if root := top.kid(strings.TrimSuffix(m.root, ".")); root != nil {
		m.Project(root, func(path, _ string, _ bool) { shown[agent.GenericPath(path)] = true })
	}
	said := map[string]*named{}
	for _, r := range rows {
		n := said[r.Own]
		if n == nil {
			n = &named{standard: r.Vendor == "", reason: r.reason()}
			said[r.Own] = n
		}
		n.shown = n.shown || shown[r.Target] || strings.HasSuffix(r.Target, countSuffix) && !datamodel.Hidden(r.Target)
	}
	var leaves []Leaf
	top.each("", func(path string, n *dumped) {
		l := Leaf{Path: path, Mapped: n.used}
		if s := said[agent.GenericPath(path)]; s != nil {
			l.Standard, l.Mapped, l.Reason = s.standard, l.Mapped || s.shown, s.reason
		} else {
			l.Reason = "no table names it"
		}
		if m.beyond(path) {
			l.Mapped, l.Reason = false, beyondDomain
		}
		if strings.HasPrefix(path, m.root+"Services.") && !strings.Contains(path, ".X_") {
			l.Standard = true // of a model of its own, which is no part of the tables
		}
		if l.Mapped {
			l.Places, l.Reason = m.Params(path), ""
		}
		leaves = append(leaves, l)
	})
	return leaves
}

// beyondDomain is the reason for what is in a row whose number Device:2's cannot be made of (number.go).
const beyondDomain = "its instance numbers are beyond those that numbers of Device:2 are made of"

// beyond says whether a parameter, or a row that it is in, would be shown if only its instance numbers were smaller.
func (m *Map) beyond(own string) bool {
	for i := range len(own) {
		if own[i] != '.' {
			continue
		}
		if _, isRow := number32(own[strings.LastIndexByte(own[:i], '.')+1 : i]); isRow && m.outside(own[:i+1]) {
			return true
		}
	}
	return m.outside(own)
}

// outside says whether there are rules for a row or parameter, none of which has a number for it.
func (m *Map) outside(own string) bool {
	s, nums := m.find(own)
	if s == nil {
		return false
	}
	found := false
	for _, r := range s.rules {
		if !r.reads || !r.functional() {
			continue
		}
		if _, ok := r.place(nums[:]); ok {
			return false
		}
		found = true
	}
	return found
}

// named is what tables say of a parameter.
type named struct {
	standard bool
	shown    bool // Device:2 has a place for it, and something is there
	reason   string
}

// reason is why a row comes to nothing, if it does.
func (row *Row) reason() string {
	why, left := covered(unshown, row.Target)
	if !left {
		why, left = covered(unusedSources, row.Own)
	}
	switch {
	case left:
		return "not shown as " + row.Target + ": " + why
	case row.Note != "" && row.Target == "":
		return row.Note
	case row.Target == "":
		return "Device:2 has nothing like it"
	case datamodel.Hidden(row.Target):
		return "the management of the CPE is the proxy's"
	case row.Note != "":
		return "not shown as " + row.Target + ": " + row.Note
	}
	return "not shown as " + row.Target
}

// dumped is a Node of a dump that knows whether its value was used.
type dumped struct {
	name, value string
	number      uint32
	object      bool
	writable    bool
	used        bool
	kids        []*dumped
}

func (d *dumped) add(e Entry) {
	n := d
	for seg := range strings.SplitSeq(strings.TrimSuffix(e.Path, "."), ".") {
		k := n.kid(seg)
		if k == nil {
			k = &dumped{name: seg}
			k.number, _ = number32(seg)
			n.kids = append(n.kids, k)
		}
		n.object = true
		n = k
	}
	n.value, n.writable, n.object = e.Value, e.Writable, n.object || strings.HasSuffix(e.Path, ".")
}

func (d *dumped) kid(name string) *dumped {
	if i := slices.IndexFunc(d.kids, func(k *dumped) bool { return k.name == name }); i >= 0 {
		return d.kids[i]
	}
	return nil
}

func (d *dumped) each(path string, f func(path string, n *dumped)) {
	for _, k := range d.kids {
		if !k.object {
			f(path+k.name, k)
		}
		k.each(path+k.name+".", f)
	}
}

// Segment and the others make it a Node.
func (d *dumped) Segment() string { return d.name }

// Number is that of a row.
func (d *dumped) Number() uint32 { return d.number }

// Param says whether it is one.
func (d *dumped) Param() bool { return !d.object }

// Text is the value, which is used from then on.
func (d *dumped) Text() string { d.used = true; return d.value }

// Settable says whether it can be written.
func (d *dumped) Settable() bool { return d.writable }

// Each calls f with what is in it.
func (d *dumped) Each(f func(Node)) {
	for _, k := range d.kids {
		f(k)
	}
}

// Child finds what is in it.
func (d *dumped) Child(segment string) Node {
	if k := d.kid(segment); k != nil {
		return k
	}
	return nil
}
