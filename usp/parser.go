package usp

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parser reads a path from left to right and never goes back.
type parser struct {
	in       string
	pos      int
	segments int
	terms    int
}

func (p *parser) fail(what string) error {
	return Errorf(InvalidPathSyntax, "path syntax: %s at byte %d", what, p.pos)
}

func (p *parser) done() bool { return p.pos == len(p.in) }

// peek is the next byte, 0 at the end; a NUL in the path is no name and no operator, so it fails wherever it stands.
func (p *parser) peek() byte {
	if p.done() {
		return 0
	}
	return p.in[p.pos]
}

func (p *parser) accept(s string) bool {
	if !strings.HasPrefix(p.in[p.pos:], s) {
		return false
	}
	p.pos += len(s)
	return true
}

func (p *parser) blanks() {
	for p.peek() == ' ' {
		p.pos++
	}
}

func (p *parser) path() (*Path, error) {
	path := &Path{}
	schema := false
	for {
		prev := len(path.Segments) - 1
		s, err := p.segment()
		if err != nil {
			return nil, err
		}
		if s.Kind != NameSegment && (prev < 0 || path.Segments[prev].Kind != NameSegment) {
			return nil, p.fail("instance identifier without a table")
		}
		if schema && s.Kind != NameSegment && s.Kind != AnySegment {
			return nil, p.fail("instance identifier after {i}")
		}
		schema = schema || s.Kind == AnySegment
		path.Segments = append(path.Segments, s)

		last := s.Kind == NameSegment && !s.Follow
		switch {
		case last && p.accept("()"):
			path.Segments[prev+1].Name += "()"
			path.Kind = CommandPath
		case last && p.accept("!"):
			path.Segments[prev+1].Name += "!"
			path.Kind = EventPath
		case p.accept("."):
			if p.done() {
				return path, nil
			}
			continue
		case last:
			path.Kind = OpenPath
		}
		if !p.done() {
			return nil, p.fail("unexpected character")
		}
		return path, nil
	}
}

func (p *parser) segment() (Segment, error) {
	if p.segments++; p.segments > MaxSegments {
		return Segment{}, p.fail("too many segments")
	}
	switch c := p.peek(); {
	case isDigit(c):
		n, err := p.number()
		return Segment{Kind: InstanceSegment, Instance: n}, err
	case p.accept("*"):
		return Segment{Kind: WildcardSegment}, nil
	case p.accept("{i}"):
		return Segment{Kind: AnySegment}, nil
	case p.accept("["):
		terms, err := p.search()
		return Segment{Kind: SearchSegment, Terms: terms}, err
	}
	return p.nameSegment()
}

// number reads an instance number or the index of a reference: at least 1, and in its only spelling.
func (p *parser) number() (uint32, error) {
	start := p.pos
	for isDigit(p.peek()) {
		p.pos++
	}
	n, err := strconv.ParseUint(p.in[start:p.pos], 10, 32)
	if err != nil || p.in[start] == '0' {
		return 0, p.fail("bad number")
	}
	return uint32(n), nil
}

// nameSegment reads a name and, where one follows, the mark that follows its reference: "+", "#2+" or "#*+".
func (p *parser) nameSegment() (Segment, error) {
	start := p.pos
	for !p.done() {
		r, n := utf8.DecodeRuneInString(p.in[p.pos:])
		if r == utf8.RuneError && n < 2 || !nameRune(r, p.pos > start) {
			break
		}
		p.pos += n
	}
	s := Segment{Name: p.in[start:p.pos]}
	if s.Name == "" {
		return s, p.fail("name expected")
	}
	switch {
	case p.accept("+"):
		s.Follow = true
	case p.accept("#*"):
		s.Follow, s.Item = true, AllItems
	case p.accept("#"):
		n, err := p.number()
		if err != nil || n > 1<<31-1 {
			return s, p.fail("bad item of a reference list")
		}
		s.Follow, s.Item = true, int(n)
	}
	if s.Item != 0 && !p.accept("+") {
		return s, p.fail("\"+\" expected")
	}
	return s, nil
}

func nameRune(r rune, inside bool) bool {
	return r == '_' || unicode.IsLetter(r) || inside && (r == '-' || unicode.IsDigit(r))
}

// search reads what follows "[" up to and with "]".
func (p *parser) search() ([]Term, error) {
	var terms []Term
	for {
		if p.terms++; p.terms > MaxTerms {
			return nil, p.fail("too many search terms")
		}
		p.blanks()
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
		p.blanks()
		if p.accept("]") {
			return terms, nil
		}
		if !p.accept("&&") {
			return nil, p.fail("\"&&\" or \"]\" expected")
		}
	}
}

func (p *parser) term() (Term, error) {
	var t Term
	for {
		if p.segments++; p.segments > MaxSegments {
			return t, p.fail("too many segments")
		}
		s, err := p.nameSegment()
		if err != nil {
			return t, err
		}
		t.Param = append(t.Param, s)
		if p.accept(".") {
			continue
		}
		if s.Follow {
			return t, p.fail("\".\" expected after a reference")
		}
		break
	}
	p.blanks()
	for _, op := range operators {
		if p.accept(string(op)) {
			t.Op = op
			break
		}
	}
	if t.Op == "" {
		return t, p.fail("operator expected")
	}
	p.blanks()
	var err error
	t.Value, err = p.literal()
	return t, err
}

func (p *parser) literal() (Literal, error) {
	if p.accept(`"`) {
		text, _, ok := strings.Cut(p.in[p.pos:], `"`)
		if !ok {
			return Literal{}, p.fail("string without end")
		}
		if !utf8.ValidString(text) {
			return Literal{}, p.fail("string is not UTF-8")
		}
		p.pos += len(text) + len(`"`)
		return Literal{Kind: StringLiteral, Text: unescape.Replace(text)}, nil
	}
	start := p.pos
	for c := p.peek(); isAlnum(c) || c == '+' || c == '-' || c == '.' || c == ':'; c = p.peek() {
		p.pos++
	}
	l := Literal{Text: p.in[start:p.pos]}
	switch {
	case l.Text == "true" || l.Text == "false":
		l.Kind = BooleanLiteral
	case isNumber(l.Text):
		l.Kind = NumberLiteral
	default:
		if _, ok := parseDateTime(l.Text); !ok {
			return l, p.fail("quoted string, boolean, number or dateTime expected")
		}
		l.Kind = DateTimeLiteral
	}
	return l, nil
}
