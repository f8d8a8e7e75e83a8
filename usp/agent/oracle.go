package agent

import (
	"context"
	"strings"

	"isthmus/usp"
)

// generalized gives a target with "*" in the place of its searches.
func generalized(target string) string {
	if !isSearch(target) {
		return target
	}
	p, err := usp.ParsePath(target)
	if err != nil {
		return target // it was checked when it was written
	}
	return p.Query()
}

// bind has the searches in targets decided for one request. They look for themselves, whatever the Controller may read, and ask the CPE where that
// is needed and allowed.
func (c *access) bind(ctx context.Context, a *Agent, cached bool) *access {
	if c == nil || !c.searches {
		return c
	}
	s := &seer{x: &exchange{a: a, legacy: true}, cached: cached, paths: map[string]*usp.Path{}, columns: map[string]map[string]string{}, told: map[string]verdict{}}
	out := *c
	out.tells = func(target, path string) verdict { return s.tell(ctx, target, path) }
	return &out
}

// seer decides searches, and reads a column of a table once.
type seer struct {
	x       *exchange
	cached  bool
	paths   map[string]*usp.Path
	columns map[string]map[string]string
	told    map[string]verdict // by row and search
}

// tell compares a path with a target whose segments it has.
func (s *seer) tell(ctx context.Context, target, path string) verdict {
	p, ok := s.paths[target]
	if !ok {
		p, _ = usp.ParsePath(target)
		s.paths[target] = p
	}
	if p == nil {
		return unknown
	}
	out := finds
	for i := range p.Segments {
		if p.Segments[i].Kind != usp.SearchSegment {
			continue
		}
		switch s.tellRow(ctx, cutSegments(path, i+1), &p.Segments[i]) {
		case misses:
			return misses
		case unknown:
			out = unknown
		}
	}
	return out
}

func (s *seer) tellRow(ctx context.Context, row string, search *usp.Segment) verdict {
	key := row + search.String()
	v, ok := s.told[key]
	if !ok {
		v = finds
		for i := range search.Terms {
			if t := s.tellTerm(ctx, row, &search.Terms[i]); t != finds {
				v = t
				if t == misses {
					break
				}
			}
		}
		s.told[key] = v
	}
	return v
}

func (s *seer) tellTerm(ctx context.Context, row string, term *usp.Term) verdict {
	kind, err := s.x.kindOf(ctx, row, term, s.cached)
	if err != nil {
		return unknown
	}
	var values []string
	if term.Follows() {
		values = s.x.valuesOf(ctx, row, term.Param, s.cached)
	} else if v, ok := s.column(ctx, row, term.Name())[row]; ok {
		values = []string{v}
	}
	if len(values) == 0 {
		return unknown
	}
	for _, v := range values {
		if ok, err := term.Match(v, kind); err != nil {
			return unknown
		} else if ok {
			return finds
		}
	}
	return misses
}

// column reads one parameter of all rows of a table, by row.
func (s *seer) column(ctx context.Context, row, name string) map[string]string {
	table, _ := splitRow(row)
	path := table + "*." + name
	values, ok := s.columns[path]
	if !ok {
		values = map[string]string{}
		for _, o := range s.x.fetch(ctx, []Query{{Path: path, Cached: s.cached}})[0].Objects {
			if len(o.Params) == 1 {
				values[cutSegments(o.Path, strings.Count(row, "."))] = o.Params[0].Value
			}
		}
		s.columns[path] = values
	}
	return values
}
