package conformance_test

import (
	"slices"
	"strings"
	"testing"
)

// TestHomesAlias: a row that Controllers can make has an Alias, whether the CPE has a parameter for it or not: it is given with the row, or made up,
// finds it, is no other row's, and is not written again.
func TestHomesAlias(t *testing.T) {
	tables := []homeTable{homeTables[0], homeTables[1], homeTables[2]}
	for _, c := range tables {
		t.Run(c.path, func(t *testing.T) {
			var want []any
			for _, h := range homes {
				if slices.Contains(c.lack, h.model) {
					continue
				}
				for name, none := range map[string]bool{h.model: false, h.model + " without": true} {
					if none && h.model == device2 {
						continue
					}
					t.Run(name, func(t *testing.T) {
						tree := h.tree()
						if none {
							tree = tree.Without("Alias")
						}
						e := fresh(t, options{tree: tree})
						got := e.aliases(c)
						if want == nil {
							want = got
						}
						if !slices.Equal(want, got) {
							e.Errorf("%v, want %v", got, want)
						}
					})
				}
			}
		})
	}
}

// aliases is what becomes of the Alias of two rows.
func (e *eut) aliases(c homeTable) (out []any) {
	e.Helper()
	first, keys := e.added(c.path, c.row...)
	given := keys["Alias"]
	own := slices.DeleteFunc(slices.Clone(c.row), func(p param) bool { return p.name == "Alias" })
	for i, p := range own { // other keys
		switch p.name {
		case "Username", "Chaddr":
			own[i] = req(p.name, strings.Replace(p.value+"x", ":04x", ":05", 1))
		case "ExternalPort":
			own[i] = req(p.name, "2323")
		}
	}
	second, keys := e.added(c.path, own...)
	made := keys["Alias"]
	out = append(out, given, strings.HasPrefix(made, "cpe-"), e.sole(c.path+`[Alias=="`+given+`"].`) == first, e.sole(c.path+`[Alias=="`+made+`"].`) == second)

	_, err := e.set(false, obj{second, []param{req("Alias", "renamed")}})
	out = append(out, e.refused(err).Params[0].Code)
	_, err = e.add(false, obj{c.path, c.row})
	out = append(out, e.refused(err).Params[0].Code)
	for _, alias := range []string{"", strings.Repeat("a", 65)} {
		_, err = e.add(false, obj{c.path, append(slices.Clone(own), req("Alias", alias))})
		out = append(out, e.refused(err).Code)
	}

	_, err = e.delete(false, c.path+`[Alias=="`+given+`"].`)
	e.must(err)
	again, _ := e.added(c.path, c.row...)
	return append(out, e.sole(c.path+`[Alias=="`+given+`"].`) == again)
}

// TestTR098AliasKept: an Alias that is kept for the CPE is there after a restart, and goes with its row and with a reset.
func TestTR098AliasKept(t *testing.T) {
	const table = "Device.Users.User."
	e := fresh(t, options{tree: homes[1].tree().Without("Alias")})
	e.wantValue(table+"1.Alias", "cpe-User-1")
	row, _ := e.added(table, req("Username", "guest"), req("Alias", "guest"))
	connects := e.a.Connects()
	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(e.a.WaitConnects(e.w.ctx, connects+1))
	e.wantValue(row+"Alias", "guest")
	e.must(e.w.cpe.RemoveRow(rootIGD + "User.2."))
	_, err := e.delete(false, row)
	e.must(err)
	again, _ := e.added(table, req("Username", "other"))
	if alias := e.values(again)[again]["Alias"]; !strings.HasPrefix(alias, "cpe-") {
		e.Errorf("a new row is called %s", alias)
	}
	third, _ := e.added(table, req("Username", "third"), req("Alias", "cpe-User-1x"))
	e.wantValue(third+"Alias", "cpe-User-1x")
	sub := unique("reset")
	e.subscribe(sub, "Event", "Device.Boot!", req("Persistent", "true"))
	e.start("Device.FactoryReset()", "home")
	e.notified(sub)
	last, _ := e.added(table, req("Username", "last"))
	if alias := e.values(last)[last]["Alias"]; !strings.HasPrefix(alias, "cpe-") {
		e.Errorf("a new row is called %s", alias)
	}
}
