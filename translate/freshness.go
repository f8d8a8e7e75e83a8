package translate

import (
	"strings"
	"time"

	"isthmus/usp/agent"
)

// AgeRule says how old a value may be and still be answered from the cache. A Path that ends in "." covers what is below it, another
// exactly one parameter; "*" stands for one or more whole segments. MaxAge 0 means always live. Paths are Device:2 paths.
type AgeRule struct {
	Path   string
	MaxAge time.Duration
}

// ages decides by the rule with the most literal segments, then the later one, else by the default.
type ages struct {
	fallback time.Duration
	least    time.Duration // of all: what is not older is young enough whatever its name
	rules    []ageRule
}

type ageRule struct {
	segs     []string
	object   bool
	literals int
	maxAge   time.Duration
}

func newAges(fallback time.Duration, rules []AgeRule) *ages {
	a := &ages{fallback: fallback, least: fallback}
	for _, r := range rules {
		a.least = min(a.least, r.MaxAge)
		c := ageRule{segs: strings.Split(strings.TrimSuffix(r.Path, "."), "."), object: strings.HasSuffix(r.Path, "."), maxAge: r.MaxAge}
		for _, s := range c.segs {
			if s != "*" {
				c.literals++
			}
		}
		a.rules = append(a.rules, c)
	}
	return a
}

func (a *ages) of(path string) time.Duration {
	if len(a.rules) == 0 {
		return a.fallback
	}
	best, age := -1, a.fallback
	segs := strings.Split(strings.TrimSuffix(path, "."), ".")
	for i := range a.rules {
		if r := &a.rules[i]; r.literals >= best && r.match(r.segs, segs) {
			best, age = r.literals, r.maxAge
		}
	}
	return age
}

func (r *ageRule) match(pattern, segs []string) bool {
	if len(pattern) == 0 {
		return len(segs) == 0 || r.object
	}
	if len(segs) == 0 {
		return false
	}
	if pattern[0] == "*" {
		for n := 1; n <= len(segs); n++ {
			if r.match(pattern[1:], segs[n:]) {
				return true
			}
		}
		return false
	}
	return pattern[0] == segs[0] && r.match(pattern[1:], segs[1:])
}

// plan is what a read has to ask of the CPE.
type plan struct {
	lists  []string // objects whose content is not known well enough
	values []string // parameters whose value is too old
}

func (p *plan) empty() bool { return len(p.lists) == 0 && len(p.values) == 0 }

// planner decides what is too old. Times are Unix milliseconds.
type planner struct {
	d     *Device
	ages  *ages
	view  View
	now   int64
	floor int64         // what was read since then is young enough whatever its rule: the read itself asked for it
	spare time.Duration // how much older than its rule a value may be
}

func (pl *planner) fresh(path string, at int64) bool {
	return pl.within(pl.ages.least, at) || pl.within(pl.ages.of(path), at)
}

// within says whether what was read at a time is young enough where age is the limit.
func (pl *planner) within(age time.Duration, at int64) bool {
	if at >= pl.floor {
		return true
	}
	return at >= max(pl.d.head.StaleBefore, pl.d.p.staleBefore) && pl.now-at < (age+pl.spare).Milliseconds()
}

// add plans one query. Device.mu is held.
func (pl *planner) add(p *plan, q agent.Query) {
	t := pl.d.tree
	for _, n := range pl.view.Needs(q) {
		list := ""
		above, _, wild := strings.Cut(n.path, "*")
		switch {
		case wild:
			list = above
		case strings.HasSuffix(n.path, "."):
			list = n.path
		}
		if list != "" && !pl.fresh(list, t.listedAt(list)) {
			p.lists = append(p.lists, list)
		} else if !wild && t.get(n.path) == nil {
			if up := pl.missing(q.Path, n.path); up != "" && t.listedAt(up) < pl.floor {
				p.lists = append(p.lists, up)
			}
		}
		if n.rowsOnly {
			continue
		}
		t.walk(n.path, n.depth, func(path string, k *node) {
			if !k.param || pl.within(pl.ages.least, k.at) {
				return // whatever it is shown as
			}
			for _, shown := range pl.view.Params(path) {
				if !pl.fresh(shown, k.at) {
					p.values = append(p.values, path)
					return
				}
			}
		})
	}
}

// missing finds the object to list where a name is asked for that the tree lacks though the CPE's model has it: the table of the
// first row that is not there. A table that was listed a moment ago is not listed again for that.
func (pl *planner) missing(shown, path string) string {
	d := pl.d
	if d.model == nil || !d.supports(shown) {
		return ""
	}
	n, at := d.tree.root, 0
	for at < len(path) {
		seg, _, _ := strings.Cut(path[at:], ".")
		k := n.kid(seg)
		if k == nil {
			break
		}
		n, at = k, min(len(path), at+len(seg)+1)
	}
	table := path[:at]
	if table == "" || !strings.HasSuffix(table, ".") {
		return ""
	}
	if last, ok := d.lookedUp[table]; ok && time.UnixMilli(pl.now).Sub(last) < lookUpAgain {
		return ""
	}
	return table
}

const (
	lookUpAgain = time.Second
	maxLookedUp = 256
)

// objectOf is the object that a parameter belongs to, or the object itself.
func objectOf(path string) string { return path[:strings.LastIndexByte(path, '.')+1] }
