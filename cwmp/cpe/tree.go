package cpe

import (
	"slices"
	"strconv"
	"strings"

	"isthmus/cwmp"
)

// Tree is the data model of a CPE. It never changes: every write gives a new Tree that shares all it did not touch, so thousands
// of CPE share one base, a SetParameterValues is atomic, and a FactoryReset is the base again.
type Tree struct {
	DeviceID cwmp.DeviceID // identity that came with the tree; empty in the built-in ones
	root     *node         // its only child is Device or InternetGatewayDevice
}

// node is an object or a parameter. A node that is reachable from a Tree is read-only.
type node struct {
	name     string
	writable bool    // parameter: by SetParameterValues; table: AddObject; instance: DeleteObject
	kids     []*node // of an object, in the order of definition
	table    bool    // kids are instances
	template *node   // of a table: what AddObject makes; nil: nothing
	last     int     // of a table: the highest instance number ever given

	kind         string // of a parameter: the type without prefix, "" for an object
	limit        limit
	value        string
	secret       bool // reads as the empty string
	notification int
	accessList   []string
}

func (n *node) parameter() bool { return n.kind != "" }

func (n *node) kid(name string) (int, *node) {
	for i, k := range n.kids {
		if k.name == name {
			return i, k
		}
	}
	return -1, nil
}

// shown is the value as the ACS reads it.
func (n *node) shown() string {
	if n.secret {
		return ""
	}
	return n.value
}

func (n *node) clone(name string) *node {
	c := *n
	c.name = name
	return &c
}

// find resolves a path: a parameter's name, an object's with its final dot, or "" for what is above the root object.
func (t *Tree) find(path string) *node {
	name, object := strings.CutSuffix(path, ".")
	n := t.root
	if path == "" {
		return n
	}
	for s := range strings.SplitSeq(name, ".") {
		if _, n = n.kid(s); n == nil {
			return nil
		}
	}
	if n.parameter() == object {
		return nil
	}
	return n
}

// edit gives a Tree in which f has changed a copy of the node at path, which must exist. f may replace kids, not change them.
func (t *Tree) edit(path string, f func(*node)) *Tree {
	root := *t.root
	n := &root
	for s := range strings.SplitSeq(strings.TrimSuffix(path, "."), ".") {
		i, k := n.kid(s)
		n.kids = slices.Clone(n.kids)
		n.kids[i] = k.clone(s)
		n = n.kids[i]
	}
	f(n)
	return &Tree{DeviceID: t.DeviceID, root: &root}
}

// set gives a Tree with another value; the same Tree if there is no such parameter.
func (t *Tree) set(path, value string) *Tree {
	n := t.find(path)
	if n == nil || !n.parameter() || n.value == value {
		return t
	}
	return t.edit(path, func(n *node) { n.value = value })
}

// With gives a Tree that has a read-only parameter below an object that exists; one that is there is only set.
func (t *Tree) With(path, kind, value string) *Tree {
	object, name := splitLast(path)
	if n := t.find(object); t.find(path) == nil && n != nil {
		t = t.edit(object, func(n *node) {
			n.kids = append(slices.Clip(n.kids), &node{name: name, kind: kind, notification: initialNotification(n.name, name)})
		})
	}
	return t.set(path, value)
}

// Bare is a Tree with nothing but its root object, "Device.".
func Bare(root string) *Tree {
	return &Tree{root: &node{kids: []*node{{name: strings.TrimSuffix(root, ".")}}}}
}

// WithWritable is With for a parameter that can be written.
func (t *Tree) WithWritable(path, kind, value string) *Tree {
	return t.With(path, kind, value).edit(path, func(n *node) { n.writable = true })
}

// WithObject gives a Tree that has an object, named with its final dot, and those that it is in.
func (t *Tree) WithObject(path string) *Tree {
	parent, name := splitLast(path)
	if t.find(path) == nil {
		t = t.WithObject(parent).edit(parent, func(n *node) { n.kids = append(slices.Clip(n.kids), &node{name: name}) })
	}
	return t
}

// Without gives a Tree that has no parameter of a name, nor will its new rows.
func (t *Tree) Without(name string) *Tree {
	return &Tree{DeviceID: t.DeviceID, root: t.root.without(name)}
}

func (n *node) without(name string) *node {
	c := n.clone(n.name)
	c.kids = nil
	for _, k := range n.kids {
		if k.name != name || !k.parameter() {
			c.kids = append(c.kids, k.without(name))
		}
	}
	if n.template != nil {
		c.template = n.template.without(name)
	}
	return c
}

// value is what the CPE itself sees, secrets included; "" if there is no such parameter.
func (t *Tree) value(path string) string {
	if n := t.find(path); n != nil {
		return n.value
	}
	return ""
}

// rootName is "Device." or "InternetGatewayDevice.".
func (t *Tree) rootName() string {
	if len(t.root.kids) == 0 {
		return ""
	}
	return t.root.kids[0].name + "."
}

// add makes an instance in the table at path from its template. Instance numbers rise and are not used again.
func (t *Tree) add(path string) (*Tree, int) {
	var instance int
	t = t.edit(path, func(n *node) {
		n.last++
		instance = n.last
		row := n.template.clone(strconv.Itoa(instance))
		n.kids = append(slices.Clip(n.kids), row)
	})
	if alias := path + strconv.Itoa(instance) + ".Alias"; t.find(alias) != nil {
		t = t.set(alias, "cpe-"+strconv.Itoa(instance))
	}
	return t.count(path), instance
}

// remove deletes the instance at path, "….Table.3.".
func (t *Tree) remove(path string) *Tree {
	table, instance := splitLast(path)
	t = t.edit(table, func(n *node) {
		i, _ := n.kid(instance)
		n.kids = slices.Delete(slices.Clone(n.kids), i, i+1)
	})
	return t.count(table)
}

// count brings the …NumberOfEntries beside the table at path up to date.
func (t *Tree) count(path string) *Tree {
	return t.set(countOf(path), strconv.Itoa(len(t.find(path).kids)))
}

// countOf is the parameter that counts the rows of a table, by its name or path.
func countOf(table string) string {
	stem := strings.TrimSuffix(table, ".")
	if object, ok := strings.CutSuffix(stem, "Layer3Forwarding.Forwarding"); ok {
		return object + "Layer3Forwarding.ForwardNumberOfEntries"
	}
	if object, ok := strings.CutSuffix(stem, "LAN.TraceRouteDiagnostics.RouteHops"); ok {
		return object + "LAN.TraceRouteDiagnostics.NumberOfRouteHops"
	}
	return stem + "NumberOfEntries"
}

// walk calls f for the node n at path and all below it, in order; path ends in a dot for objects and is "" above the root.
func walk(path string, n *node, f func(path string, n *node)) {
	f(path, n)
	for _, k := range n.kids {
		walk(path+suffixed(k), k, f)
	}
}

// suffixed is a node's name as paths have it.
func suffixed(n *node) string {
	if n.parameter() {
		return n.name
	}
	return n.name + "."
}

// splitLast cuts "A.B.C" or "A.B.C." into "A.B." and "C".
func splitLast(path string) (parent, last string) {
	path = strings.TrimSuffix(path, ".")
	i := strings.LastIndexByte(path, '.')
	return path[:i+1], path[i+1:]
}

// put adds a node at path while a tree is being built, making the objects on the way; an existing node is returned as it is.
func (n *node) put(path string) *node {
	for s := range strings.SplitSeq(strings.TrimSuffix(path, "."), ".") {
		_, k := n.kid(s)
		if k == nil {
			k = &node{name: s}
			n.kids = append(n.kids, k)
		}
		n = k
	}
	return n
}

// copyOf is a deep copy, for building.
func (n *node) copyOf(name string) *node {
	c := n.clone(name)
	c.kids = make([]*node, len(n.kids))
	for i, k := range n.kids {
		c.kids[i] = k.copyOf(k.name)
	}
	return c
}

// Size is how many parameters the tree has.
func (t *Tree) Size() (n int) {
	walk("", t.root, func(_ string, k *node) {
		if k.parameter() {
			n++
		}
	})
	return n
}
