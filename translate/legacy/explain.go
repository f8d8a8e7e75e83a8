package legacy

import (
	"slices"
	"strings"

	"isthmus/usp/agent"
)

// The kinds of a Rule that the program tells apart here.
const (
	kindNone   = "none"
	kindObject = "object"
)

// Row is a Rule of the standard table or of a maker's.
type Row struct {
	Rule
	Vendor string // the maker whose table it is of, "" for the standard one
}

// Root is the root object of the data model that the map is of.
func (m *Map) Root() string { return m.root }

// rows are all of the map's standard table.
func (m *Map) rows() (rows []Row) {
	table := tr098Table
	if m.root != rootTR098 {
		table = device1Table
	}
	if err := readTable(table, func(r Rule) error { rows = append(rows, Row{Rule: r}); return nil }); err != nil {
		panic("legacy: embedded tables: " + err.Error())
	}
	return rows
}

// Explain gives the rows about a path of either data model, with instance numbers, "{i}" or "*"; of an object also those of what is below. Where it has
// numbers, so has the other side, as far as they follow from them. vendor may be nil.
func (m *Map) Explain(path string, vendor *Vendor) (found []Row) {
	generic := strings.ReplaceAll(agent.GenericPath(path), "*", "{i}")
	rows := m.rows()
	if vendor != nil {
		rows = append(slices.Clone(vendor.rows), rows...)
	}
	covers := func(name string) bool {
		return name == generic || strings.HasSuffix(generic, ".") && (strings.HasPrefix(name, generic) || name == generic+"{i}.")
	}
	segs := strings.Split(path, ".")
	for _, row := range rows {
		row.asServed()
		switch {
		case covers(row.Own) && strings.HasPrefix(generic, m.root):
			if row.fillTarget(segs); m.beyond(path) {
				row.Note = beyondDomain
			}
		case covers(row.Target) && row.gives(segs):
			row.fillOwn(segs)
		default:
			continue
		}
		found = append(found, row)
	}
	return found
}

// asServed makes of what a table says what is shown of it.
func (row *Row) asServed() {
	if why, ok := covered(unusedSources, row.Own); ok {
		row.Direction, row.Note = "", why
	} else if why, ok := covered(unshown, row.Target); ok {
		row.Direction, row.Note = "", why
	} else if why, ok := covered(unwritten, row.Target); ok {
		row.Direction, row.Note = "r", why
	}
}

// Numbered gives paths in place of one of Device:2 whose numbers are none that the rows about it give: with those of the first rows of a CPE.
func (m *Map) Numbered(path string, vendor *Vendor) (examples []string) {
	for _, row := range m.Explain(agent.GenericPath(path), vendor) {
		segs := strings.Split(row.Own, ".")
		for i := range segs {
			if segs[i] == "{i}" {
				segs[i] = "1"
			}
		}
		if row.fillTarget(segs); !strings.Contains(row.Target, "{i}") && !slices.Contains(examples, row.Target) {
			examples = append(examples, row.Target)
		}
	}
	return examples
}

// fillTarget puts the numbers of an own path into both.
func (row *Row) fillTarget(segs []string) {
	own := strings.Split(row.Own, ".")
	var nums [maxNums]uint32
	depth := 0
	for i := range own {
		if own[i] != "{i}" || i >= len(segs) || depth == maxNums {
			continue
		}
		if n, ok := number32(segs[i]); ok {
			own[i], nums[depth] = segs[i], n
		}
		depth++
	}
	row.Own = strings.Join(own, ".")
	parts := strings.Split(row.Target, "{i}")
	numbers, ok := parseNumbers(row.Instance, len(parts)-1)
	if !ok || strings.Contains(row.Instance, "radio(") {
		return
	}
	for i, n := range numbers {
		number := "{i}"
		if x, ok := n.of(nums[:]); ok {
			number = itoa(x)
		}
		parts[i] += number
	}
	row.Target = strings.Join(parts, "")
}

// gives says whether the row can have the numbers of a Device:2 path. What takes more than functions to tell can.
func (row *Row) gives(segs []string) bool {
	exprs := strings.Split(row.Instance, ";")
	for i, seg := range strings.Split(row.Target, ".") {
		if seg != "{i}" || len(exprs) == 0 {
			continue
		}
		var nums [maxNums]uint32
		numbers, functional := parseNumbers(exprs[0], 1)
		exprs = exprs[1:]
		if i >= len(segs) || !functional {
			continue
		}
		if x, ok := number32(segs[i]); ok && !numbers[0].back(x, nums[:]) {
			return false
		}
	}
	return true
}

// fillOwn puts the numbers of a Device:2 path into both.
func (row *Row) fillOwn(segs []string) {
	to := strings.Split(row.Target, "{i}")
	numbers, ok := parseNumbers(row.Instance, len(to)-1)
	if ok && row.Own != "" && !strings.Contains(row.Instance, "radio(") {
		plain := rule{target: row.Target, from: strings.Split(row.Own, "{i}"), to: to, numbers: numbers}
		if own := plain.pattern(segs); own != "" {
			row.Own = strings.ReplaceAll(own, "*", "{i}")
		}
	}
	target := strings.Split(row.Target, ".")
	for i := range target {
		if i < len(segs) && target[i] == "{i}" && agent.IsInstance(segs[i]) {
			target[i] = segs[i]
		}
	}
	row.Target = strings.Join(target, ".")
}
