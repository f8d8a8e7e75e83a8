package legacy

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"
)

//go:generate go run ../datamodel/internal/pack tables gz tr098-to-tr181.tsv device1-to-tr181.tsv

//go:embed gz/*.tsv.gz
var packed embed.FS

// The tables, by their file names.
const (
	tr098Table   = "tr098-to-tr181.tsv"
	device1Table = "device1-to-tr181.tsv"
)

// Rule is a row of a table: what is said of a name of an older data model and of one of Device:2. Paths are generic, with {i} for instance numbers.
type Rule struct {
	Own       string // "" where Device:2 has a name that no one parameter of the CPE stands for
	Target    string // "" where Device:2 has no counterpart
	Kind      string // object, same-value, enum-map, transform, split, synthesized, command, none
	Transform string // how the value changes, "" not at all
	Instance  string // what the instance numbers become
	Direction string // r: shown; rw: and written; w: written or invoked; "": an input of others
	Note      string
}

// columns of a table; the first two are named after the data models.
var columns = []string{"kind", "transform", "instance", "direction", "note"}

var kinds = []string{"object", "same-value", "enum-map", "transform", "split", "synthesized", "command", "none"}

// readTable calls row for each row of an embedded table, whose first line must be its header.
func readTable(name string, row func(Rule) error) error {
	z, err := packed.ReadFile("gz/" + name + ".gz")
	if err != nil {
		return err
	}
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	return parseTable(name, string(text), row)
}

func parseTable(name, text string, row func(Rule) error) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		c := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		switch {
		case len(c) != len(columns)+2:
			return fmt.Errorf("%s:%d: %d cells, want %d", name, n, len(c), len(columns)+2)
		case n == 1 && !slices.Equal(c[2:], columns):
			return fmt.Errorf("%s:1: columns are %q", name, c)
		case n == 1:
			continue
		case !slices.Contains(kinds, c[2]):
			return fmt.Errorf("%s:%d: kind %q", name, n, c[2])
		case !slices.Contains([]string{"r", "rw", "w", "-", ""}, c[5]):
			return fmt.Errorf("%s:%d: direction %q", name, n, c[5])
		}

		r := Rule{Own: c[0], Target: c[1], Kind: c[2], Transform: c[3], Instance: c[4], Direction: strings.TrimPrefix(c[5], "-"), Note: c[6]}
		if r.Own == "-" {
			r.Own = ""
		}
		if r.Target == "-" {
			r.Target = ""
		}
		if r.Own == "" && r.Target == "" {
			return fmt.Errorf("%s:%d: a row of nothing", name, n)
		}
		if err := row(r); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if n == 0 {
		return fmt.Errorf("%s: empty", name)
	}
	return nil
}
