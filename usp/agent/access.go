package agent

import (
	"slices"
	"strings"
)

// access is what the Roles of a Controller together let it do. The nil access lets it do everything.
type access struct {
	roles    []*role
	searches bool   // there are searches in the targets: bind it to a request before use
	tells    oracle // nil: nothing can be told
}

// permission is an enabled Permission, ready for use.
type permission struct {
	order   uint32
	targets []string
	rights  [classes]right
}

// role is the Permissions of one Role, the highest Order first, and their targets as a tree, so that a question costs as much as its path is long,
// however many Permissions there are.
type role struct {
	permissions []permission
	root        node
}

// node is a place that targets lead to.
type node struct {
	next    map[string]*node // by segment; "*" is any instance number
	best    int              // the first permission that ends here, counted from 1; 0: none
	queries []*query         // the searches that end here
}

// query is a target with searches in it; verdict says whether it finds what it may find.
type query struct {
	permission int // counted from 1
	target     string
}

// oracle says whether a search finds a path, which is one of those that it may find.
type oracle func(target, path string) verdict

type verdict int

const (
	unknown verdict = iota // it cannot be told: so nothing is allowed
	misses
	finds
)

func newRole(permissions []permission) *role {
	r := &role{permissions: permissions}
	for i := range permissions {
		for _, t := range permissions[i].targets {
			n := &r.root
			for seg := range strings.SplitSeq(strings.TrimSuffix(generalized(t), "."), ".") {
				n = n.child(seg)
			}
			if isSearch(t) {
				n.queries = append(n.queries, &query{i + 1, t})
			} else if n.best == 0 {
				n.best = i + 1
			}
		}
	}
	return r
}

func (n *node) child(seg string) *node {
	c := n.next[seg]
	if c == nil {
		if n.next == nil {
			n.next = make(map[string]*node)
		}
		c = &node{}
		n.next[seg] = c
	}
	return c
}

// nothing is the access of who has no Role.
func (c *access) nothing() bool {
	return c != nil && !slices.ContainsFunc(c.roles, func(r *role) bool { return len(r.permissions) > 0 })
}

// place is an object as Roles see it, for questions about it and what is directly in it.
type place struct {
	c      *access
	object string
	trails []trail // of each Role
}

// trail is how far the targets of a Role reach into an object.
type trail struct {
	nodes   []*node // where there may be more
	best    int     // the first permission that names the object or one above it
	queries []*query
}

// at looks an object up, where {i} is a row that is still to be made: what "*" names it is one of, what a number or a search names it is not.
func (c *access) at(object string) place {
	if c == nil {
		return place{}
	}
	p := place{c: c, object: object, trails: make([]trail, len(c.roles))}
	for i, r := range c.roles {
		t := trail{nodes: []*node{&r.root}}
		for seg, rest, _ := strings.Cut(object, "."); seg != ""; seg, rest, _ = strings.Cut(rest, ".") {
			t.enter(seg)
		}
		p.trails[i] = t
	}
	return p
}

func (t *trail) enter(seg string) {
	row := IsInstance(seg) || seg == "{i}"
	var on []*node
	for _, n := range t.nodes {
		if c := n.next[seg]; c != nil {
			on = append(on, c)
		}
		if c := n.next["*"]; c != nil && row {
			on = append(on, c)
		}
	}
	t.nodes = on
	for _, n := range on {
		t.meet(n)
	}
}

func (t *trail) meet(n *node) {
	if n.best > 0 && (t.best == 0 || n.best < t.best) {
		t.best = n.best
	}
	if len(n.queries) > 0 {
		t.queries = append(slices.Clip(t.queries), n.queries...)
	}
}

// allows says whether something may be done with the object itself, whose name is "", or with a parameter, command or event in it.
func (p *place) allows(k class, r right, name string) bool {
	if p.c == nil {
		return true
	}
	for i := range p.trails {
		if p.rights(i, k, name)&r != 0 {
			return true
		}
	}
	return false
}

// rights are those of the first Permission of a Role that names the path.
func (p *place) rights(i int, k class, name string) right {
	t := trail{best: p.trails[i].best, queries: p.trails[i].queries}
	if name != "" {
		for _, n := range p.trails[i].nodes {
			if c := n.next[name]; c != nil {
				t.meet(c)
			}
		}
	}
	r := p.c.roles[i]
	if len(t.queries) > 0 {
		slices.SortFunc(t.queries, func(a, b *query) int { return a.permission - b.permission })
		for _, q := range t.queries {
			if t.best > 0 && t.best <= q.permission || strings.Contains(p.object, "{i}") {
				break
			}
			switch p.c.ask(q, p.object+name) {
			case finds:
				return r.permissions[q.permission-1].rights[k]
			case unknown:
				return 0
			}
		}
	}
	if t.best == 0 {
		return 0
	}
	return r.permissions[t.best-1].rights[k]
}

func (c *access) ask(q *query, path string) verdict {
	if c.tells == nil {
		return unknown
	}
	return c.tells(q.target, path)
}

// allows says whether something may be done with a path: of a parameter, command or event, or of an object with its final dot.
func (c *access) allows(k class, r right, path string) bool {
	if c == nil {
		return true
	}
	dot := leafOf(path)
	p := c.at(path[:dot])
	return p.allows(k, r, path[dot:])
}

// shows says whether one of some rights is there for an element of the supported data model, in one row at least.
func (c *access) shows(k class, rights right, path string) bool {
	if c == nil {
		return true
	}
	for _, r := range c.roles {
		if r.shows(k, rights, path) {
			return true
		}
	}
	return false
}

func (r *role) shows(k class, rights right, path string) bool {
	type hit struct {
		permission int
		whole      bool // in every row
	}
	var hits []hit
	var walk func(n *node, rest string, whole bool)
	walk = func(n *node, rest string, whole bool) {
		if n.best > 0 {
			hits = append(hits, hit{n.best, whole})
		}
		for _, q := range n.queries {
			hits = append(hits, hit{q.permission, false})
		}
		seg, rest, _ := strings.Cut(rest, ".")
		for s, c := range n.next {
			switch {
			case s == seg, s == "*" && seg == "{i}":
				walk(c, rest, whole)
			case seg == "{i}" && IsInstance(s):
				walk(c, rest, false)
			}
		}
	}
	walk(&r.root, path, true)
	slices.SortFunc(hits, func(a, b hit) int { return a.permission - b.permission })
	for _, h := range hits {
		if granted := r.permissions[h.permission-1].rights[k]&rights != 0; granted || h.whole {
			return granted
		}
	}
	return false
}

func isSearch(target string) bool { return strings.Contains(target, "[") }
