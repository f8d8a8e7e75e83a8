package translate

import (
	"maps"
	"slices"
	"strings"
	"time"

	"isthmus/translate/legacy"
	"isthmus/usp"
	"isthmus/usp/agent"
)

const (
	// maxActive bounds the parameters of one CPE that it is to report by itself; what subscriptions ask for beyond that is compared.
	maxActive = 512
	// maxCompared bounds the parameters of one CPE that are compared; what is beyond that is seen when it is read.
	maxCompared = 2048
	// maxTables bounds the tables of one CPE whose rows are watched.
	maxTables = 256
)

// watchList is what the subscriptions come to, in the CPE's own names, sorted.
type watchList struct {
	active   []string // to be reported
	compared []string // to be read now and then: counters, clocks, and what only an object path names
	tables   []string // whose rows are subscribed to
	quiet    []string // of compared, in Device:2 names: counters and clocks
}

// watching is what is remembered of how a CPE's changes are learnt. Device.mu guards it.
type watching struct {
	active, leaves   bool // there are parameters to be reported; such as are always compared
	tables, bare     bool // there are tables; such without a count that is reported
	silent           bool // the CPE has kept a change to itself
	proven           bool // it has reported one since its boot
	compared         time.Time
	verified, tabled time.Time             // when the active parameters, and the rows, were compared
	suspected        time.Time             // when a change was found that the CPE has not reported; zero: none
	counted          []string              // own tables whose count has changed in an Inform
	quiet            map[string]quietValue // by Device:2 name: the counters and clocks that a subscription names
}

// quietValue is what was told last of a counter or clock, and when; the zero value where nothing was.
type quietValue struct {
	value string
	at    time.Time
}

// take notes what there is to watch, and gives nil where there is nothing.
func (x *watching) take(w watchList, t *told, now time.Time) *watching {
	if len(w.active)+len(w.compared)+len(w.tables) == 0 {
		return nil
	}
	if x == nil {
		x = new(watching)
	}
	x.active, x.leaves = len(w.active) > 0, len(w.compared)+len(t.Refused) > 0
	x.tables, x.bare = len(w.tables) > 0, slices.ContainsFunc(w.tables, func(table string) bool { return !has(t.Active, countOf(table)) })
	x.silent = t.Silent
	if x.verified.IsZero() {
		x.verified, x.tabled = now, now
	}
	before := x.quiet
	x.quiet = nil
	for _, path := range w.quiet {
		if x.quiet == nil {
			x.quiet = make(map[string]quietValue, len(w.quiet))
		}
		x.quiet[path] = before[path]
	}
	return x
}

// count notes tables whose rows have to be listed.
func (x *watching) count(tables []string) {
	if x == nil {
		return // they are about to be listed
	}
	for _, table := range tables {
		if len(x.counted) < maxTables && !slices.Contains(x.counted, table) {
			x.counted = append(x.counted, table)
		}
	}
}

// polled says whether there is something that the CPE does not report.
func (x *watching) polled(t *told) bool {
	return x != nil && (x.leaves || x.bare || x.active && t.Silent)
}

// countOf is the parameter beside a table that counts its rows.
func countOf(table string) string { return legacy.CountOf(table) }

const countSuffix = "NumberOfEntries"

// watched works out what the subscriptions are about. d.mu is held.
func (d *Device) watched() watchList {
	x := sorter{d: d, view: d.view(), active: map[string]bool{}, compared: map[string]bool{}}
	x.each(false) // what is named goes before what lies below something named
	params, _ := d.triggers()
	for _, path := range params {
		for _, need := range x.view.Needs(agent.Query{Path: path}) {
			d.tree.walk(need.path, need.depth, func(path string, n *node) { x.sort(path, n, false) })
		}
	}
	for _, ref := range d.interest.Objects {
		if p, err := usp.ParsePath(ref); err == nil {
			x.rows(tableOf(p.Query()))
		}
	}
	tables := d.tables()
	for _, table := range tables {
		if count := countOf(table); d.tree.get(count) != nil && len(x.active) < maxActive {
			x.active[count] = true
		}
	}
	x.each(true)
	return watchList{active: slices.Sorted(maps.Keys(x.active)), compared: slices.Sorted(maps.Keys(x.compared)), tables: tables, quiet: x.quiet}
}

// sorter decides how the changes of each parameter are learnt that a subscription covers.
type sorter struct {
	d                *Device
	view             View
	active, compared map[string]bool
	quiet            []string
}

// each sorts what ValueChange subscriptions name, or, if broad, what is below the objects that they name.
func (x *sorter) each(broad bool) {
	for _, ref := range x.d.interest.ValueChange {
		p, err := usp.ParsePath(ref)
		if err != nil {
			continue
		}
		for _, need := range x.view.Needs(agent.Query{Path: p.Query()}) {
			if strings.HasSuffix(need.path, ".") == broad {
				x.d.tree.walk(need.path, need.depth, func(path string, n *node) { x.sort(path, n, broad) })
			}
		}
	}
}

// rows sorts what the rows of a Device:2 table are made of, where the CPE has no such table: a list in one parameter, say.
func (x *sorter) rows(table string) {
	if len(x.view.Needs(agent.Query{Path: table, RowsOnly: true})) > 0 {
		return
	}
	generic := agent.GenericPath(strings.ReplaceAll(table, "*", "1"))
	for _, need := range x.view.Needs(agent.Query{Path: table}) {
		x.d.tree.walk(need.path, need.depth, func(path string, n *node) {
			if n.param && slices.ContainsFunc(x.view.Params(path), func(shown string) bool { return strings.HasPrefix(agent.GenericPath(shown), generic) }) {
				x.sort(path, n, false)
			}
		})
	}
}

func (x *sorter) sort(path string, n *node, broad bool) {
	if !n.param || x.active[path] || x.compared[path] {
		return
	}
	for _, shown := range x.view.Params(path) {
		def := x.d.param(shown)
		switch {
		case def == nil, broad && def.Quiet:
			continue
		case !def.Quiet && (!broad || def.Writable || isStatus(def)) && len(x.active) < maxActive:
			x.active[strings.Clone(path)] = true
		case len(x.compared) < maxCompared:
			x.compared[strings.Clone(path)] = true
			if def.Quiet {
				x.quiet = append(x.quiet, strings.Clone(shown))
			}
		}
		return
	}
}

// isStatus says whether a parameter that cannot be written tells a state rather than a measure or a name.
func isStatus(def *agent.ParamDef) bool {
	return len(def.Enum) > 0 || def.Type == agent.TypeBoolean || strings.HasSuffix(def.Name, "Status") || strings.HasSuffix(def.Name, countSuffix)
}

// tables lists the CPE's own tables whose rows matter: those that are subscribed to, and those whose rows a wildcard stands for. d.mu is held.
func (d *Device) tables() []string {
	var tables []string
	add := func(pattern string) {
		if room := maxTables - len(tables); room > 0 {
			found := d.expand(pattern)
			tables = append(tables, found[:min(room, len(found))]...)
		}
	}
	for i, refs := range [][]string{d.interest.Objects, d.interest.ValueChange} {
		for _, ref := range refs {
			p, err := usp.ParsePath(ref)
			if err != nil {
				continue
			}
			path := p.Query()
			if rows := i == 0; rows {
				path = tableOf(path)
			}
			for _, need := range d.view().Needs(agent.Query{Path: path, RowsOnly: true}) {
				if strings.HasSuffix(need.path, ".") && i == 0 {
					add(need.path)
				}
				for at, c := range need.path {
					if c == '*' {
						add(need.path[:at])
					}
				}
			}
		}
	}
	_, events := d.triggers()
	for _, table := range events {
		for _, need := range d.view().Needs(agent.Query{Path: table, RowsOnly: true}) {
			add(need.path)
		}
	}
	slices.Sort(tables)
	return slices.Compact(tables)
}

// tableOf is the table that a reference of ObjectCreation or ObjectDeletion is about, which may name its rows.
func tableOf(path string) string {
	path = strings.TrimSuffix(path, ".") + "."
	if last := path[len(agentParent(path)) : len(path)-1]; last == "*" || agent.IsInstance(last) {
		path = agentParent(path)
	}
	return path
}

// expand gives the CPE's objects that a pattern stands for; one without wildcard counts even if the CPE denies it while it is empty. d.mu is held.
func (d *Device) expand(pattern string) (objects []string) {
	i := strings.LastIndex(pattern, "*.") + len("*.")
	if i < len("*.") {
		return []string{pattern}
	}
	d.tree.walk(pattern[:i], 1, func(path string, n *node) {
		object := path + pattern[i:]
		if n.num != 0 && !n.param && strings.Count(object, ".") == strings.Count(pattern, ".") &&
			(d.tree.get(object) != nil || d.tree.get(countOf(object)) != nil) {
			objects = append(objects, object)
		}
	})
	return objects
}

// countsOf gives the tables that subscriptions cover and whose counts are among changes. d.mu is held.
func (d *Device) countsOf(changes []change) (tables []string) {
	var known []string
	for _, c := range changes {
		table := legacy.CountedBy(c.path)
		if table == "" || d.tree.get(table) == nil && d.model == nil {
			continue
		}
		if known == nil {
			known = d.tables()
		}
		if has(known, table) || d.broadly(table) {
			tables = append(tables, table)
		}
	}
	return tables
}

// broadly says whether a ValueChange subscription names an object above a table. d.mu is held.
func (d *Device) broadly(table string) bool {
	generic := agent.GenericPath(table)
	for _, ref := range d.interest.ValueChange {
		p, err := usp.ParsePath(ref)
		if err != nil {
			continue
		}
		for _, need := range d.view().Needs(agent.Query{Path: p.Query()}) {
			if strings.HasSuffix(need.path, ".") && strings.HasPrefix(generic, agent.GenericPath(need.path)) {
				return true
			}
		}
	}
	return false
}
