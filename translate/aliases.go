package translate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"isthmus/store"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// The Alias of a row that Controllers can make, where a CPE of an older data model has no parameter for one, is kept here: one record a device. Such rows have one
// that tells their number, unless the Controller that made the row gave it another: USP has it written once, with its row.

const (
	aliasName = "Alias"
	// longestAlias is TR-106's limit, in characters.
	longestAlias = 64
	// mostAliases bounds what one device may have kept, far above the rows that a CPE makes.
	mostAliases = 1024
)

// alias gives the rows of tables that rows can be made in an Alias, those that have none of the CPE's own.
func (v older) alias(s *tree) {
	for _, table := range aliased(s) {
		t := s.get(table)
		taken := map[string]bool{}
		for _, row := range t.kids {
			taken[cmp.Or(v.aliases[table+row.name+"."], own(row))] = true
		}
		for _, row := range t.kids {
			if row.kid(aliasName) != nil {
				continue
			}
			path := table + row.name + "."
			value := v.aliases[path]
			if value == "" {
				value = "cpe-" + t.name + "-" + row.name
				for taken[value] { // a Controller has given it to another row
					value += "-"
				}
			}
			a := s.put(path + aliasName)
			a.value, a.writable = value, true
		}
	}
}

func own(row *node) string {
	if a := row.kid(aliasName); a != nil {
		return a.value
	}
	return ""
}

// aliased are the tables that rows can be made in and whose rows have an Alias in Device:2.
func aliased(s *tree) (tables []string) {
	s.walk(deviceRoot, 0, func(path string, n *node) {
		if !n.param && n.num == 0 && n.writable && isTable(n) {
			if _, ok := datamodel.LookupParam(agent.GenericPath(path) + "{i}." + aliasName); ok {
				tables = append(tables, strings.Clone(path))
			}
		}
	})
	return tables
}

// kept says whether a parameter is an Alias that the CPE has no place for.
func (v older) kept(t *tree, path string) bool {
	row, ok := strings.CutSuffix(path, aliasName)
	if _, known := datamodel.LookupParam(agent.GenericPath(path)); !ok || !known || !v.m.Made(agent.GenericPath(row)) {
		return false
	}
	own := v.m.Row(row)
	return own != "" && t.get(own) != nil && t.get(own+aliasName) == nil
}

// fits says what is wrong with an Alias that is to be kept.
func (v older) fits(t *tree, w agent.Write) error {
	fail := func(code usp.ErrorCode, msg string) error {
		return &usp.Error{Code: code, Msg: w.Path + ": " + msg, Params: []usp.ParamError{{Path: w.Path, Code: code, Msg: msg}}}
	}
	letter := w.Value != "" && w.Value[0]|0x20 >= 'a' && w.Value[0]|0x20 <= 'z'
	if !letter || utf8.RuneCountInString(w.Value) > longestAlias {
		return fail(usp.InvalidValue, fmt.Sprintf("an Alias begins with a letter and has at most %d characters (TR-106)", longestAlias))
	}
	if len(v.aliases) >= mostAliases {
		return fail(usp.ResourcesExceeded, "too many rows have an Alias that is kept for the CPE")
	}
	row := strings.TrimSuffix(w.Path, aliasName)
	table := agentParent(row)
	rows := v.shown(t).get(table)
	if rows == nil {
		return nil
	}
	for _, k := range rows.kids {
		if table+k.name+"." != row && own(k) == w.Value {
			return fail(usp.DuplicateUniqueKey, "another row has this Alias")
		}
	}
	return nil
}

// older is the view of a CPE of an older data model, and whether it is with the CPE's own tree; ok is false at a Device:2 CPE. d.mu is held.
func (d *Device) older() (o older, withTree, ok bool) {
	v := d.plainView()
	if i, isImage := v.(oneImage); isImage {
		v = i.View
	}
	if l, isTree := v.(withLegacyTree); isTree {
		v, withTree = l.View, true
	}
	o, ok = v.(older)
	return o, withTree, ok
}

// keptAliases are those of some writes that are Aliases to be kept, by their rows. d.mu is held.
func (d *Device) keptAliases(writes []agent.Write) map[string]string {
	o, _, ok := d.older()
	if !ok || d.tree == nil {
		return nil
	}
	var kept map[string]string
	for _, w := range writes {
		if strings.HasSuffix(w.Path, "."+aliasName) && o.kept(d.tree, w.Path) {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[strings.TrimSuffix(w.Path, aliasName)] = w.Value
		}
	}
	return kept
}

// keepAliases takes over those of new rows; they are on disk on return.
func (d *Device) keepAliases(ctx context.Context, rows map[string]string) error {
	if len(rows) == 0 {
		return nil
	}
	return d.changeAliases(ctx, func(now map[string]string) { maps.Copy(now, rows) })
}

// dropAliases forgets those of rows that are gone, with all below them.
func (d *Device) dropAliases(ctx context.Context, rows []string) error {
	gone := func(row, _ string) bool {
		return slices.ContainsFunc(rows, func(r string) bool { return strings.HasPrefix(row, r) })
	}
	d.mu.RLock()
	some := false
	for row := range d.aliases {
		some = some || gone(row, "")
	}
	d.mu.RUnlock()
	if !some {
		return nil
	}
	return d.changeAliases(ctx, func(now map[string]string) { maps.DeleteFunc(now, gone) })
}

// changeAliases makes what is kept something else; it is on disk on return. One device at a time, so that what is there is what somebody was told.
func (d *Device) changeAliases(ctx context.Context, change func(map[string]string)) error {
	ctx = context.WithoutCancel(ctx)
	d.p.aliasing <- struct{}{}
	defer func() { <-d.p.aliasing }()
	d.mu.RLock()
	now := maps.Clone(d.aliases)
	d.mu.RUnlock()
	if now == nil {
		now = map[string]string{}
	}
	change(now)
	op := store.Op{Key: d.key(store.Alias, "")}
	if len(now) > 0 {
		b, err := json.Marshal(now)
		if err != nil {
			return fmt.Errorf("aliases of %s: %w", d.id, err)
		}
		op.Value = b
	}
	if err := d.put(ctx, op); err != nil {
		return fmt.Errorf("keeping aliases of %s: %w", d.id, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setAliases(now)
	return nil
}

// setAliases has the view show others. d.mu is held.
func (d *Device) setAliases(now map[string]string) {
	if d.aliases = now; len(now) == 0 {
		d.aliases = nil
	}
	d.setImage()
	if d.tree != nil {
		d.tree.shown.Store(nil)
	}
}

// restoreAliases brings back those of all CPE.
func (p *Proxy) restoreAliases(ctx context.Context) error {
	for item, err := range p.store.All(ctx, store.Alias) {
		if err != nil {
			return fmt.Errorf("reading aliases: %w", err)
		}
		d := p.devices[usp.EndpointID(item.Key.Device)]
		if d == nil {
			continue
		}
		var now map[string]string
		if err := json.Unmarshal(item.Value, &now); err != nil {
			return fmt.Errorf("aliases of %s: %w", d.id, err)
		}
		d.setAliases(now)
	}
	return nil
}
