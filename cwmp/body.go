package cwmp

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// errEncoding is a Content-Encoding that is none of ours.
var errEncoding = errors.New("cwmp: unknown content encoding")

// bodies are reused; maxPooledBody keeps rare big ones from staying.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxPooledBody = 64 << 10

func putBody(b *bytes.Buffer) {
	if b.Cap() <= maxPooledBody {
		b.Reset()
		bodies.Put(b)
	}
}

// imprint is what is kept of the bytes of a message.
type imprint struct {
	sum  uint64 // their hash
	size int64
}

// readMessage reads one message, nil for an empty body. It keeps neither its bytes nor a place for a large one: the POST may be held for minutes.
func (sv *Server) readMessage(r *http.Request, limit int64, t *tap) (env *Envelope, of imprint, err error) {
	if r.ContentLength == 0 {
		return nil, of, nil
	}
	body, release, err := sv.readBody(r, limit)
	defer release()
	if err == nil {
		t.took(body)
	}
	if err != nil || strings.TrimLeft(body, " \t\r\n\x00") == "" {
		return nil, of, err
	}
	if len(body) > smallMessage {
		sv.decoding <- struct{}{}
		defer func() { <-sv.decoding }()
	}
	if env, err = decode(body, r.Header.Get("Content-Type")); err != nil {
		return nil, of, err
	}
	return env, imprint{xxhash.Sum64String(body), int64(len(body))}, nil
}

// readBody reads a body, inflated. Beyond MaxFirstBody it first waits for one of few places. release gives it back.
func (sv *Server) readBody(r *http.Request, limit int64) (body string, release func(), err error) {
	release = func() {}
	if r.ContentLength > limit {
		return "", release, ErrTooLarge
	}
	in, err := inflate(r)
	if err != nil {
		return "", release, err
	}
	b := bodies.Get().(*bytes.Buffer)
	defer putBody(b)
	first := min(limit, sv.opts.MaxFirstBody)
	n, err := b.ReadFrom(io.LimitReader(in, first+1))
	if err == nil && n > first {
		if limit == first {
			return "", release, ErrTooLarge
		}
		select {
		case sv.large <- struct{}{}:
			release = func() { <-sv.large }
		case <-r.Context().Done():
			return "", release, context.Cause(r.Context())
		}
		body, err = readLarge(b, in, r.ContentLength, limit)
	} else {
		body = b.String()
	}
	if err != nil && (errors.As(err, new(flate.CorruptInputError)) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, zlib.ErrChecksum)) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return body, release, err
}

// readLarge reads what follows on what b has, to the end of the body: into memory that is as large as the body, if that was announced, and
// is never copied.
func readLarge(b *bytes.Buffer, in io.Reader, announced, limit int64) (string, error) {
	const chunk = 64 << 10
	var body strings.Builder
	body.Grow(int(max(announced, int64(b.Len()))))
	for b.Len() > 0 {
		body.Write(b.Bytes())
		if int64(body.Len()) > limit {
			return "", ErrTooLarge
		}
		b.Reset()
		if _, err := b.ReadFrom(io.LimitReader(in, chunk)); err != nil {
			return "", err
		}
	}
	return body.String(), nil
}

// inflate undoes the Content-Encoding of a request (TR-069 3.4.5 lets a CPE use gzip and deflate).
func inflate(r *http.Request) (io.Reader, error) {
	switch enc := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); enc {
	case "", "identity":
		return r.Body, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, fmt.Errorf("%w: gzip: %w", ErrMalformed, err)
		}
		return z, nil
	case "deflate":
		return deflated(r.Body)
	default:
		return nil, fmt.Errorf("%w %q", errEncoding, enc)
	}
}

// deflated reads "deflate", by which some mean zlib, as HTTP does, and some bare deflate.
func deflated(body io.Reader) (io.Reader, error) {
	var head [2]byte
	n, err := io.ReadFull(body, head[:])
	if err != nil && n == 0 {
		return bytes.NewReader(nil), nil
	}
	all := io.MultiReader(bytes.NewReader(head[:n]), body)
	if n == len(head) && head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		z, err := zlib.NewReader(all)
		if err != nil {
			return nil, fmt.Errorf("%w: deflate: %w", ErrMalformed, err)
		}
		return z, nil
	}
	return flate.NewReader(all), nil
}
