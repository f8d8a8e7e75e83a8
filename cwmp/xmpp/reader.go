package xmpp

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// What a peer may send. A stanza of a Connection Request has some hundred bytes.
const (
	maxStanza   = 64 << 10 // bytes, with the white space before it
	maxDepth    = 16
	maxElements = 256 // of one stanza
)

// ErrStream says that the peer broke the rules of XMPP, or the bounds that are set here.
var ErrStream = errors.New("xmpp: bad stream")

// reader reads the elements of one stream. It never reads ahead, since TLS may begin behind any of them.
type reader struct {
	in   *bufio.Reader
	left int // bytes until the peer has sent too much
	dec  *xml.Decoder
}

func newReader(in *bufio.Reader) *reader {
	r := &reader{in: in}
	r.dec = xml.NewDecoder(r)
	return r
}

// ReadByte implements io.ByteReader, which is all that the decoder uses.
func (r *reader) ReadByte() (byte, error) {
	if r.left == 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrStream, maxStanza)
	}
	r.left--
	return r.in.ReadByte()
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	c, err := r.ReadByte()
	if err != nil || len(b) == 0 {
		return 0, err
	}
	b[0] = c
	return 1, nil
}

// token is the next one that XMPP allows (RFC 6120 11.1): no comment, processing instruction or DOCTYPE. Entities besides XML's own are
// errors to the decoder.
func (r *reader) token() (xml.Token, error) {
	t, err := r.any()
	if err != nil {
		return nil, err
	}
	switch t.(type) {
	case xml.StartElement, xml.EndElement, xml.CharData:
		return t, nil
	}
	return nil, fmt.Errorf("%w: %T", ErrStream, t)
}

func (r *reader) any() (xml.Token, error) {
	t, err := r.dec.Token()
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		err = fmt.Errorf("%w: %w", ErrStream, err)
	}
	return t, err
}

// header reads the start of the stream.
func (r *reader) header() error {
	r.left = maxStanza
	t, err := r.any()
	if p, ok := t.(xml.ProcInst); ok && p.Target == "xml" {
		t, err = r.token()
	}
	for err == nil {
		switch t := t.(type) {
		case xml.CharData:
		case xml.StartElement:
			if t.Name != (xml.Name{Space: nsStream, Local: "stream"}) {
				return fmt.Errorf("%w: it begins with %s", ErrStream, t.Name.Local)
			}
			return nil
		default:
			return fmt.Errorf("%w: it begins with %T", ErrStream, t)
		}
		t, err = r.token()
	}
	return err
}

// next reads an element of the stream; io.EOF is its end.
func (r *reader) next() (*Element, error) {
	r.left = maxStanza
	for {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			count := 0
			return r.element(t, 1, &count)
		case xml.EndElement:
			return nil, io.EOF
		}
	}
}

func (r *reader) element(start xml.StartElement, depth int, count *int) (*Element, error) {
	if *count++; depth > maxDepth || *count > maxElements {
		return nil, fmt.Errorf("%w: a stanza of too many elements", ErrStream)
	}
	e := &Element{Name: start.Name, Attr: start.Attr}
	for {
		t, err := r.token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			c, err := r.element(t, depth+1, count)
			if err != nil {
				return nil, err
			}
			e.Children = append(e.Children, c)
		case xml.CharData:
			e.Text += string(t)
		case xml.EndElement:
			return e, nil
		}
	}
}
