package xmpp

import (
	"bufio"
	"io"
	"testing"
)

// ReadAll reads a stream to its end.
func ReadAll(t *testing.T, in io.Reader) {
	r := newReader(bufio.NewReader(in))
	if r.header() != nil {
		return
	}
	for {
		e, err := r.next()
		if err != nil {
			return
		}
		if n := count(e); n > maxElements {
			t.Errorf("%d elements", n)
		}
	}
}

func count(e *Element) int {
	n := 1
	for _, c := range e.Children {
		n += count(c)
	}
	return n
}
