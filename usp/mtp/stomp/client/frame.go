// Package client is one connection to a STOMP 1.2 server, with nothing of USP in it: frames, heart-beats, subscriptions with ack:auto, and messages that
// the server confirms with a receipt. A connection has one goroutine, which reads; whoever sends writes by himself.
package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Header is one of a frame's.
type Header struct{ Name, Value string }

// Frame is a STOMP frame.
type Frame struct {
	Command string
	Headers []Header
	Body    []byte
}

// Get gives a header's value: the first one counts if it is repeated ("Repeated Header Entries").
func (f *Frame) Get(name string) string {
	for _, h := range f.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// The limits of a frame that comes in, besides that of its body.
const (
	maxHeaders = 64
	maxLine    = 8 << 10
	maxHead    = 16 << 10 // all headers together
	firstChunk = 4 << 10  // what is allocated of a body before its bytes are there
)

// ErrMalformed is wrapped by the errors of what is no frame; ErrTooBig by those of one over the limits.
var (
	ErrMalformed = errors.New("stomp: malformed frame")
	ErrTooBig    = errors.New("stomp: frame is too big")
)

func malformed(text string) error { return fmt.Errorf("%w: %s", ErrMalformed, text) }

// ReadFrame reads a frame whose body is of limit bytes at most. What is between two frames are heart-beats, for each of which beat is called.
func ReadFrame(r *bufio.Reader, limit int, beat func()) (*Frame, error) {
	command, err := line(r)
	for ; err == nil && command == ""; command, err = line(r) {
		beat()
	}
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(command, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return nil, malformed("a command that is none")
	}
	f := &Frame{Command: command}
	for head := 0; ; {
		l, err := line(r)
		if err != nil {
			return nil, unexpected(err)
		}
		if l == "" {
			break
		}
		name, value, ok := strings.Cut(l, ":")
		if !ok || name == "" {
			return nil, malformed("a header without a name")
		}
		if head += len(l); len(f.Headers) == maxHeaders || head > maxHead {
			return nil, fmt.Errorf("%w: more than %d headers or %d bytes of them", ErrTooBig, maxHeaders, maxHead)
		}
		h := Header{unescape(name), unescape(value)}
		if h.Name == "" && name != "" || h.Value == "" && value != "" {
			if command != "CONNECTED" { // whose headers are not escaped
				return nil, malformed("an escape that is none")
			}
			h = Header{name, value}
		}
		f.Headers = append(f.Headers, h)
	}
	f.Body, err = body(r, f.Get("content-length"), limit)
	return f, unexpected(err)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// line reads up to an EOL, which is LF or CR LF.
func line(r *bufio.Reader) (string, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(long)+len(part) > maxLine {
			return "", fmt.Errorf("%w: a line of more than %d bytes", ErrTooBig, maxLine)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if err != nil {
			return "", err
		}
		if long != nil {
			long = append(long, part...)
			part = long
		}
		whole := bytes.TrimSuffix(bytes.TrimSuffix(part, []byte("\n")), []byte("\r"))
		if !utf8.Valid(whole) || bytes.IndexByte(whole, 0) >= 0 {
			return "", malformed("a line that is no text")
		}
		return string(whole), nil
	}
}

// body reads one of the length that a header gives, or up to a NUL.
func body(r *bufio.Reader, length string, limit int) ([]byte, error) {
	if length == "" {
		var b []byte
		for {
			part, err := r.ReadSlice(0)
			if b = append(b, part...); len(b) > limit+1 {
				return nil, fmt.Errorf("%w: a body of more than %d bytes", ErrTooBig, limit)
			}
			if err == nil {
				return b[:len(b)-1], nil
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
	}
	n, err := strconv.ParseUint(length, 10, 31)
	if err != nil {
		return nil, malformed("content-length is no number")
	}
	if int(n) > limit {
		return nil, fmt.Errorf("%w: a body of %d bytes", ErrTooBig, n)
	}
	b := make([]byte, min(int(n), firstChunk))
	for at := 0; ; {
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			return nil, err
		}
		if at = len(b); at == int(n) {
			break
		}
		b = append(b, make([]byte, min(at, int(n)-at))...)
	}
	if end, err := r.ReadByte(); err != nil || end != 0 {
		if err == nil {
			err = malformed("no NUL after the body")
		}
		return nil, err
	}
	return b, nil
}

var (
	escapes   = strings.NewReplacer("\\", `\\`, "\r", `\r`, "\n", `\n`, ":", `\c`)
	unescapes = map[byte]byte{'r': '\r', 'n': '\n', 'c': ':', '\\': '\\'}
)

// unescape is empty for what has an escape that there is not ("Value Encoding").
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			i++
			if i == len(s) || unescapes[s[i]] == 0 {
				return ""
			}
			c = unescapes[s[i]]
		}
		b.WriteByte(c)
	}
	return b.String()
}

// valid says whether a frame can be sent: no escape stands for a NUL, which would end it.
func (f *Frame) valid() error {
	for _, h := range f.Headers {
		if strings.IndexByte(h.Name, 0) >= 0 || strings.IndexByte(h.Value, 0) >= 0 {
			return malformed("a NUL in a header")
		}
	}
	return nil
}

// Append puts a frame behind b. A body has its content-length.
func (f *Frame) Append(b []byte) []byte {
	b = append(append(b, f.Command...), '\n')
	for _, h := range f.Headers {
		b = append(append(append(append(b, escapes.Replace(h.Name)...), ':'), escapes.Replace(h.Value)...), '\n')
	}
	if len(f.Body) > 0 {
		b = append(strconv.AppendInt(append(b, "content-length:"...), int64(len(f.Body)), 10), '\n')
	}
	return append(append(append(b, '\n'), f.Body...), 0)
}
