package agent

import (
	"context"
	"strings"

	"isthmus/usp"
)

// target is a path of a request on its way to what it denotes in the instantiated data model.
type target struct {
	raw string
	// path is nil where the path needs no resolving: no search, no reference.
	path *usp.Path
	next int // the segment of path that prefixes end before
	// prefixes are the objects found so far, with "*" where a wildcard stood.
	prefixes []string
	// leaf is what follows the last dot: a parameter, command or event, or an object without its dot.
	leaf string
	// searched says that finding nothing is no error (R-MSG.4a): a wildcard, search or reference was in the path.
	searched bool
	err      error
	asked    int // queries of this round
}

// newTarget reads a path. The plain ones, which are nearly all, cost no parse tree.
func newTarget(raw string) *target {
	t := &target{raw: raw}
	if object, leaf, ok := plain(raw); ok {
		t.prefixes, t.leaf, t.searched = []string{object}, leaf, strings.Contains(raw, "*")
		return t
	}
	t.path, t.err = usp.ParsePath(raw)
	switch {
	case raw == "":
		t.err = usp.Errorf(usp.InvalidPath, "the path is empty")
	case t.err == nil && t.path.Segments[0].Name != "Device":
		t.err = usp.Errorf(usp.InvalidPath, "%s does not begin with Device.", raw)
	case t.err == nil && t.path.IsSchema():
		t.err = usp.Errorf(usp.InvalidPath, "%s is a path of the supported data model", raw)
	}
	t.prefixes = []string{""}
	return t
}

// maxDigits is how long a number may be that is surely an instance number.
const maxDigits = 9

// plain takes a path apart that consists of names, numbers and "*" only.
func plain(s string) (object, leaf string, ok bool) {
	if !strings.HasPrefix(s, "Device.") || len(s) > usp.MaxPathLength || strings.Count(s, ".") > usp.MaxSegments {
		return "", "", false
	}
	start, digits, row := 0, true, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			was := row
			row = digits || s[start] == '*'
			if i == start || digits && (s[start] == '0' || i-start > maxDigits) || row && was {
				return "", "", false
			}
			start, digits = i+1, true
		case '0' <= c && c <= '9':
			digits = digits && true
		case 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_':
			if i > start && digits {
				return "", "", false
			}
			digits = false
		case c == '-' && i > start && !digits:
		case c == '*' && i == start && (i+1 == len(s) || s[i+1] == '.'):
			digits = false
		default:
			return "", "", false
		}
	}
	leaf = s[start:]
	if leaf == "" {
		return s, "", true
	}
	if digits && (leaf[0] == '0' || len(leaf) > maxDigits) || row && (digits || leaf == "*") {
		return "", "", false
	}
	if digits || leaf == "*" {
		return s + ".", "", true
	}
	return s[:start], leaf, true
}

// paths are what the target came to: concrete paths, or such with "*" in them.
func (t *target) paths() []string {
	if t.err != nil {
		return nil
	}
	if t.leaf == "" {
		return t.prefixes
	}
	out := make([]string, len(t.prefixes))
	for i, p := range t.prefixes {
		out[i] = p + t.leaf
	}
	return out
}

// isRow says that the path ends in an instance identifier.
func (t *target) isRow() bool {
	if t.path != nil {
		k := t.path.Segments[len(t.path.Segments)-1].Kind
		return k != usp.NameSegment
	}
	if t.leaf != "" {
		return false
	}
	p := strings.TrimSuffix(t.prefixes[0], ".")
	last := p[strings.LastIndexByte(p, '.')+1:]
	return last == "*" || IsInstance(last)
}

// object makes a target whose final dot is missing an object's.
func (t *target) object() {
	if t.leaf == "" {
		return
	}
	t.prefixes, t.leaf = t.paths(), ""
	for i := range t.prefixes {
		t.prefixes[i] += "."
	}
}

// resolve follows the searches and references of all paths, reading what they need together, round by round.
func (x *exchange) resolve(ctx context.Context, targets []*target, cached bool) {
	for {
		var queries []Query
		var waiting []*target
		for _, t := range targets {
			if !t.advance() {
				continue
			}
			if !x.spend(len(t.prefixes)) {
				t.err = errTooMuch
				continue
			}
			asks := t.queries(cached)
			t.asked = len(asks)
			queries = append(queries, asks...)
			waiting = append(waiting, t)
		}
		if len(waiting) == 0 {
			return
		}
		readings := x.read(ctx, queries)
		for _, t := range waiting {
			if s := &t.path.Segments[t.next]; s.Kind == usp.SearchSegment {
				t.prefixes, t.err = x.search(ctx, s.Terms, t.prefixes, readings[:t.asked], cached)
			} else {
				t.prefixes, t.err = follow(s, readings[:t.asked])
			}
			if t.err == nil && !x.spend(len(t.prefixes)) {
				t.err, t.prefixes = errTooMuch, nil
			}
			t.searched = true
			t.next++
			readings = readings[t.asked:]
		}
	}
}

// advance goes on to the next segment that needs reading; false if there is none.
func (t *target) advance() bool {
	if t.err != nil || t.path == nil {
		return false
	}
	for ; t.next < len(t.path.Segments) && len(t.prefixes) > 0; t.next++ {
		s := &t.path.Segments[t.next]
		switch {
		case s.Kind == usp.SearchSegment || s.Follow:
			return true
		case s.Kind == usp.NameSegment && t.next == len(t.path.Segments)-1 && t.path.Kind != usp.ObjectPath:
			t.leaf = s.Name
			continue
		case s.Kind == usp.WildcardSegment:
			t.searched = true
		}
		seg := s.String() + "."
		grown := make([]string, len(t.prefixes))
		for i, p := range t.prefixes {
			grown[i] = p + seg
		}
		t.prefixes = grown
	}
	return false
}

// queries asks for what the segment at hand needs.
func (t *target) queries(cached bool) []Query {
	var out []Query
	s := &t.path.Segments[t.next]
	for _, p := range t.prefixes {
		if s.Follow {
			out = append(out, Query{Path: p + s.Name, Cached: cached})
			continue
		}
		out = append(out, Query{Path: p + "*.", Depth: 1, RowsOnly: true, Cached: cached})
		for i := range s.Terms {
			if !s.Terms[i].Follows() {
				out = append(out, Query{Path: p + "*." + s.Terms[i].Name(), Cached: cached})
			}
		}
	}
	return out
}

// search gives the rows in which all terms hold.
func (x *exchange) search(ctx context.Context, terms []usp.Term, prefixes []string, readings []Reading, cached bool) ([]string, error) {
	var found []string
	for _, prefix := range prefixes {
		rows := readings[0]
		readings = readings[1:]
		if rows.Err != nil {
			return nil, rows.Err
		}
		if !x.spend(len(rows.Objects)) {
			return nil, errTooMuch
		}
		alive := make(map[string]bool, len(rows.Objects))
		for _, o := range rows.Objects {
			alive[o.Path] = true
		}
		for i := range terms {
			kind, err := x.kindOf(ctx, prefix+"*.", &terms[i], cached)
			if err != nil {
				return nil, err
			}
			if _, err := terms[i].Match("", kind); err != nil {
				return nil, err
			}
			holds := make(map[string]bool, len(alive))
			if terms[i].Follows() {
				for row := range alive {
					for _, v := range x.valuesOf(ctx, row, terms[i].Param, cached) {
						if ok, _ := terms[i].Match(v, usp.UnknownValue); ok {
							holds[row] = true
						}
					}
				}
			} else {
				if readings[0].Err != nil {
					return nil, readings[0].Err
				}
				depth := strings.Count(prefix, ".") + 1
				for _, o := range readings[0].Objects {
					for _, p := range o.Params {
						if ok, _ := terms[i].Match(p.Value, kind); ok {
							holds[cutSegments(o.Path, depth)] = true
						}
					}
				}
				readings = readings[1:]
			}
			for row := range alive {
				alive[row] = alive[row] && holds[row]
			}
		}
		for _, o := range rows.Objects {
			if alive[o.Path] {
				found = append(found, o.Path)
			}
		}
	}
	return found, nil
}

// kindOf is the type of a term's parameter. From the cache alone the literal's form has to do, since the data model may not be known yet.
func (x *exchange) kindOf(ctx context.Context, row string, t *usp.Term, cached bool) (usp.ValueKind, error) {
	if cached || t.Follows() {
		return usp.UnknownValue, nil
	}
	m, err := x.supported(ctx, row)
	if err != nil {
		return 0, err
	}
	path := row + t.Name()
	dot := strings.LastIndexByte(path, '.') + 1
	if o := m.Object(path[:dot]); o != nil {
		if p := o.Param(path[dot:]); p != nil {
			return usp.ValueKind(p.Type), nil
		}
	}
	return 0, unsupported(path)
}

// valuesOf reads a parameter that lies behind references.
func (x *exchange) valuesOf(ctx context.Context, object string, param []usp.Segment, cached bool) []string {
	if !x.spend(1) {
		return nil // which the caller finds out
	}
	for i := range param {
		s := &param[i]
		if !s.Follow {
			if i == len(param)-1 {
				return values(x.read(ctx, []Query{{Path: object + s.Name, Cached: cached}}))
			}
			object += s.Name + "."
			continue
		}
		var out []string
		objects, err := follow(s, x.read(ctx, []Query{{Path: object + s.Name, Cached: cached}}))
		if err != nil {
			return nil
		}
		for _, o := range objects {
			out = append(out, x.valuesOf(ctx, o, param[i+1:], cached)...)
		}
		return out
	}
	return nil
}

func values(readings []Reading) []string {
	var out []string
	for _, r := range readings {
		for _, o := range r.Objects {
			for _, p := range o.Params {
				out = append(out, p.Value)
			}
		}
	}
	return out
}

// follow gives the objects that references name.
func follow(s *usp.Segment, readings []Reading) ([]string, error) {
	var out []string
	for _, r := range readings {
		if r.Err != nil {
			return nil, r.Err
		}
		for _, value := range values([]Reading{r}) {
			items := splitList(value)
			switch {
			case s.Item == usp.AllItems:
			case max(s.Item, 1) <= len(items):
				items = items[max(s.Item, 1)-1:][:1]
			default:
				items = nil
			}
			for _, item := range items {
				if object, leaf, ok := plain(item); ok && !strings.Contains(item, "*") {
					if leaf != "" {
						object += leaf + "."
					}
					out = append(out, object)
				}
			}
		}
	}
	return out, nil
}

// cutSegments gives the first n segments of an object's path.
func cutSegments(path string, n int) string {
	for i := 0; i < len(path); i++ {
		if path[i] == '.' {
			if n--; n == 0 {
				return path[:i+1]
			}
		}
	}
	return path
}

// existing gives the objects that each target denotes and that are there. Only rows can be missing: an object of the supported data model that is
// in no row is there. A target without "*", search or reference whose row is not there gets error 7016.
func (x *exchange) existing(ctx context.Context, targets []*target) [][]string {
	var queries []Query
	for _, t := range targets {
		t.asked = 0
		if t.err != nil {
			continue
		}
		if !x.spend(len(t.prefixes)) {
			t.err = errTooMuch
			continue
		}
		for _, p := range t.prefixes {
			if row := p[:lastRow(p)]; row != "" {
				queries = append(queries, Query{Path: row, Depth: 1, RowsOnly: true})
				t.asked++
			}
		}
	}
	readings := x.read(ctx, queries)
	out := make([][]string, len(targets))
	for i, t := range targets {
		if t.err != nil {
			continue
		}
		found := readings[:t.asked]
		readings = readings[t.asked:]
		for _, p := range t.prefixes {
			n := lastRow(p)
			if n == 0 {
				out[i] = append(out[i], p)
				continue
			}
			if found[0].Err != nil {
				t.err = found[0].Err
				break
			}
			if !x.spend(len(found[0].Objects)) {
				t.err, out[i] = errTooMuch, nil
				break
			}
			for _, o := range found[0].Objects {
				out[i] = append(out[i], o.Path+p[n:])
			}
			found = found[1:]
		}
		if t.err == nil && !t.searched && len(out[i]) == 0 {
			t.err = usp.Errorf(usp.ObjectDoesNotExist, "%s does not exist", t.raw)
		}
	}
	return out
}

// lastRow is the length of a path up to its last instance identifier, 0 if it has none.
func lastRow(path string) int {
	end, start := 0, 0
	for i := 0; i < len(path); i++ {
		if path[i] == '.' {
			if seg := path[start:i]; seg == "*" || IsInstance(seg) {
				end = i + 1
			}
			start = i + 1
		}
	}
	return end
}
