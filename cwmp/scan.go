package cwmp

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Nearly every message of a CPE has the same form: elements that hold either elements or text, attributes in double quotes, no references but
// to XML's five entities. Such a message is read by a scanner in one pass: parameters, which are nearly all of it, straight into structs, the
// rest into an etree document. Whatever is not of that form to the letter is left to etree, a value by itself, any other message as a whole, so
// that there is one judge of what is odd.

const (
	valueStart, valueEnd = "<ParameterValueStruct>", "</ParameterValueStruct>"
	infoStart, infoEnd   = "<ParameterInfoStruct>", "</ParameterInfoStruct>"
)

// scan decodes a message of the usual form; nil for any other. The strings in it are parts of text.
func scan(text string) *Envelope {
	s := scanners.Get().(*scanner)
	defer s.free()
	s.in = text
	var doc etree.Element
	if s.element(&doc, 1); s.odd {
		return nil
	}
	if s.blanks(); s.at < len(s.in) {
		return nil
	}
	root := childOf(&doc, "Envelope")
	if root == nil {
		return nil
	}
	e := new(Envelope)
	e.read(root)
	if s.lists > 1 || !s.fill(e.Body) {
		return nil
	}
	e.Skipped += s.skipped
	return e
}

// scanner reads a message; odd is set by the first thing that it leaves to etree.
type scanner struct {
	in  string
	at  int // where reading goes on
	odd bool

	seen    int // elements, but for those of parameters
	lists   int // ParameterLists
	values  []ParameterValueStruct
	infos   []ParameterInfoStruct
	skipped int // entries without name or value

	// What the document of a small message is made of, which nothing refers to when the message has been read from it.
	elements slab[etree.Element]
	texts    slab[etree.CharData]
	tokens   slab[etree.Token]
	attrs    slab[etree.Attr]
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

func (s *scanner) free() {
	s.elements.free()
	s.texts.free()
	s.tokens.free()
	s.attrs.free()
	*s = scanner{elements: s.elements, texts: s.texts, tokens: s.tokens, attrs: s.attrs}
	scanners.Put(s)
}

// slab is room for values that are needed for a short time.
type slab[T any] struct {
	room []T
	used int
}

// take gives n zero values: from the room, or new ones when that is used up.
func (s *slab[T]) take(n int) []T {
	const enough = 64 // for all but lists
	if s.room == nil {
		s.room = make([]T, enough)
	}
	if len(s.room)-s.used < n {
		return make([]T, n)
	}
	s.used += n
	return s.room[s.used-n : s.used : s.used]
}

func (s *slab[T]) free() {
	clear(s.room[:s.used])
	s.used = 0
}

// element reads the element that is next, into its parent.
func (s *scanner) element(parent *etree.Element, depth int) {
	el := &s.elements.take(1)[0]
	if s.seen++; depth > maxDepth || s.seen > maxElements || !s.accept("<") {
		s.odd = true
		return
	}
	tag := s.qualified()
	if tag == "" {
		s.odd = true
		return
	}
	el.Space, el.Tag = split(tag)
	if el.Tag == "ParameterList" {
		s.lists++
	}
	parent.AddChild(el)
	for {
		apart := s.blanks()
		if s.accept(">") {
			break
		}
		if s.accept("/>") {
			return
		}
		if s.attribute(el); s.odd || !apart {
			s.odd = true
			return
		}
	}
	s.content(el, depth)
	if !s.accept(tag) {
		s.odd = true
	}
	s.blanks()
	if !s.accept(">") {
		s.odd = true
	}
}

// content reads what is in an element, up to the name in its end tag: text, or elements with blanks between them.
func (s *scanner) content(el *etree.Element, depth int) {
	const few = 8 // children, for which there is room at once
	for inner := false; !s.odd; inner = true {
		text, ok := s.upTo('<')
		if !ok {
			return
		}
		end := s.accept("</")
		switch {
		case end && !inner:
			if text != "" {
				t := &s.texts.take(1)[0]
				t.Data = s.plain(text)
				el.Child = s.tokens.take(1)[:0]
				el.AddChild(t)
			}
			return
		case !isBlank(text):
			s.odd = true
		case end:
			return
		case el.Tag == "ParameterList" && s.next(valueStart):
			s.listValues()
		case el.Tag == "ParameterList" && s.next(infoStart):
			s.listInfos()
		default:
			if !inner {
				el.Child = s.tokens.take(few)[:0]
			}
			s.element(el, depth+1)
		}
	}
}

// listValues reads all ParameterValueStructs of a list; there may be nothing else in it.
func (s *scanner) listValues() {
	s.values = make([]ParameterValueStruct, 0, s.entries())
	for s.next(valueStart) && !s.odd {
		from := s.at
		s.at += len(valueStart)
		s.blanks()
		name, _, named := s.member("Name")
		s.blanks()
		value, typ, has := s.member("Value")
		s.blanks()
		s.odd = s.odd || !s.accept(valueEnd)
		p := ParameterValueStruct{Name: strings.TrimSpace(name), Value: value, Type: typ}
		lacks := !named || !has || p.Name == ""
		if s.odd {
			p, lacks = s.oddValue(from)
		}
		if lacks {
			s.skipped++
		} else {
			s.values = append(s.values, p)
		}
		s.blanks()
	}
	s.odd = s.odd || !s.next("</")
}

// oddValue has etree read a single entry: one value with CDATA in it, say, among thousands does not make an etree document of all. What etree
// does not take there either remains odd.
func (s *scanner) oddValue(from int) (p ParameterValueStruct, lacks bool) {
	const above = 4 // levels: Envelope, Body, the method, ParameterList; a list elsewhere is not taken
	text, _, ended := strings.Cut(s.in[from:], valueEnd)
	if !ended || strings.Contains(text, "href") {
		return p, false
	}
	text = s.in[from : from+len(text)+len(valueEnd)]
	doc := etree.Document{ReadSettings: etree.ReadSettings{MaxDepth: maxDepth - above}}
	if doc.ReadFromString(text) != nil || check(&doc.Element) != nil {
		return p, false
	}
	s.odd, s.at = false, from+len(text)
	in := args{el: doc.Root(), outcome: new(outcome)}
	p.arguments(&in)
	return p, in.lacks
}

// listInfos does for ParameterInfoStructs what listValues does.
func (s *scanner) listInfos() {
	s.infos = make([]ParameterInfoStruct, 0, s.entries())
	for s.accept(infoStart) && !s.odd {
		s.blanks()
		name, _, _ := s.member("Name")
		s.blanks()
		writable, _, _ := s.member("Writable")
		s.blanks()
		s.odd = s.odd || !s.accept(infoEnd)
		if name = strings.TrimSpace(name); name != "" {
			s.infos = append(s.infos, ParameterInfoStruct{Name: name, Writable: parseBool(writable)})
		} else {
			s.skipped++
		}
		s.blanks()
	}
	s.odd = s.odd || !s.next("</")
}

// entries is about how many there are in the list: each has three elements. Counting a byte is much faster than counting its elements' names.
func (s *scanner) entries() int {
	const tags = 6
	return strings.Count(s.in[s.at:], "<")/tags + 1
}

// member reads a named element with text in it, and its type if it has one.
func (s *scanner) member(name string) (text, typ string, found bool) {
	after := s.at + 1 + len(name)
	if !s.next("<") || after >= len(s.in) || s.in[s.at+1:after] != name || isNameByte(s.in[after]) {
		return "", "", false // missing, or named otherwise, which then is odd where it stands
	}
	s.at = after
	if s.blanks() {
		typ = s.typed()
		s.blanks()
	}
	if s.accept("/>") {
		return "", typ, true
	}
	if s.odd = s.odd || !s.accept(">"); s.odd {
		return "", "", false
	}
	text, _ = s.upTo('<')
	text = s.plain(text)
	s.odd = s.odd || !s.accept("</") || !s.accept(name) || !s.accept(">")
	return text, typ, true
}

// typed reads the one attribute that a member may have, whose local name is type.
func (s *scanner) typed() string {
	if !s.accept(`xsi:type="`) && !s.accept(`type="`) {
		s.odd = s.odd || !s.next(">") && !s.next("/>")
		return ""
	}
	t, _ := s.upTo('"')
	s.at++
	for i := range len(t) {
		if !isNameByte(t[i]) && t[i] != ':' {
			s.odd = true
			return ""
		}
	}
	return t[strings.LastIndexByte(t, ':')+1:]
}

// attribute reads name="value".
func (s *scanner) attribute(el *etree.Element) {
	const some, most = 6, 16
	name := s.qualified()
	if name == "" || !s.accept(`="`) || len(el.Attr) == most {
		s.odd = true
		return
	}
	value, _ := s.upTo('"')
	s.at++
	if _, key := split(name); key == "href" || strings.IndexByte(value, '<') >= 0 {
		s.odd = true // a reference to another element, or no attribute
		return
	}
	if el.Attr == nil {
		el.Attr = s.attrs.take(some)[:0]
	}
	el.CreateAttr(name, s.plain(value))
}

// qualified reads a name with at most one colon in it, "" if there is none.
func (s *scanner) qualified() string {
	i, colon := s.at, -1
	for i < len(s.in) && (isNameByte(s.in[i]) || s.in[i] == ':' && i > s.at && colon < 0) {
		if s.in[i] == ':' {
			colon = i
		}
		i++
	}
	name := s.in[s.at:i]
	if name == "" || name[0] < 'A' || colon == i-1 {
		return ""
	}
	s.at = i
	return name
}

func split(name string) (space, local string) {
	if i := strings.IndexByte(name, ':'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

func (s *scanner) next(token string) bool { return strings.HasPrefix(s.in[s.at:], token) }

func (s *scanner) accept(token string) bool {
	if !s.next(token) {
		return false
	}
	s.at += len(token)
	return true
}

// upTo reads what is before a byte; where that is nowhere, that is odd.
func (s *scanner) upTo(c byte) (text string, ok bool) {
	i := strings.IndexByte(s.in[s.at:], c)
	if i < 0 {
		s.odd, s.at = true, len(s.in)-1
		return "", false
	}
	text = s.in[s.at : s.at+i]
	s.at += i
	return text, true
}

// blanks skips blanks and says whether there were any.
func (s *scanner) blanks() bool {
	from := s.at
	for s.at < len(s.in) && kinds[s.in[s.at]]&blankByte != 0 {
		s.at++
	}
	return s.at > from
}

func isBlank(text string) bool {
	for i := range len(text) {
		if kinds[text[i]]&blankByte == 0 {
			return false
		}
	}
	return true
}

// plain is what text means. What XML forbids in it, or reads as something else, is odd.
func (s *scanner) plain(text string) string {
	wide, refers := false, false
	for i := range len(text) {
		if kinds[text[i]]&oddByte == 0 {
			continue
		}
		switch c := text[i]; {
		case c >= utf8.RuneSelf:
			wide = true
		case c == '&':
			refers = true
		case c != ']' || strings.HasPrefix(text[i:], "]]>"):
			s.odd = true
			return ""
		}
	}
	if wide && !carriesRunes(text) {
		s.odd = true
		return ""
	}
	if refers {
		return s.dereferenced(text)
	}
	return text
}

var entities = [...]struct{ reference, char string }{{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", `"`}, {"&apos;", "'"}}

// dereferenced puts XML's entities in their place; any other reference is odd.
func (s *scanner) dereferenced(text string) string {
	var b strings.Builder
	b.Grow(len(text))
next:
	for {
		before, after, found := strings.Cut(text, "&")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		text = text[len(text)-len(after)-1:]
		for _, e := range entities {
			if strings.HasPrefix(text, e.reference) {
				b.WriteString(e.char)
				text = text[len(e.reference):]
				continue next
			}
		}
		s.odd = true
		return ""
	}
}

// The kinds of bytes.
const (
	nameByte  = 1 << iota // of a name, but for the colon
	blankByte             // between elements and attributes
	oddByte               // to be looked at in text
)

var kinds = func() (k [256]byte) {
	for c := range k {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.':
			k[c] = nameByte
		case c == ' ' || c == '\n' || c == '\t':
			k[c] = blankByte
		case c == '\r':
			k[c] = blankByte | oddByte
		case c < ' ' || c == '&' || c == ']' || c >= utf8.RuneSelf:
			k[c] = oddByte
		}
	}
	return k
}()

func isNameByte(c byte) bool { return kinds[c]&nameByte != 0 }

// fill puts the parameters into the message whose list they were in. It says no where that is not where the message has its own.
func (s *scanner) fill(m RPC) bool {
	switch {
	case s.values != nil:
		switch m := m.(type) {
		case *Inform:
			return put(&m.ParameterList, s.values)
		case *GetParameterValuesResponse:
			return put(&m.ParameterList, s.values)
		case *SetParameterValues:
			return put(&m.ParameterList, s.values)
		}
		return false
	case s.infos != nil:
		m, ok := m.(*GetParameterNamesResponse)
		return ok && put(&m.ParameterList, s.infos)
	}
	return true
}

// put takes the place of a list that was seen and found empty.
func put[T any](list *[]T, entries []T) bool {
	if *list == nil || len(*list) > 0 {
		return false
	}
	*list = entries
	return true
}
