package legacy

import (
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"os"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

//go:embed vendors/*.tsv
var vendorTables embed.FS

const maxVendorFile = 4 << 20 // bytes

// Vendor is a table of a maker's extensions to TR-098: rows like those of the standard table, each said to be read, or to be left out and why. It does not
// change.
type Vendor struct {
	Name  string
	rules []*rule
	rows  []Row
}

// Same says whether two tables map the same.
func (v *Vendor) Same(o *Vendor) bool { return reflect.DeepEqual(v.rows, o.rows) }

// Vendors are the names of the tables that come with isthmus.
func Vendors() (names []string) {
	entries, err := vendorTables.ReadDir("vendors")
	if err != nil {
		panic("legacy: embedded tables: " + err.Error())
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".tsv"); ok {
			names = append(names, name)
		}
	}
	return names
}

// LoadVendor reads a table: of isthmus by its name, or an operator's by the name of its file, which ends in .tsv. The error has a line "file:line: what is
// wrong and what to do" for everything wrong.
func LoadVendor(name string) (*Vendor, error) {
	if !strings.HasSuffix(name, ".tsv") {
		text, err := vendorTables.ReadFile("vendors/" + name + ".tsv")
		if err != nil {
			return nil, fmt.Errorf("%q is no table of isthmus: write one of %s, or the name of a file that ends in .tsv", name, strings.Join(Vendors(), ", "))
		}
		return parseVendor(name, name+".tsv", string(text))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxVendorFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", name, err)
	case len(text) > maxVendorFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxVendorFile)
	}
	return parseVendor(strings.TrimSuffix(path.Base(name), ".tsv"), name, string(text))
}

const (
	vendorHeader = "tr098\ttr181\tkind\ttransform\tinstance\tdirection\tnote"
	rootTR098    = "InternetGatewayDevice."
)

func parseVendor(name, file, text string) (*Vendor, error) {
	v := &Vendor{Name: name}
	var problems []error
	seen := map[[2]string]bool{}
	headed := false
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		say := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("%s:%d: %s", file, i+1, fmt.Sprintf(format, args...)))
		}
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case !headed && line != vendorHeader:
			say("the first line must name the columns: %s", strings.ReplaceAll(vendorHeader, "\t", " "))
			return nil, errors.Join(problems...)
		case !headed:
			headed = true
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != len(columns)+2 {
			say("%d cells, want %d, parted by tabs", len(cells), len(columns)+2)
			continue
		}
		row := Row{Rule{cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6]}, v.Name}
		if key := [2]string{row.Own, row.Target}; seen[key] {
			say("%s: second row for %s", row.Own, row.Target)
			continue
		} else {
			seen[key] = true
		}
		r, err := row.rule()
		if err != nil {
			say("%s: %v", row.Own, err)
			continue
		}
		if row.Target == "-" {
			row.Target = ""
		}
		v.rows = append(v.rows, row)
		if r != nil {
			v.rules = append(v.rules, r)
		}
	}
	if !headed && len(problems) == 0 {
		return nil, fmt.Errorf("%s:1: is empty: the first line must name the columns", file)
	}
	return v, errors.Join(problems...)
}

// rule makes the rule of a vendor's row, nil where it says why there is none.
func (row *Row) rule() (*rule, error) {
	r := &rule{source: row.Own, target: row.Target, from: strings.Split(row.Own, "{i}"), to: strings.Split(row.Target, "{i}"),
		object: strings.HasSuffix(row.Own, "."), radio: strings.Contains(row.Instance, "radio("), reads: true, vendor: true}
	switch {
	case !strings.HasPrefix(row.Own, rootTR098) || len(row.Own) == len(rootTR098):
		return nil, fmt.Errorf("is no path of %s", rootTR098)
	case row.Kind == kindNone && row.Note == "":
		return nil, errors.New("has no place in Device:2 and no note that says why")
	case row.Kind == kindNone && row.Target != "-":
		return nil, fmt.Errorf("kind none has no tr181: write -")
	case row.Kind == kindNone:
		return nil, nil
	case !strings.HasPrefix(row.Target, "Device."), strings.HasSuffix(row.Target, ".") != r.object, (row.Kind == kindObject) != r.object:
		return nil, fmt.Errorf("%q of kind %q is not what it can become: an object ends in a dot, and so does its place", row.Target, row.Kind)
	case datamodel.Hidden(row.Target) || datamodel.Served(row.Target) || strings.HasSuffix(row.Target, countSuffix):
		return nil, fmt.Errorf("%s is the proxy's own", row.Target)
	case !datamodel.Known(row.Target) && !strings.Contains(row.Target, ".X_"):
		return nil, fmt.Errorf("%s is not in Device:2, and not named as a maker's own (X_…)", row.Target)
	case len(r.from)-1 > maxNums || len(r.to)-1 > maxNums:
		return nil, fmt.Errorf("%s has too many tables", row.Target)
	}
	if p, ok := datamodel.LookupParam(row.Target); ok {
		if r.typ = p.Type; p.List {
			r.typ = agent.TypeString
		}
	}
	if err := r.setNumbers(row.Instance); err != nil {
		return nil, err
	}
	switch row.Kind {
	case kindObject, "same-value":
	case "enum-map":
		if !strings.Contains(row.Transform, "=") {
			return nil, errors.New("enum-map has no pairs a=b in transform")
		}
		r.conv = enumMap(row.Transform)
	case "transform":
		if row.Transform == "ref" {
			r.reference = true
			break
		}
		var known bool
		if r.conv, known = conversions[row.Transform]; !known {
			r.conv, known = vendorConversions[row.Transform]
		}
		if !known {
			return nil, fmt.Errorf("transform %q is unknown", row.Transform)
		}
	default:
		return nil, fmt.Errorf("kind %q is unknown: write object, same-value, enum-map, transform or none", row.Kind)
	}
	switch row.Direction {
	case "r":
	case "rw":
		if r.writes = true; r.conv.to != nil && r.conv.back == nil {
			return nil, fmt.Errorf("transform %q has no way back: write direction r", row.Transform)
		}
		r.addable = r.object && strings.HasSuffix(row.Own, "{i}.")
	default:
		return nil, fmt.Errorf("direction %q is unknown: write r or rw", row.Direction)
	}
	return r, nil
}

// setNumbers takes column instance, which has to give every number of the target from those of the source, and back.
func (r *rule) setNumbers(instance string) error {
	numbers, functional := parseNumbers(instance, len(r.to)-1)
	if !functional {
		return fmt.Errorf("instance %q does not give the %d numbers of %s", instance, len(r.to)-1, r.target)
	}
	r.numbers = numbers
	var nums, back [maxNums]uint32
	for i := range len(r.from) - 1 {
		nums[i] = 1
	}
	for _, n := range numbers {
		x, ok := n.of(nums[:])
		if !ok || !n.back(x, back[:]) {
			return fmt.Errorf("instance %q takes numbers that %s does not have", instance, r.source)
		}
	}
	if back != nums && !r.radio {
		return fmt.Errorf("instance %q does not give the numbers of %s back", instance, r.source)
	}
	return nil
}

// With gives TR098 with a maker's extensions, whose rules go before the standard ones.
func (m *Map) With(v *Vendor) *Map {
	out := mustLoad(m.root, tr098Table)
	out.vendor = true
	for _, r := range slices.Backward(v.rules) {
		if len(out.sources[r.target]) == 0 {
			out.targets = append(out.targets, r.target)
		}
		out.sources[r.target] = slices.Insert(out.sources[r.target], 0, r)
	}
	for _, r := range v.rules {
		at := out.step(r.source)
		at.rules = append(at.rules, r)
	}
	slices.Sort(out.targets)
	h := fnv.New32a()
	fmt.Fprint(h, Version, v.rows)
	out.version = h.Sum32()
	return out
}

// letVendorsSpeak has what makers' rules say stand against what the standard rules and the code make up.
func (p *projection) letVendorsSpeak() {
	put, said := p.put, map[string]bool{}
	p.put = func(path, value string, settable bool) {
		if !said[path] {
			put(path, value, settable)
		}
	}
	p.vendors = func(path, value string, settable bool) {
		said[path] = true
		put(path, value, settable)
	}
}

// extends says whether a maker's rule, of a parameter that the CPE has, writes a place in Device:2.
func (m *Map) extends(root Node, generic string, segs []string) bool {
	return slices.ContainsFunc(m.sources[generic], func(r *rule) bool { return r.vendor && r.writes && m.node(root, r.write(segs)) != nil })
}

// vendorConversions are transforms of makers' values alone.
var vendorConversions = map[string]conversion{"optical power": {to: opticalPower}}

// The unit of what an optical module measures (SFF-8472), in mW, and the highest power in dBm that can be meant by a positive number: no module for
// subscribers sends more.
const (
	moduleUnit   = 0.0001
	highestPower = 10
)

// noPower is the lowest that Device:2 has: nothing is received, or what the CPE says is no number.
const noPower = "-65536"

// opticalPower gives thousandths of dBm. CPE say dBm, or what the module measures, in 0.1 uW.
func opticalPower(v string) string {
	f, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "dBm")), 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > math.MaxUint16 {
		return noPower
	}
	if f > highestPower {
		f = 10 * math.Log10(f*moduleUnit)
	}
	return strconv.Itoa(int(math.Round(f * 1000)))
}
