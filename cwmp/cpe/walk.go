package cpe

// Entry is an object, a row (with their final dot) or a parameter of a Tree. Secrets are empty.
type Entry struct {
	Path, Value string
	Writable    bool
}

// All lists what a Tree has, parents first.
func (t *Tree) All() (all []Entry) {
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		for _, k := range n.kids {
			e := Entry{Path: path + k.name, Value: k.shown(), Writable: k.writable}
			if !k.parameter() {
				e.Path += "."
			}
			all = append(all, e)
			walk(k, e.Path)
		}
	}
	walk(t.root, "")
	return all
}
