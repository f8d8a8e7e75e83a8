package relay

import (
	"context"
	"crypto/sha1" //nolint:gosec // an algorithm of the data model
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// algorithms are those of CheckSumAlgorithm.
var algorithms = map[string]func() hash.Hash{"SHA-1": sha1.New, "SHA-224": sha256.New224, "SHA-256": sha256.New, "SHA-384": sha512.New384, "SHA-512": sha512.New}

// ErrCheckSum is the error of a file that is not the one that was meant.
var ErrCheckSum = errors.New("the file does not have the CheckSum that was given")

// Check says what is wrong with what a Controller has named, as far as that can be told without asking anybody.
func (f *File) Check() error {
	u, err := url.Parse(f.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("URL is none that isthmus can fetch: it must be http:// or https://")
	}
	if f.CheckSum == "" {
		return nil
	}
	algorithm := algorithms[f.Algorithm]
	if algorithm == nil {
		return errors.New("CheckSum needs a CheckSumAlgorithm: SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512")
	}
	if b, err := hex.DecodeString(f.CheckSum); err != nil || len(b) != algorithm().Size() {
		return fmt.Errorf("CheckSum is no %s", f.Algorithm)
	}
	return nil
}

const (
	maxRedirects   = 5
	dialTimeout    = 15 * time.Second
	maxHeaderBytes = 64 << 10
)

var errRedirect = errors.New("redirect to what isthmus does not fetch")

// newClient makes the client that dials nobody whom the guard is against, whatever a name turns out to be and wherever it is sent.
func (r *Relay) newClient() *http.Client {
	d := &net.Dialer{Timeout: dialTimeout, Resolver: r.o.Resolver, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("address: %w", err)
		}
		if r.o.Guard == nil {
			return nil
		}
		return r.o.Guard(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	}}
	return &http.Client{
		Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: r.o.TLS, TLSHandshakeTimeout: dialTimeout, DisableKeepAlives: true,
			DisableCompression: true, ResponseHeaderTimeout: r.o.Stall, MaxResponseHeaderBytes: maxHeaderBytes},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			scheme, before := req.URL.Scheme, via[len(via)-1].URL.Scheme
			if len(via) > maxRedirects || scheme != "https" && (scheme != "http" || before == "https") {
				return errRedirect
			}
			return nil
		},
	}
}

// work fetches what is queued, one file after the other.
func (r *Relay) work() {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 || r.ctx.Err() != nil {
			r.workers--
			r.mu.Unlock()
			return
		}
		f := r.queue[0]
		r.queue = r.queue[1:]
		ctx, cancel := context.WithTimeout(r.ctx, maxFetch)
		f.cancel = cancel
		r.mu.Unlock()
		path, size, err := r.fetch(ctx, &f.source)
		cancel()
		r.fetched(f, path, size, err)
	}
}

// fetched tells everybody who waits for a file.
func (r *Relay) fetched(f *file, path string, size int64, err error) {
	r.mu.Lock()
	f.cancel = nil
	outcome := "done"
	switch {
	case err != nil:
		outcome = "failed"
		if r.files[f.source] == f {
			delete(r.files, f.source)
		}
	case r.files[f.source] != f: // nobody waits any more
		r.remove(path, size)
	default:
		f.path, f.size, f.ready = path, size, true
	}
	close(f.over)
	r.m.fetches.WithLabelValues("download", outcome).Inc()
	var done []func(int64, error)
	for o := range f.offers {
		done = append(done, o.done)
	}
	ending := r.ctx.Err() != nil
	r.mu.Unlock()
	if ending && err != nil {
		return // it is fetched again after the restart
	}
	for _, tell := range done {
		tell(size, err)
	}
}

// fetch gets a file to the disk, which is taken for it, and verifies it.
func (r *Relay) fetch(ctx context.Context, f *File) (path string, size int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, http.NoBody)
	if err != nil {
		return "", 0, plain(err)
	}
	if f.Username != "" || f.Password != "" {
		req.SetBasicAuth(f.Username, f.Password)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return "", 0, plain(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read as far as wanted
	if resp.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("the file server says %s", resp.Status)
	}
	reserved := resp.ContentLength
	if reserved < 0 {
		reserved = r.o.MaxSize
	}
	if err := r.take(reserved); err != nil {
		return "", 0, err
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil && path != "" {
			r.remove(path, reserved)
			path = ""
			return
		}
		r.taken -= reserved - size
	}()
	sum := io.Discard
	var h hash.Hash
	if f.CheckSum != "" {
		h = algorithms[f.Algorithm]()
		sum = h
	}
	path, size, err = r.store(io.TeeReader(alive(resp.Body, r.o.Stall, cancel), sum))
	if err == nil {
		err = context.Cause(ctx) // a server may end what we have given up as if it were whole
	}
	switch {
	case err != nil:
		return path, size, plain(cause(ctx, err))
	case f.Size > 0 && f.Size != size:
		return path, size, fmt.Errorf("it has %d bytes, not the FileSize of %d", size, f.Size)
	case h != nil && !strings.EqualFold(hex.EncodeToString(h.Sum(nil)), f.CheckSum):
		return path, size, ErrCheckSum
	}
	return path, size, nil
}

// store writes a file; one that is too large is an error.
func (r *Relay) store(body io.Reader) (path string, size int64, err error) {
	out, err := os.CreateTemp(r.o.Dir, "transfer-")
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	size, err = io.Copy(out, io.LimitReader(body, r.o.MaxSize+1))
	if err == nil && size > r.o.MaxSize {
		err = r.tooLarge()
	}
	return out.Name(), size, err
}

// forward sends a file on to where it is to go.
func (r *Relay) forward(ctx context.Context, path string, size int64, to *File) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	open := func() (io.ReadCloser, error) {
		in, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{alive(in, r.o.Stall, cancel), in}, nil
	}
	body, err := open()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to.URL, body)
	if err != nil {
		return errors.Join(plain(err), body.Close())
	}
	req.ContentLength, req.GetBody = size, open
	if size == 0 {
		req.Body = http.NoBody
	}
	if to.Username != "" || to.Password != "" {
		req.SetBasicAuth(to.Username, to.Password)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return plain(cause(ctx, err))
	}
	defer resp.Body.Close() //nolint:errcheck // nothing in it
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the file server says %s", resp.Status)
	}
	return nil
}

// plain takes the URL out of an error: it may hold what nobody is to read.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err
}

// cause is why ctx ended, if that is what an error comes from.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	return err
}

var errStalled = errors.New("the transfer made no progress")

// alive is a reader that gives up a request in which it is not read from again for too long, or gives nothing.
func alive(r io.Reader, stall time.Duration, cancel context.CancelCauseFunc) io.Reader {
	return &watched{r: r, stall: stall, timer: time.AfterFunc(stall, func() { cancel(errStalled) })}
}

type watched struct {
	r     io.Reader
	stall time.Duration
	timer *time.Timer
}

func (w *watched) Read(b []byte) (int, error) {
	w.timer.Reset(w.stall)
	n, err := w.r.Read(b)
	if err != nil {
		w.timer.Stop()
		return n, err
	}
	w.timer.Reset(w.stall)
	return n, nil
}
