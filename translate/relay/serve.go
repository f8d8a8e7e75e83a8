package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	headerTimeout = 10 * time.Second
	idleTimeout   = time.Minute
	// readsOf bounds how often a CPE can have a file, servingOf how often at once.
	readsOf, servingOf = 16, 4
	retryAfter         = "10" // seconds, where the file is not there yet
)

func (r *Relay) newServer() *http.Server {
	return &http.Server{Handler: r, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug)}
}

// ServeHTTP implements http.Handler: GET and HEAD of what is offered, PUT and POST of what is taken. Any other token is 404.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(req.URL.Path, strings.TrimSuffix(r.base.Path, "/")), "/")
	token, _, _ := strings.Cut(path, "/")
	r.mu.Lock()
	o := r.offers[token]
	ending := r.ctx.Err() != nil
	if !ending {
		r.wg.Add(1)
		defer r.wg.Done()
	}
	r.mu.Unlock()
	switch {
	case ending:
		w.WriteHeader(http.StatusServiceUnavailable)
	case o == nil:
		http.NotFound(w, req)
	case o.file != nil && (req.Method == http.MethodGet || req.Method == http.MethodHead):
		r.give(w, req, o)
	case o.file == nil && (req.Method == http.MethodPut || req.Method == http.MethodPost):
		r.receive(w, req, o)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// give serves a file, with ranges. One that is being fetched again after a restart is waited for.
func (r *Relay) give(w http.ResponseWriter, req *http.Request, o *offer) {
	r.mu.Lock()
	f := o.file
	busy := o.serving >= servingOf || o.reads > readsOf*max(f.size, 1<<20)
	if !busy {
		o.serving++
	}
	r.mu.Unlock()
	if busy {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	p := &progress{ResponseWriter: w, control: http.NewResponseController(w), stall: r.o.Stall}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		o.serving--
		o.reads += p.written
		r.m.served.Add(float64(p.written))
	}()
	if !r.await(req.Context(), f) {
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	in, err := os.Open(f.path)
	if err != nil {
		http.NotFound(w, req) // it was forgotten just now
		return
	}
	defer in.Close() //nolint:errcheck // it was read
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	http.ServeContent(p, req, "", time.Time{}, in)
}

// await waits until a file is there, as long as a transfer may make no progress.
func (r *Relay) await(ctx context.Context, f *file) bool {
	t := time.NewTimer(r.o.Stall)
	defer t.Stop()
	select {
	case <-f.over:
	case <-t.C:
	case <-ctx.Done():
	case <-r.ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return f.ready
}

// progress is a response whose reader has to take some of it again and again.
type progress struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	written int64
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(p.stall)); err != nil {
		return 0, err
	}
	n, err := p.ResponseWriter.Write(b)
	p.written += int64(n)
	return n, err
}

// receive takes a file and sends it on. The CPE is answered when that is done, so what it reports of its transfer holds for the whole way. A file that
// has arrived is not sent twice.
func (r *Relay) receive(w http.ResponseWriter, req *http.Request, o *offer) {
	r.mu.Lock()
	delivered, busy := o.delivered, o.receiving
	o.receiving = true
	r.mu.Unlock()
	if busy {
		w.WriteHeader(http.StatusConflict)
		return
	}
	defer func() {
		r.mu.Lock()
		o.receiving = false
		r.mu.Unlock()
	}()
	if delivered {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	reserved := req.ContentLength
	if reserved < 0 {
		reserved = r.o.MaxSize
	}
	if err := r.take(reserved); err != nil {
		status := http.StatusRequestEntityTooLarge
		if errors.Is(err, errFull) {
			status = http.StatusInsufficientStorage
		}
		w.WriteHeader(status)
		return
	}
	c := http.NewResponseController(w)
	path, size, err := r.store(&timely{r: req.Body, control: c, stall: r.o.Stall})
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.remove(path, reserved)
	}()
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	if err != nil {
		r.log.Info("an upload of a CPE failed", "err", plain(err))
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, maxFetch) // a CPE that does not wait has done its part
	defer cancel()
	if err := r.forward(ctx, path, size, &o.source); err != nil {
		r.m.fetches.WithLabelValues("upload", "failed").Inc()
		r.log.Info("what a CPE has uploaded could not be sent on", "err", err)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	r.mu.Lock()
	o.delivered = true
	r.mu.Unlock()
	r.m.fetches.WithLabelValues("upload", "done").Inc()
	w.WriteHeader(http.StatusNoContent)
}

// timely is the body of a request that has to make progress.
type timely struct {
	r       io.Reader
	control *http.ResponseController
	stall   time.Duration
}

func (t *timely) Read(b []byte) (int, error) {
	if err := t.control.SetReadDeadline(time.Now().Add(t.stall)); err != nil {
		return 0, err
	}
	return t.r.Read(b)
}
