package translate

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// rows boots a CPE with the port mappings 1 to n, subscribed, and gives what they are to a Controller: InternalPort, which is no key, by number.
func (w *world) rows(n int) (c *cpe.CPE, id usp.EndpointID, is func(want ...string)) {
	w.t.Helper()
	c, id = w.boot(nil)
	for i := 2; i <= n; i++ {
		_, err := w.add(id, mappings, map[string]string{"ExternalPort": strconv.Itoa(8080 + i), "InternalPort": strconv.Itoa(8080 + i)})
		w.must(err)
	}
	w.subscribe(id, "created", "ObjectCreation", mappings, map[string]string{"Persistent": "true"})
	w.subscribe(id, "deleted", "ObjectDeletion", mappings, map[string]string{"Persistent": "true"})
	return c, id, func(want ...string) {
		w.t.Helper()
		got, err := w.get(id, mappings+"*.InternalPort")
		w.must(err)
		var lines []string
		for _, path := range slices.Sorted(maps.Keys(got)) {
			number, _, _ := strings.Cut(strings.TrimPrefix(path, mappings), ".")
			lines = append(lines, number+" "+got[path])
		}
		if !slices.Equal(lines, want) {
			w.t.Errorf("%q, want %q", lines, want)
		}
	}
}

// told gives the creations and deletions that a Controller was told, in order: all of them, once the last is there, which the CPE's next row is.
func (w *world) told(id usp.EndpointID) (told []string) {
	w.t.Helper()
	_, err := w.add(id, mappings, map[string]string{"ExternalPort": "1"})
	w.must(err)
	last := func(n *usppb.Notify) bool { return n.GetObjCreation().GetUniqueKeys()["ExternalPort"] == "1" }
	w.notified(1, last)
	w.peer.mu.Lock()
	defer w.peer.mu.Unlock()
	for _, n := range w.peer.notes {
		switch {
		case last(n.notify):
		case n.notify.GetObjCreation() != nil:
			told = append(told, "+"+strings.TrimPrefix(n.notify.GetObjCreation().GetObjPath(), mappings))
		case n.notify.GetObjDeletion() != nil:
			told = append(told, "-"+strings.TrimPrefix(n.notify.GetObjDeletion().GetObjPath(), mappings))
		}
	}
	return told
}

// R21: rows that have other numbers after a boot are the rows that they were, by their unique keys, and what is read is theirs.
func TestR21_RenumberedAtBoot(t *testing.T) {
	for name, tc := range map[string]struct {
		first int
		want  []string
	}{
		"all others":    {first: 11, want: []string{"11 80", "12 8082", "13 8083"}},
		"some the same": {first: 2, want: []string{"2 80", "3 8082", "4 8083"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c, id, is := w.rows(3)
			is("1 80", "2 8082", "3 8083")
			c.Renumber(mappings, tc.first)
			n := c.Sessions()
			c.Inform(cwmp.EventBoot)
			w.must(c.WaitSessions(w.in(deadline), n+1))
			w.must(c.WaitIdle(w.in(deadline)))
			is(tc.want...)
			if told := w.told(id); told != nil {
				t.Errorf("told of %q", told)
			}
		})
	}
}

// R21: a CPE that fills the gap which a deletion leaves. Of the rows that are left none was deleted or created; those that were to be deleted
// are gone, and no others.
func TestR21_RenumberedByDelete(t *testing.T) {
	w := newWorld(t, nil)
	c, id, is := w.rows(6)
	is("1 80", "2 8082", "3 8083", "4 8084", "5 8085", "6 8086")
	c.SetFaults(cpe.Faults{Renumber: true})
	resp, err := w.delete(id, mappings+"2.", mappings+"3.")
	w.must(err)
	for _, r := range resp.GetDeletedObjResults() {
		if r.GetOperStatus().GetOperSuccess() == nil {
			t.Errorf("%v", r)
		}
	}
	is("1 80", "2 8084", "3 8085", "4 8086") // of which 4 is another row
	if told := w.told(id); !slices.Equal(told, []string{"-2.", "-3."}) && !slices.Equal(told, []string{"-3.", "-2."}) {
		t.Errorf("told of %q", told)
	}
}

// R21: a row that was deleted at the CPE, which fills the gap: one row less is told, and what the others are now.
func TestR21_RenumberedBehindOurBack(t *testing.T) {
	w := newWorld(t, nil)
	c, id, is := w.rows(3)
	is("1 80", "2 8082", "3 8083")
	c.SetFaults(cpe.Faults{Renumber: true})
	w.must(c.Delete(mappings + "2."))
	w.must(w.device(id).Refresh(w.ctx))
	is("1 80", "2 8083")
	if told := w.told(id); !slices.Equal(told, []string{"-3."}) {
		t.Errorf("told of %q", told)
	}
}
