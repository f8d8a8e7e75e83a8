package translate

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// tree is what is known of a CPE, under the CPE's own names: which objects and parameters exist and what their values were, with
// times in Unix milliseconds. It is not safe for concurrent use; Device.mu guards it.
type tree struct {
	root  *node
	dirty bool // changed since the last snapshot

	// informed are the nodes of the last Inform's parameters, nil for those that have none: the next Inform is mostly about the same.
	informed   []*node
	informedOf uint64 // their names' hash

	shown atomic.Pointer[tree] // what a view has made of it, in Device:2 names; nil: nothing, or something has changed since
}

// node is an object, an instance or a parameter.
type node struct {
	name     string
	num      uint32 // instance number, 0 for a name
	kids     []*node
	param    bool
	writable bool
	value    string
	typ      string // xsd type without prefix, as the CPE reported it
	at       int64  // of a parameter: when the value was read; of an object: when everything below was listed
}

func newTree() *tree { return &tree{root: &node{}} }

// segment parses one path segment.
func segment(s string) (name string, num uint32) {
	if s != "" && s[0] <= '9' && agent.IsInstance(s) {
		if n, err := strconv.ParseUint(s, 10, 32); err == nil {
			return s, uint32(n)
		}
	}
	return s, 0
}

// kid finds a child by its segment, nil where there is none.
func (n *node) kid(seg string) *node {
	if i, ok := n.find(segment(seg)); ok {
		return n.kids[i]
	}
	return nil
}

// find gives the index of a child, or where it belongs: names before numbers, each in order.
func (n *node) find(name string, num uint32) (int, bool) {
	lo, hi := 0, len(n.kids)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		k := n.kids[mid]
		if k.num < num || k.num == num && k.name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(n.kids) && n.kids[lo].num == num && n.kids[lo].name == name
}

// get finds a parameter ("A.B") or an object ("A.B."), nil where there is none.
func (t *tree) get(path string) *node {
	n := t.root
	object := strings.HasSuffix(path, ".")
	for rest := strings.TrimSuffix(path, "."); rest != "" && n != nil; {
		var seg string
		seg, rest, _ = strings.Cut(rest, ".")
		n = n.kid(seg)
	}
	if n == nil || n == t.root || n.param == object {
		return nil
	}
	return n
}

// put makes a parameter or an object exist.
func (t *tree) put(path string) *node {
	n := t.root
	param := !strings.HasSuffix(path, ".")
	for rest := strings.TrimSuffix(path, "."); rest != ""; {
		var seg string
		seg, rest, _ = strings.Cut(rest, ".")
		name, num := segment(seg)
		i, ok := n.find(name, num)
		if !ok {
			n.kids = slices.Insert(n.kids, i, &node{name: strings.Clone(name), num: num, param: param && rest == ""})
			t.dirty = true
			t.shown.Store(nil)
		}
		n = n.kids[i]
	}
	return n
}

// set stores a value that was read at a time and says whether it differs from the one known before; known is false where there
// was none.
func (t *tree) set(path, value, typ string, at int64) (old string, changed, known bool) {
	return t.setNode(t.put(path), value, typ, at)
}

// setNode is set for a node at hand.
func (t *tree) setNode(n *node, value, typ string, at int64) (old string, changed, known bool) {
	if !n.param {
		return "", false, false // the CPE gives a value to what it calls an object elsewhere
	}
	old, known = n.value, n.at != 0 || n.value != ""
	changed = n.value != value
	if changed {
		n.value = strings.Clone(value)
		t.shown.Store(nil)
	}
	if typ != "" && n.typ != typ {
		n.typ = strings.Clone(typ)
	}
	n.at = at
	t.dirty = true
	return old, changed, known
}

// remove deletes a parameter or an object with all below it.
func (t *tree) remove(path string) {
	trimmed := strings.TrimSuffix(path, ".")
	i := strings.LastIndexByte(trimmed, '.') + 1
	parent := t.root
	if i > 0 {
		if parent = t.get(trimmed[:i]); parent == nil {
			return
		}
	}
	name, num := segment(trimmed[i:])
	if j, ok := parent.find(name, num); ok {
		parent.kids = slices.Delete(parent.kids, j, j+1)
		t.dirty, t.informed = true, nil
		t.shown.Store(nil)
	}
}

// walk calls f for every node that matches a path, in tree order: a parameter for a parameter path; for an object path the object
// and everything below it down to depth levels (0: all). "*" matches instance numbers. The path given to f has its final dot for
// objects.
func (t *tree) walk(path string, depth int, f func(path string, n *node)) {
	object := strings.HasSuffix(path, ".")
	if !strings.Contains(path, "*") {
		switch n := t.get(path); {
		case n == nil:
		case object:
			below(n, path, levels(depth), f)
		default:
			f(path, n)
		}
		return
	}
	var segs [64]string
	n := 0
	for rest := strings.TrimSuffix(path, "."); rest != ""; n++ {
		if n == len(segs) {
			return // deeper than any data model
		}
		segs[n], rest, _ = strings.Cut(rest, ".")
	}
	t.match(t.root, "", segs[:n], object, depth, f)
}

func (t *tree) match(n *node, at string, segs []string, object bool, depth int, f func(string, *node)) {
	if len(segs) == 0 {
		switch {
		case !object && n.param:
			f(at[:len(at)-1], n)
		case object && !n.param:
			below(n, at, levels(depth), f)
		}
		return
	}
	if segs[0] == "*" {
		for _, k := range n.kids {
			if k.num != 0 {
				t.match(k, at+k.name+".", segs[1:], object, depth, f)
			}
		}
		return
	}
	if k := n.kid(segs[0]); k != nil {
		t.match(k, at+k.name+".", segs[1:], object, depth, f)
	}
}

// levels makes the depth of a query a number of levels: 0 is no limit.
func levels(depth int) int {
	if depth == 0 {
		return math.MaxInt
	}
	return depth
}

// below visits an object and what is under it. An instance number is not a level of its own (R-GET.5).
func below(n *node, at string, depth int, f func(string, *node)) {
	f(at, n)
	for _, k := range n.kids {
		if k.param {
			f(at+k.name, k)
		}
	}
	for _, k := range n.kids {
		switch {
		case k.param:
		case k.num != 0:
			below(k, at+k.name+".", depth, f)
		case depth > 1:
			below(k, at+k.name+".", depth-1, f)
		}
	}
}

// rows calls f for the rows that there are at an object and below, in tree order.
func (t *tree) rows(object string, f func(path string)) {
	if n := t.get(object); n != nil {
		n.rows(object, f)
	}
}

func (n *node) rows(at string, f func(string)) {
	if n.num != 0 {
		f(at)
	}
	for _, k := range n.kids {
		if !k.param {
			k.rows(at+k.name+".", f)
		}
	}
}

// size counts what there is.
func (t *tree) size() int { return t.root.size() - 1 }

func (n *node) size() int {
	sum := 1
	for _, k := range n.kids {
		sum += k.size()
	}
	return sum
}

// instances lists the row numbers of a table.
func (n *node) instances() []uint32 {
	var nums []uint32
	for _, k := range n.kids {
		if k.num != 0 && !k.param {
			nums = append(nums, k.num)
		}
	}
	return nums
}

// listedAt says when everything below an object was listed last: by a listing of its own or of an object above it.
func (t *tree) listedAt(path string) int64 {
	n, at := t.root, t.root.at
	for rest := strings.TrimSuffix(path, "."); rest != ""; {
		var seg string
		seg, rest, _ = strings.Cut(rest, ".")
		if n = n.kid(seg); n == nil {
			break
		}
		at = max(at, n.at*b2i(!n.param))
	}
	return at
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// doubt makes the listing of an object too old, and only that: what was listed together with it keeps its time. It was listed all the same: what
// another listing finds is news.
func (t *tree) doubt(object string) {
	n := t.root
	for rest := strings.TrimSuffix(object, "."); rest != "" && n != nil; {
		for _, k := range n.kids {
			if !k.param {
				k.at = max(k.at, n.at)
			}
		}
		n.at = min(n.at, longAgo)
		var seg string
		seg, rest, _ = strings.Cut(rest, ".")
		n = n.kid(seg)
	}
	if n != nil && !n.param {
		at := min(n.at, longAgo)
		n.unlisted()
		n.at = at
	}
}

// unlisted forgets when an object and those below it were listed.
func (n *node) unlisted() {
	if n.param {
		return
	}
	n.at = 0
	for _, k := range n.kids {
		k.unlisted()
	}
}

// listed replaces what is known to exist below an object by a listing taken at a time. It returns the rows that came and went, in
// tree order; rows of a table that was never listed before are not news.
func (t *tree) listed(object string, names []listedName, at int64) (created, deleted []string) {
	before := map[string]bool{}
	known := t.listedAt(object) != 0
	t.rows(object, func(p string) { before[p] = true })
	seen := map[*node]bool{}
	for _, l := range names {
		if !strings.HasPrefix(l.path, object) {
			continue // a listing may hold the siblings of what was asked for
		}
		n := t.put(l.path)
		n.writable = l.writable
		for p := l.path; len(p) > len(object); p = agentParent(p) {
			if k := t.get(p); k != nil {
				seen[k] = true
			}
		}
	}
	if top := t.get(object); top != nil {
		prune(top, seen)
		t.informed = nil
	}
	top := t.put(object)
	top.at = at
	t.dirty = true
	t.shown.Store(nil)
	t.rows(object, func(p string) {
		if !before[p] {
			created = append(created, p)
		}
		delete(before, p)
	})
	for p := range before {
		deleted = append(deleted, p)
	}
	slices.Sort(deleted)
	if !known {
		return nil, nil
	}
	return created, deleted
}

// agentParent is the path one segment up, with its final dot.
func agentParent(path string) string {
	p := strings.TrimSuffix(path, ".")
	return p[:strings.LastIndexByte(p, '.')+1]
}

func prune(n *node, seen map[*node]bool) {
	n.kids = slices.DeleteFunc(n.kids, func(k *node) bool { return !seen[k] })
	for _, k := range n.kids {
		prune(k, seen)
	}
}

// listedName is a name as GetParameterNames gives it.
type listedName struct {
	path     string
	writable bool
}

// names lists an object and what is below it.
func (t *tree) names(object string) []datamodel.Name {
	names := make([]datamodel.Name, 0, t.size())
	t.walk(object, 0, func(path string, n *node) {
		names = append(names, datamodel.Name{Path: path, Writable: n.writable, Type: n.typ})
	})
	return names
}
