package conformance_test

import (
	"testing"
)

func TestTP469_1_24_DeleteOne(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		res, err := e.delete(false, one)
		e.must(err)
		e.deleted(res[0], one, one)
		e.wantRows(s.table, two)
	})
}

// Trap: R-DEL.1 of TR-369 1.4.1 would have an Error here; the plan has not.
func (e *eut) deleteAbsent(s side, partial bool) {
	e.Helper()
	one, _ := e.added(s.table, s.row(1)...)
	gone := s.table + "99999."
	res, err := e.delete(partial, gone)
	e.must(err)
	if len(res) != 1 {
		e.Fatalf("results %v", res)
	}
	e.deleted(res[0], gone)
	e.wantRows(s.table, one)
}

func TestTP469_1_25_DeleteAbsent(t *testing.T) {
	both(t, func(e *eut, s side) { e.deleteAbsent(s, false) })
}

func TestTP469_1_26_DeleteUnsupported(t *testing.T) {
	both(t, func(e *eut, s side) {
		_, err := e.delete(false, s.unsupported)
		e.blames(e.refused(err), s.unsupported)
	})
}

func TestTP469_1_27_DeleteTwo(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		res, err := e.delete(false, one, two)
		e.must(err)
		if len(res) != 2 {
			e.Fatalf("results %v", res)
		}
		e.deleted(res[0], one, one)
		e.deleted(res[1], two, two)
		e.wantRows(s.table)
	})
}

func TestTP469_1_28_DeleteTwoOneUnsupported(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, _ := e.added(s.table, s.row(1)...)
		_, err := e.delete(false, one, s.unsupported)
		e.blames(e.refused(err), s.unsupported)
		e.wantRows(s.table, one)
	})
}

func TestTP469_1_29_DeletePartialAbsent(t *testing.T) {
	both(t, func(e *eut, s side) { e.deleteAbsent(s, true) })
}

func TestTP469_1_30_DeletePartialUnsupported(t *testing.T) {
	both(t, func(e *eut, s side) {
		res, err := e.delete(true, s.unsupported)
		e.must(err)
		if len(res) != 1 || res[0].GetRequestedPath() != s.unsupported || res[0].GetOperStatus().GetOperFailure().GetErrCode() == 0 {
			e.Errorf("results %v", res)
		}
	})
}

func TestTP469_1_31_DeletePartialOneUnsupported(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, _ := e.added(s.table, s.row(1)...)
		res, err := e.delete(true, one, s.unsupported)
		e.must(err)
		if len(res) != 2 || res[1].GetOperStatus().GetOperFailure().GetErrCode() == 0 {
			e.Fatalf("results %v", res)
		}
		e.deleted(res[0], one, one)
		e.wantRows(s.table)
	})
}

func TestTP469_1_32_DeletePartialOneAbsent(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, _ := e.added(s.table, s.row(1)...)
		res, err := e.delete(true, one, s.table+"99999.")
		e.must(err)
		if len(res) != 2 {
			e.Fatalf("results %v", res)
		}
		e.deleted(res[0], one, one)
		e.deleted(res[1], s.table+"99999.")
		e.wantRows(s.table)
	})
}

func TestTP469_1_33_DeleteByUniqueKey(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		one, _ := e.added(n.table(), n.row(0, "true")...)
		requested := n.byKey + n.child + one[len(n.table()):]
		res, err := e.delete(false, requested)
		e.must(err)
		e.deleted(res[0], requested, one)
		e.wantRows(n.table())
	})
}

func TestTP469_1_34_DeleteWildcard(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, two := e.two(s)
		res, err := e.delete(false, s.table+"*.")
		e.must(err)
		if len(res) != 1 {
			e.Fatalf("results %v", res)
		}
		e.deleted(res[0], s.table+"*.", one, two)
		e.wantRows(s.table)
	})
}

func TestTP469_1_35_DeleteBySearch(t *testing.T) {
	bothNested(t, func(e *eut, n nested) {
		on, _ := e.added(n.table(), n.row(0, "true")...)
		off, _ := e.added(n.table(), n.row(1, "false")...)
		requested := n.table() + "[Enable==true]."
		res, err := e.delete(false, requested)
		e.must(err)
		if len(res) != 1 {
			e.Fatalf("results %v", res)
		}
		e.deleted(res[0], requested, on)
		e.wantRows(n.table(), off)
	})
}

func TestTP469_1_90_DeleteMatchesNothing(t *testing.T) {
	both(t, func(e *eut, s side) {
		one, _ := e.added(s.table, s.row(1)...)
		requested := s.table + "[Enable==false]."
		res, err := e.delete(false, requested)
		e.must(err)
		e.deleted(res[0], requested)
		e.wantRows(s.table, one)
	})
}
