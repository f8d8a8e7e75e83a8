package usp

import (
	"strconv"
	"strings"
)

// Bounds of a path name, far above any real one: what a peer sends costs no more than time linear in its length.
const (
	MaxPathLength = 4096 // bytes
	MaxSegments   = 64   // of the path and of all parameters in its searches together
	MaxTerms      = 32   // of all searches together
)

// Path is a parsed path name (TR-369, "Path Names").
type Path struct {
	Segments []Segment
	Kind     PathKind
}

// PathKind says what a path names, as far as its form tells.
type PathKind int

// The kinds of paths.
const (
	ObjectPath  PathKind = iota // ends in a dot, in an instance identifier or in a reference
	OpenPath                    // a parameter, or an object without its final dot: the data model decides
	CommandPath                 // ends in "()"
	EventPath                   // ends in "!"
)

// Segment is what stands between two dots.
type Segment struct {
	Kind SegmentKind
	// Name is the name of an object, parameter, command (with its "()") or event (with its "!").
	Name string
	// Instance is the number of an InstanceSegment, at least 1.
	Instance uint32
	// Terms of a SearchSegment; all must hold.
	Terms []Term
	// Follow says that the parameter called Name holds references, and that the path goes on in what they refer to.
	Follow bool
	// Item is the item of the list of references that is followed, from 1; 0 if the form was "Param+."; AllItems for "Param#*+.".
	Item int
}

// AllItems as a Segment's Item follows every reference of the list.
const AllItems = -1

// SegmentKind tells names from the forms an instance identifier can have.
type SegmentKind int

// The kinds of segments.
const (
	NameSegment     SegmentKind = iota
	InstanceSegment             // a number
	WildcardSegment             // *
	SearchSegment               // [a==v&&b>v], which is also how unique keys address
	AnySegment                  // {i}, in paths of the supported data model only
)

// ParsePath reads a path name. An error is an *Error with code 7008. Object paths may lack their final dot; blanks are tolerated around
// the operators of a search (R-ARC.9a). What String makes of the result is a path name, too.
func ParsePath(s string) (*Path, error) {
	if len(s) > MaxPathLength {
		return nil, Errorf(InvalidPathSyntax, "path is longer than %d bytes", MaxPathLength)
	}
	p := parser{in: s}
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	// In its plain form each byte may become an escape of three, and an object gets its final dot.
	if 3*len(s)+1 > MaxPathLength && len(path.String()) > MaxPathLength {
		return nil, Errorf(InvalidPathSyntax, "path is longer than %d bytes in its plain form", MaxPathLength)
	}
	return path, nil
}

// String gives the path in its plain form: with an object's final dot where that is known, and without blanks around operators.
func (p *Path) String() string {
	var b strings.Builder
	for i := range p.Segments {
		if i > 0 {
			b.WriteByte('.')
		}
		p.Segments[i].write(&b)
	}
	if p.Kind == ObjectPath {
		b.WriteByte('.')
	}
	return b.String()
}

// IsConcrete says that the path names one thing: no wildcard, search, reference or {i}.
func (p *Path) IsConcrete() bool {
	for i := range p.Segments {
		if s := &p.Segments[i]; s.Follow || s.Kind != NameSegment && s.Kind != InstanceSegment {
			return false
		}
	}
	return true
}

// IsSchema says that the path has an {i}: it belongs to the supported data model, not to the instantiated one.
func (p *Path) IsSchema() bool {
	for i := range p.Segments {
		if p.Segments[i].Kind == AnySegment {
			return true
		}
	}
	return false
}

// Query is what a data model can be asked for: the path with "*" for every wildcard and search, up to the first reference, whose
// parameter then ends it. For a path without references Query names all candidates.
func (p *Path) Query() string {
	return p.plain("*", false)
}

// Supported is the path in the notation of the supported data model, every instance identifier being {i}, up to the first reference,
// whose parameter then ends it.
func (p *Path) Supported() string {
	return p.plain("{i}", true)
}

func (p *Path) plain(instance string, numbersToo bool) string {
	var b strings.Builder
	for i := range p.Segments {
		s := &p.Segments[i]
		if i > 0 {
			b.WriteByte('.')
		}
		switch {
		case s.Kind == NameSegment:
			b.WriteString(s.Name)
		case s.Kind == InstanceSegment && !numbersToo:
			b.WriteString(strconv.FormatUint(uint64(s.Instance), 10))
		default:
			b.WriteString(instance)
		}
		if s.Follow {
			return b.String()
		}
	}
	if p.Kind == ObjectPath {
		b.WriteByte('.')
	}
	return b.String()
}

// String gives the segment as it stands in a path.
func (s *Segment) String() string {
	var b strings.Builder
	s.write(&b)
	return b.String()
}

func (s *Segment) write(b *strings.Builder) {
	switch s.Kind {
	case NameSegment:
		b.WriteString(s.Name)
	case InstanceSegment:
		b.WriteString(strconv.FormatUint(uint64(s.Instance), 10))
	case WildcardSegment:
		b.WriteByte('*')
	case AnySegment:
		b.WriteString("{i}")
	case SearchSegment:
		b.WriteByte('[')
		for i := range s.Terms {
			if i > 0 {
				b.WriteString("&&")
			}
			s.Terms[i].write(b)
		}
		b.WriteByte(']')
	}
	if !s.Follow {
		return
	}
	switch s.Item {
	case 0:
	case AllItems:
		b.WriteString("#*")
	default:
		b.WriteByte('#')
		b.WriteString(strconv.Itoa(s.Item))
	}
	b.WriteByte('+')
}
