package conformance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// wantRow says that a row has what it was made of.
func (e *eut) wantRow(path string, params []param) {
	e.Helper()
	got := e.values(path)[path]
	for _, p := range params {
		if got[p.name] != p.value {
			e.Errorf("%s%s is %q, want %q", path, p.name, got[p.name], p.value)
		}
	}
}

// wantKeys says which unique keys a new row is told by, and that they are its own.
func (e *eut) wantKeys(path string, keys map[string]string, names []string) {
	e.Helper()
	if got := slices.Sorted(maps.Keys(keys)); !slices.Equal(got, names) {
		e.Errorf("unique keys of %s are %v, want %v", path, got, names)
	}
	row := e.values(path)[path]
	for name, v := range keys {
		if row[name] != v {
			e.Errorf("%s%s is %q, its key says %q", path, name, row[name], v)
		}
	}
}

func TestTP469_1_1_AddOne(t *testing.T)     { both(t, func(e *eut, s side) { e.addOne(s, false) }) }
func TestTP469_1_2_AddPartial(t *testing.T) { both(t, func(e *eut, s side) { e.addOne(s, true) }) }

func (e *eut) addOne(s side, partial bool) {
	res, err := e.add(partial, obj{s.table, s.row(1)})
	e.must(err)
	if len(res) != 1 || res[0].GetRequestedPath() != s.table {
		e.Fatalf("results %v", res)
	}
	path, keys := e.created(res[0])
	e.wantKeys(path, keys, s.keys)
	e.wantRow(path, s.row(1))
	e.wantRows(s.table, path)
}

func TestTP469_1_3_AddRequiredFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		for _, w := range s.wrong {
			_, err := e.add(false, obj{s.table, s.row(3, w)})
			e.blames(e.refused(err), "."+w.name)
			e.wantRows(s.table)
		}
	})
}

func TestTP469_1_4_AddUnsupported(t *testing.T) {
	both(t, func(e *eut, s side) {
		_, err := e.add(false, obj{s.unsupported, s.row(4)})
		e.blames(e.refused(err), s.unsupported)
		e.wantRows(s.table)
	})
}

func TestTP469_1_5_AddTwo(t *testing.T) {
	both(t, func(e *eut, s side) {
		res, err := e.add(false, obj{s.table, s.row(51)}, obj{s.table, s.row(52)})
		e.must(err)
		if len(res) != 2 {
			e.Fatalf("results %v", res)
		}
		for i, r := range res {
			path, keys := e.created(r)
			e.wantKeys(path, keys, s.keys)
			e.wantRow(path, s.row(51+i))
		}
	})
}

func TestTP469_1_6_AddTwoOneUnsupported(t *testing.T) {
	both(t, func(e *eut, s side) {
		_, err := e.add(false, obj{s.table, s.row(61)}, obj{s.unsupported, s.row(62)})
		e.blames(e.refused(err), s.unsupported)
		e.wantRows(s.table)
	})
}

func TestTP469_1_7_AddTwoOneFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		for _, w := range s.wrong {
			for _, objs := range [][]obj{{{s.table, s.row(71, w)}, {s.table, s.row(72)}}, {{s.table, s.row(71)}, {s.table, s.row(72, w)}}} {
				_, err := e.add(false, objs...)
				e.blames(e.refused(err), "."+w.name)
				e.wantRows(s.table)
			}
		}
	})
}

func TestTP469_1_8_AddPartialFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		for _, w := range s.wrong {
			res, err := e.add(true, obj{s.table, s.row(8, w)})
			e.must(err)
			if len(res) != 1 || res[0].GetOperStatus().GetOperFailure().GetErrCode() == 0 {
				e.Errorf("%v: %v", w, res)
			}
			e.wantRows(s.table)
		}
	})
}

// TestTP469_1_9_AddPartialOneFails: the second object has the keys of the first as well.
func TestTP469_1_9_AddPartialOneFails(t *testing.T) {
	both(t, func(e *eut, s side) {
		res, err := e.add(true, obj{s.table, s.row(91)}, obj{s.table, s.row(91, req("InvalidParameter", "IrrelevantValue"))})
		e.must(err)
		if len(res) != 2 || res[1].GetOperStatus().GetOperFailure().GetErrCode() == 0 {
			e.Fatalf("results %v", res)
		}
		path, keys := e.created(res[0])
		e.wantKeys(path, keys, s.keys)
		e.wantRow(path, s.row(91))
		e.wantRows(s.table, path)
	})
}

func TestTP469_1_10_AddByUniqueKey(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		path, keys := e.added(n.byKey+n.child, n.row(0, "true")...)
		if !strings.HasPrefix(path, n.table()) {
			e.Errorf("%s is not in %s", path, n.table())
		}
		e.wantKeys(path, keys, n.keys)
		e.wantRow(path, n.row(0, "true"))
	})
}

// TestTP469_1_81_KeysAreGenerated: what a row has no key for gets one.
func TestTP469_1_81_KeysAreGenerated(t *testing.T) {
	both(t, func(e *eut, s side) {
		row := func(n int) []param { return s.row(n) }
		if s.table == subscriptionTable {
			row = func(int) []param { return s.row(0)[:1] }
		}
		res, err := e.add(false, obj{s.table, row(811)}, obj{s.table, row(812)})
		e.must(err)
		if len(res) != 2 {
			e.Fatalf("results %v", res)
		}
		path, one := e.created(res[0])
		e.wantKeys(path, one, s.keys)
		path, two := e.created(res[1])
		e.wantKeys(path, two, s.keys)
		if one["Alias"] == two["Alias"] || one[s.key] == two[s.key] || one["Recipient"] != two["Recipient"] {
			e.Errorf("keys %v and %v", one, two)
		}
	})
}

// TestTP469_1_88_AddInvalidKey: a unique key counts as required.
func TestTP469_1_88_AddInvalidKey(t *testing.T) {
	both(t, func(e *eut, s side) {
		_, err := e.add(false, obj{s.table, s.row(88, opt("Alias", "88InvalidAlias"))})
		e.blames(e.refused(err), ".Alias")
		e.wantRows(s.table)
	})
}

func TestTP469_1_95_AddBySearch(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		res, err := e.add(false, obj{n.parents + "[Enable==true]." + n.child, n.row(0, "true")})
		e.must(err)
		if len(res) == 0 {
			e.Fatal("no results")
		}
		found := e.values(n.parents + "*." + n.child)
		for _, r := range res {
			path, _ := e.created(r)
			if found[path] == nil {
				e.Errorf("%s is not there", path)
			}
			e.wantRow(path, n.row(0, "true"))
		}
	})
}
