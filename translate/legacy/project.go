package legacy

import (
	"hash/fnv"
	"strconv"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// Node is an object, a row or a parameter of a CPE, under its own name.
type Node interface {
	Segment() string // the name, or the instance number
	Number() uint32  // 0: it is no row
	Param() bool
	Text() string // the value
	Settable() bool
	Each(f func(Node))
	Child(segment string) Node // nil where there is none
}

// Put takes what Project finds: an object or row (with its final dot) or a parameter of Device:2, its value, and whether it can be written; a table whether
// rows can be made in it, a row whether it can be deleted. Of a table without rows the parameters that its rows would have come with {i}.
type Put func(path, value string, settable bool)

func appendUint(b []byte, n uint32) []byte { return strconv.AppendUint(b, uint64(n), 10) }

// projection is one run of Project.
type projection struct {
	m   *Map
	put Put
	// vendors puts what makers' rules say, which nothing else overrules.
	vendors Put
	nums    [maxNums]uint32
	depth   int
	group   map[uint32]uint32 // the radio, by the number of a member
	radio   map[uint32][]wlanRow
	facts
	edges [][2]string // of the interface stack
}

// Project gives all that a CPE has in Device:2. root is the CPE's root object.
func (m *Map) Project(root Node, put Put) {
	put = distinct(put)
	p := projection{m: m, put: put, vendors: put}
	if m.vendor {
		p.letVendorsSpeak()
	}
	p.groupRadios(root)
	s := m.trie.kids[strings.TrimSuffix(m.root, ".")]
	if s == nil {
		return
	}
	p.walk(s, root)
	put("Device.RootDataModelVersion", rootVersion, false)
	p.synthesize(root)
	p.stack()
}

// Version is that of the tables and the code that goes with them: a CPE that was discovered with others is discovered again in its next session, since its rows
// may have other numbers now, and its supported data model other names.
const Version = 2

// rootVersion is the release of Device:2 that the tables are of.
const rootVersion = "2.16"

func (p *projection) walk(s *step, n Node) {
	if s.mark != plain && !p.meet(s.mark, n) {
		return
	}
	for _, r := range s.rules {
		p.apply(r, n)
	}
	if n.Param() {
		return
	}
	if s.row != nil {
		p.table(s, n)
	}
	n.Each(func(k Node) {
		num := k.Number()
		if num == 0 {
			if next := s.kids[k.Segment()]; next != nil {
				p.walk(next, k)
			}
			return
		}
		if s.row == nil || p.depth == len(p.nums) {
			return
		}
		p.nums[p.depth] = num
		p.depth++
		p.walk(s.row, k)
		p.depth--
		p.nums[p.depth] = 0
	})
	for _, name := range s.tables {
		if n.Child(name) == nil && n.Child(name+countSuffix) != nil {
			p.table(s.kids[name], unlisted(name))
		}
	}
}

// unlisted is a table that a CPE counts the rows of and does not list, having none: rows can be made in it like in any other.
type unlisted string

// Segment implements Node.
func (u unlisted) Segment() string { return string(u) }

// Number implements Node.
func (unlisted) Number() uint32 { return 0 }

// Param implements Node.
func (unlisted) Param() bool { return false }

// Text implements Node.
func (unlisted) Text() string { return "" }

// Settable implements Node.
func (unlisted) Settable() bool { return true }

// Each implements Node.
func (unlisted) Each(func(Node)) {}

// Child implements Node.
func (unlisted) Child(string) Node { return nil }

// apply puts what a rule makes of a node.
func (p *projection) apply(r *rule, n Node) {
	if !r.reads || n.Param() == r.object {
		return
	}
	if !p.holds(r, n) {
		return
	}
	if r.radio && p.group[port(p.nums[0], p.nums[1])] != port(p.nums[0], p.nums[1]) {
		return
	}
	path, ok := r.place(p.nums[:])
	if !ok {
		return
	}
	if r.object {
		p.put(path, "", r.addable && n.Settable())
		return
	}
	v := n.Text()
	if r.conv.to != nil {
		v = r.conv.to(v)
	}
	if r.reference {
		v = p.refer(v)
	}
	put := p.put
	if r.vendor {
		put = p.vendors
	}
	put(path, datamodel.Normalize("", r.typ, v), r.writes && n.Settable())
}

// functional says whether the target's instance numbers are functions of the source's.
func (r *rule) functional() bool { return len(r.numbers) == len(r.to)-1 }

// place is the path of a rule's target.
func (r *rule) place(nums []uint32) (string, bool) {
	var to [maxNums]uint32
	for i, f := range r.numbers {
		x, ok := f.of(nums)
		if !ok {
			return "", false
		}
		to[i] = x
	}
	return fill(r.to, to[:]), r.functional()
}

// table puts a table that rows can be made in, and what they would have where there is none.
func (p *projection) table(s *step, n Node) {
	for _, r := range s.row.rules {
		if !r.reads || !r.object || r.radio || !strings.HasSuffix(r.target, "{i}.") {
			continue
		}
		if s.row.mark == plain && !p.holds(r, n) {
			continue // the row that the table is in is another one in Device:2
		}
		table, ok := r.table(p.nums, p.depth)
		if !ok {
			continue
		}
		p.put(table, "", r.addable && n.Settable())
		if r.addable && r.rowless(n) {
			p.columns(s.row, r, table+"{i}.")
		}
	}
}

// rowless says whether none of an own table's rows is one of the rule's.
func (r *rule) rowless(table Node) bool {
	empty := true
	table.Each(func(k Node) {
		switch {
		case k.Number() == 0:
		case r.only == served && relays(k), r.only == relayed && !relays(k):
		default:
			empty = false
		}
	})
	return empty
}

// table is the Device:2 table of the rows of an own table, if that is the same for all of them.
func (r *rule) table(nums [maxNums]uint32, depth int) (string, bool) {
	var tables [2]string
	for i := range tables {
		nums[depth] = uint32(i + 1)
		row, ok := r.place(nums[:])
		if !ok {
			return "", false
		}
		tables[i] = row[:strings.LastIndexByte(row[:len(row)-1], '.')+1]
	}
	return tables[0], tables[0] == tables[1]
}

// columns puts the parameters that rows would have.
func (p *projection) columns(s *step, object *rule, row string) {
	for _, k := range s.kids {
		for _, r := range k.rules {
			if name, ok := strings.CutPrefix(r.target, object.target); ok && r.reads && !r.object && !strings.Contains(name, "{i}") {
				p.put(row+name, "", r.writes)
			}
		}
	}
	if s.mark == ipMapping || s.mark == pppMapping {
		p.put(row+"Interface", "", true)
		p.put(row+"AllInterfaces", "", true)
	}
}

// refer gives a reference of the CPE the form of Device:2; what has no place there is empty.
func (p *projection) refer(list string) string {
	if list == "" {
		return ""
	}
	var items []string
	for item := range strings.SplitSeq(list, ",") {
		if row := p.m.refer(strings.TrimSpace(item)); row != "" {
			items = append(items, row)
		}
	}
	return strings.Join(items, ",")
}

// refer gives the first row of Device:2 that a row of the CPE is.
func (m *Map) refer(own string) string {
	if own == "" {
		return ""
	}
	rows := m.Rows(strings.TrimSuffix(own, ".") + ".")
	if len(rows) == 0 {
		return ""
	}
	row := rows[0]
	if i := strings.Index(row, ".IPv4Address."); i >= 0 {
		row = row[:i+1] // in TR-098 the address is the interface
	}
	return strings.TrimSuffix(row, ".")
}

// stack puts the interface stack: a row for each edge, numbered by what it joins, so that it keeps its number.
func (p *projection) stack() {
	taken := map[uint32]bool{}
	for _, e := range p.edges {
		h := fnv.New32a()
		_, _ = h.Write([]byte(e[0] + ">" + e[1]))
		n := stackFirst + h.Sum32()%stackRange
		for ; taken[n]; n++ {
		}
		taken[n] = true
		row := "Device.InterfaceStack." + strconv.FormatUint(uint64(n), 10) + "."
		p.put(row, "", false)
		p.put(row+"HigherLayer", e[0], false)
		p.put(row+"LowerLayer", e[1], false)
	}
}

// The instance numbers of the interface stack are above those that functions of the CPE's give.
const (
	stackFirst = 3_000_000_000
	stackRange = 1_000_000_000
)

// lower puts what lies below an interface.
func (p *projection) lower(higher string, lower ...string) {
	for _, l := range lower {
		p.edges = append(p.edges, [2]string{higher, l})
	}
	p.put(higher+".LowerLayers", strings.Join(lower, ","), false)
}

// text is the value of a parameter of an object, "" where it has none.
func text(n Node, path ...string) string {
	if k := child(n, path...); k != nil {
		return k.Text()
	}
	return ""
}

func child(n Node, path ...string) Node {
	for _, seg := range path {
		if n == nil {
			return nil
		}
		n = n.Child(seg)
	}
	return n
}

// isTrue says whether a Boolean is; CPE say it in several ways.
func isTrue(v string) bool { return datamodel.Normalize("", agent.TypeBoolean, v) == "true" }
