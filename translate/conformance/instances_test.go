package conformance_test

import (
	"slices"
	"strings"
	"testing"
)

func TestTP469_1_66_FirstLevel(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		e.added(n.table(), n.row(0, "true")...)
		rows := e.instances(true, n.parents)[0]
		if len(rows) == 0 {
			e.Error("no rows")
		}
		for _, r := range rows {
			if strings.Count(strings.TrimPrefix(r, n.parents), ".") != 1 {
				e.Errorf("%s is no row of %s", r, n.parents)
			}
		}
	})
}

func TestTP469_1_67_AllLevels(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		child, _ := e.added(n.table(), n.row(0, "true")...)
		rows := e.instances(false, n.parents)[0]
		for _, want := range append(e.rows(n.parents), child) {
			if !slices.Contains(rows, want) {
				e.Errorf("%s is missing in %v", want, rows)
			}
		}
		if n.name == "LocalAgent" && !slices.Contains(rows, e.own()+"MTP.1.") {
			e.Errorf("no MTP in %v", rows)
		}
	})
}

func TestTP469_1_68_TwoTables(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		other := map[string]string{"LocalAgent": "Device.LocalAgent.MTP.", "CPE": "Device.WiFi.SSID."}[n.name]
		for i, rows := range e.instances(true, n.parents, other) {
			if len(rows) == 0 {
				e.Errorf("result %d is empty", i)
			}
		}
	})
}

func TestTP469_1_70_Wildcard(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		want, _ := e.added(n.table(), n.row(0, "true")...)
		if got := e.instances(true, n.parents+"*."+n.child)[0]; !slices.Contains(got, want) {
			e.Errorf("%s is missing in %v", want, got)
		}
		if n.name == "LocalAgent" {
			want = e.own() + "MTP.1."
			if got := e.instances(true, n.parents+"*.MTP.")[0]; !slices.Contains(got, want) {
				e.Errorf("%s is missing in %v", want, got)
			}
		}
	})
}

func TestTP469_1_71_Search(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		want, _ := e.added(n.table(), n.row(0, "true")...)
		if got := e.instances(false, n.byKey+n.child)[0]; !slices.Equal(got, []string{want}) {
			e.Errorf("%v, want %s", got, want)
		}
	})
}

func TestTP469_1_83_SearchFindsNothing(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		e.added(n.table(), n.row(0, "true")...)
		if got := e.instances(false, n.parents+`[Alias=="nobody"].`+n.child)[0]; len(got) != 0 {
			e.Errorf("found %v", got)
		}
	})
}
