package cwmp

import (
	"bytes"
	"unicode/utf8"
)

// Nearly all of what a CPE says are parameters and their values. In a message of the usual form they are read by cutParameters,
// straight into structs, and etree sees the message without them: a quarter of the work for an Inform, a tenth for a large answer.
// Whatever is not of that form to the letter is left to etree as a whole, so that there is one judge of odd messages.

var (
	listStart  = []byte("<ParameterList")
	listEnd    = []byte("</ParameterList>")
	entryStart = []byte("<ParameterValueStruct>")
	entryEnd   = []byte("</ParameterValueStruct>")
	cdataEnd   = []byte("]]>")
)

// cutParameters takes the entries of the one ParameterList out of a message. ok is false where the message has no such list, or more
// than one, or one with anything in it that is not name, value and type in plain sight.
func cutParameters(text []byte) (params []ParameterValueStruct, skipped int, rest []byte, ok bool) {
	start := bytes.Index(text, listStart)
	end := bytes.Index(text, listEnd)
	if start < 0 || end < start || bytes.Contains(text[start+1:], listStart) || bytes.Contains(text[end+1:], listEnd) {
		return nil, 0, nil, false
	}
	open := bytes.IndexByte(text[start:end], '>')
	if open < 0 || text[start+open-1] == '/' {
		return nil, 0, nil, false
	}
	body := text[start+open+1 : end]
	s := valueScanner{in: body}
	params = make([]ParameterValueStruct, 0, bytes.Count(body, entryStart))
	for s.blanks(); len(s.in) > 0; s.blanks() {
		p, lacks := s.entry()
		switch {
		case s.odd:
			return nil, 0, nil, false
		case lacks:
			skipped++
		default:
			params = append(params, p)
		}
	}
	rest = make([]byte, 0, len(text)-len(body))
	rest = append(append(rest, text[:start+open+1]...), text[end:]...)
	return params, skipped, rest, true
}

// valueScanner reads entries; odd is set by the first thing that it leaves to etree.
type valueScanner struct {
	in  []byte
	odd bool
}

func (s *valueScanner) blanks() {
	i := 0
	for i < len(s.in) && isBlank(s.in[i]) {
		i++
	}
	s.in = s.in[i:]
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func (s *valueScanner) accept(b []byte) bool {
	if !bytes.HasPrefix(s.in, b) {
		return false
	}
	s.in = s.in[len(b):]
	return true
}

// entry reads a ParameterValueStruct with Name before Value; lacks says that one of them is missing or the name empty.
func (s *valueScanner) entry() (p ParameterValueStruct, lacks bool) {
	if !s.accept(entryStart) {
		s.odd = true
		return p, false
	}
	s.blanks()
	name, _, hasName := s.member("<Name", "</Name>")
	s.blanks()
	value, typ, hasValue := s.member("<Value", "</Value>")
	s.blanks()
	if !s.accept(entryEnd) {
		s.odd = true
	}
	p = ParameterValueStruct{Name: string(bytes.TrimSpace(name)), Value: string(value), Type: string(typ)}
	return p, !hasName || !hasValue || p.Name == ""
}

// member reads one element with text in it, and its type if it has one.
func (s *valueScanner) member(open, end string) (text, typ []byte, found bool) {
	if len(s.in) < len(open) || string(s.in[:len(open)]) != open {
		return nil, nil, false
	}
	s.in = s.in[len(open):]
	close := bytes.IndexByte(s.in, '>')
	if close < 0 {
		s.odd = true
		return nil, nil, false
	}
	attrs := s.in[:close]
	if len(attrs) > 0 && attrs[0] != '/' && !isBlank(attrs[0]) {
		s.odd = true // another element, whose name begins alike
		return nil, nil, false
	}
	s.in = s.in[close+1:]
	selfClosed := len(attrs) > 0 && attrs[len(attrs)-1] == '/'
	if selfClosed {
		attrs = attrs[:len(attrs)-1]
	}
	typ = s.typeIn(attrs)
	if selfClosed {
		return nil, typ, true
	}
	lt := bytes.IndexByte(s.in, '<')
	if lt < 0 || !bytes.HasPrefix(s.in[lt:], []byte(end)) {
		s.odd = true
		return nil, nil, false
	}
	text = s.in[:lt]
	s.in = s.in[lt+len(end):]
	return s.plain(text), typ, true
}

// typeIn reads the attributes of a member: none, or one whose local name is type.
func (s *valueScanner) typeIn(attrs []byte) []byte {
	attrs = bytes.TrimSpace(attrs)
	if len(attrs) == 0 {
		return nil
	}
	name, quoted, ok := bytes.Cut(attrs, []byte("="))
	if !ok || len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"' {
		s.odd = true
		return nil
	}
	if string(name) != "xsi:type" && string(name) != "type" {
		s.odd = true
		return nil
	}
	t := quoted[1 : len(quoted)-1]
	for _, c := range t {
		if !isTypeChar(c) {
			s.odd = true
			return nil
		}
	}
	return t[bytes.LastIndexByte(t, ':')+1:]
}

func isTypeChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ':' || c == '-' || c == '_'
}

// plain is text without references, with nothing in it that XML forbids or reads as something else.
func (s *valueScanner) plain(text []byte) []byte {
	for i, c := range text {
		switch {
		case c >= utf8.RuneSelf:
			if !utf8.Valid(text[i:]) || !carriesRunes(string(text[i:])) {
				s.odd = true
			}
			if bytes.IndexByte(text[i:], '&') >= 0 || bytes.IndexByte(text[i:], '\r') >= 0 || bytes.Contains(text[i:], cdataEnd) {
				s.odd = true
			}
			return text
		case c == '&' || c == '\r' || c == ']' && bytes.HasPrefix(text[i:], cdataEnd) || c < ' ' && c != '\n' && c != '\t':
			s.odd = true
			return text
		}
	}
	return text
}

// setParameters puts what cutParameters took out into the message it belongs to. It says no where the list is not where that message
// has it.
func setParameters(m RPC, params []ParameterValueStruct) bool {
	var list *[]ParameterValueStruct
	switch m := m.(type) {
	case *Inform:
		list = &m.ParameterList
	case *GetParameterValuesResponse:
		list = &m.ParameterList
	case *SetParameterValues:
		list = &m.ParameterList
	default:
		return false
	}
	if *list == nil || len(*list) > 0 {
		return false
	}
	*list = params
	return true
}
