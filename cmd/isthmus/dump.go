package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"isthmus/cwmp/cpe"
	"isthmus/translate/datamodel"
	"isthmus/translate/legacy"
	"isthmus/translate/quirks"
	"isthmus/usp/agent"
)

type dumpCmd struct {
	File   string `arg:"" help:"Device as GenieACS exports it (CSV: Parameter, Object, Writable, Value, Value type)."`
	Vendor string `placeholder:"NAME|FILE" help:"With the extensions of a maker: ${vendors}, or a file that ends in .tsv; without it those of the device's quirk profile."`
	JSON   bool   `help:"Print JSON, with every parameter."`
}

// coverage is what datamodel check says.
type coverage struct {
	Model    string    `json:"model"` // TR-098, Device:1 or Device:2
	Vendor   string    `json:"vendor,omitempty"`
	Standard share     `json:"standard"`
	Makers   share     `json:"makers"` // the maker's own names
	Subtrees []subtree `json:"subtrees"`
	Leaves   []leaf    `json:"leaves"`
}

// share is how much of something is shown in Device:2.
type share struct {
	Leaves int `json:"leaves"`
	Mapped int `json:"mapped"`
}

type subtree struct {
	Path string `json:"path"`
	share
}

type leaf struct {
	Path     string   `json:"path"`
	Standard bool     `json:"standard"`
	Mapped   bool     `json:"mapped"`
	Places   []string `json:"places,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

func (s *share) count(mapped bool) {
	if s.Leaves++; mapped {
		s.Mapped++
	}
}

func (s share) String() string {
	percent := 0.0
	if s.Leaves > 0 {
		percent = 100 * float64(s.Mapped) / float64(s.Leaves)
	}
	return fmt.Sprintf("%d\t%d\t%.1f %%", s.Leaves, s.Mapped, percent)
}

func (c *dumpCmd) Run(a *app) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	tree, err := cpe.LoadCSV(f)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	r, err := c.cover(tree)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, r)
	}
	return r.print(a)
}

func (c *dumpCmd) cover(tree *cpe.Tree) (*coverage, error) {
	var entries []legacy.Entry
	has := map[string]bool{}
	for _, e := range tree.All() {
		entries = append(entries, legacy.Entry(e))
		has[e.Path] = true
	}
	r := &coverage{}
	var leaves []legacy.Leaf
	switch tr098 := has[legacy.TR098().Root()]; {
	case tr098:
		r.Model = "TR-098"
		if r.Vendor = c.Vendor; r.Vendor == "" {
			id := tree.DeviceID
			q, _ := quirks.Default().Of(quirks.CPE{OUI: id.OUI, ProductClass: id.ProductClass}, quirks.Learnt{})
			r.Vendor = q.Mapping
		}
		vendor, err := loadVendor(r.Vendor)
		if err != nil {
			return nil, err
		}
		leaves = legacy.TR098().Coverage(entries, vendor)
	case datamodel.Device2(func(name string) bool { return has[name] }):
		r.Model, leaves = "Device:2", device2Leaves(entries)
	default:
		r.Model, leaves = "Device:1", legacy.Device1().Coverage(entries, nil)
	}
	for _, l := range leaves {
		r.add(leaf(l))
	}
	return r, nil
}

// device2Leaves says of a Device:2 CPE what is hidden; all else is shown as it is.
func device2Leaves(entries []legacy.Entry) (leaves []legacy.Leaf) {
	for _, e := range entries {
		if strings.HasSuffix(e.Path, ".") {
			continue
		}
		l := legacy.Leaf{Path: e.Path, Standard: datamodel.Known(agent.GenericPath(e.Path)), Mapped: true, Places: []string{e.Path}}
		switch {
		case datamodel.Hidden(e.Path):
			l = legacy.Leaf{Path: e.Path, Standard: l.Standard, Reason: "the proxy's own in USP"}
		case datamodel.Served(e.Path):
			l.Places = nil // as a command
		}
		leaves = append(leaves, l)
	}
	return leaves
}

func (r *coverage) add(l leaf) {
	path := strings.SplitAfter(l.Path, ".")
	top := strings.Join(path[:min(len(path)-1, 2)], "")
	i := slices.IndexFunc(r.Subtrees, func(s subtree) bool { return s.Path == top })
	if i < 0 {
		i, r.Subtrees = len(r.Subtrees), append(r.Subtrees, subtree{Path: top})
	}
	r.Subtrees[i].count(l.Mapped)
	if l.Standard {
		r.Standard.count(l.Mapped)
	} else {
		r.Makers.count(l.Mapped)
	}
	r.Leaves = append(r.Leaves, l)
}

func (r *coverage) print(a *app) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	model := r.Model
	if r.Vendor != "" {
		model += " with " + r.Vendor
	}
	fmt.Fprintf(w, "%s\tLEAVES\tSHOWN\t\n", model)
	fmt.Fprintf(w, "standard\t%s\nmaker's own\t%s\n", r.Standard, r.Makers)
	for _, s := range r.Subtrees {
		fmt.Fprintf(w, "%s\t%s\n", s.Path, s.share)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, part := range []struct {
		title    string
		standard bool
	}{{"Standard, not shown", true}, {"Maker's own, not shown", false}} {
		titled := false
		for _, l := range r.Leaves {
			if l.Mapped || l.Standard != part.standard {
				continue
			}
			if !titled {
				fmt.Fprintf(w, "\n%s:\n", part.title)
				titled = true
			}
			fmt.Fprintf(w, "%s\t%s\n", l.Path, l.Reason)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
