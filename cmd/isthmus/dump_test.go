package main

import (
	"os"
	"strings"
	"testing"

	"isthmus/cwmp/cpe"
)

// TestRealGateway: of a real gateway at least what the tables promise is shown, and of all else it is said why it is not; of the maker's names each has
// a place or a reason.
func TestRealGateway(t *testing.T) {
	const (
		file    = "../../../shared/dumps/huawei-bm632w-tr098.csv"
		leaves  = 792
		percent = 74 // of the standard ones
	)
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		t.Skip("NOT TESTED with the tree of a real gateway: it is not beside this repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tree, err := cpe.LoadCSV(f)
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&dumpCmd{}).cover(tree)
	if err != nil {
		t.Fatal(err)
	}
	if c.Model != "TR-098" || c.Vendor != "huawei" || len(c.Leaves) != leaves || c.Standard.Leaves+c.Makers.Leaves != leaves {
		t.Errorf("%s with %s, %d leaves", c.Model, c.Vendor, len(c.Leaves))
	}
	if 100*c.Standard.Mapped < percent*c.Standard.Leaves {
		t.Errorf("of the standard leaves %d of %d are shown", c.Standard.Mapped, c.Standard.Leaves)
	}
	for _, l := range c.Leaves {
		if l.Mapped == (l.Reason != "") || strings.HasPrefix(l.Reason, "no table") {
			t.Errorf("%+v", l)
		}
	}
	t.Logf("standard: %s, maker's own: %s", c.Standard, c.Makers)
}
