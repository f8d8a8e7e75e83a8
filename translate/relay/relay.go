// Package relay moves files between where a Controller names them and a CPE that cannot take the request as it is: it fetches a file, verifies it, and
// offers it to the CPE at a short URL; or it takes one from the CPE there and sends it on. It knows HTTP and files, nothing of CWMP or USP.
package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/net/netutil"
)

// Options say how a Relay works. Dir, PublicURL and MaxSize are needed.
type Options struct {
	Dir       string // for the files under way; what is in it is removed at the start
	PublicURL string // what CPE put before the path of what they are offered
	MaxSize   int64  // bytes of one file
	// Guard says why the proxy must not dial an address that a Controller has named; nil: it may dial any.
	Guard      func(netip.AddrPort) error
	Resolver   *net.Resolver // nil: the system's
	TLS        *tls.Config   // for https; nil: the system's roots
	Logger     *slog.Logger  // nil: slog.Default()
	Registerer prometheus.Registerer
	// Stall is how long a transfer may make no progress; 0: 30 s.
	Stall time.Duration
}

const (
	fetchesAtOnce = 4
	connections   = 256 // of CPE
	filesAtOnce   = 8   // of MaxSize: the disk that may be taken
	defaultStall  = 30 * time.Second
	maxFetch      = time.Hour // of one file, whatever its progress
	// TokenLength is how many hexadecimal digits a token has.
	TokenLength = 32
	// MaxURL is what CWMP has for a URL, in characters; maxName what is kept of a file's name.
	MaxURL  = 256
	maxName = 64
)

// File is one that a Controller has named: where it is, or is to go.
type File struct {
	URL, Username, Password string
	Algorithm, CheckSum     string // "SHA-256" and hexadecimal digits; empty: it is not verified
	Size                    int64  // 0: any
}

// Relay is the server for CPE and the client for everybody else.
type Relay struct {
	o      Options
	base   *url.URL
	log    *slog.Logger
	http   *http.Server
	client *http.Client
	m      metrics

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	offers  map[string]*offer
	files   map[File]*file
	queue   []*file // to be fetched
	workers int
	taken   int64 // bytes of disk
}

type metrics struct {
	fetches *prometheus.CounterVec
	served  prometheus.Counter
}

// offer is what a CPE finds under a token.
type offer struct {
	source    File
	file      *file // of a download
	reads     int64 // bytes that were served
	serving   int
	receiving bool // an upload is under way
	delivered bool // and has come to where it was to go
	done      func(size int64, err error)
}

// file is one that was fetched, or is to be, for all offers that name it.
type file struct {
	source File
	path   string
	size   int64
	ready  bool
	over   chan struct{} // closed when it is ready, or cannot be had
	offers map[*offer]struct{}
	cancel context.CancelFunc // while it is fetched
}

// New makes a Relay with an empty directory. It fetches until Shutdown.
func New(ctx context.Context, o Options) (*Relay, error) {
	base, err := url.Parse(o.PublicURL)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &Relay{o: o, base: base, log: o.Logger, offers: map[string]*offer{}, files: map[File]*file{}}
	if r.log == nil {
		r.log = slog.Default()
	}
	f := promauto.With(o.Registerer)
	r.m = metrics{
		fetches: f.NewCounterVec(prometheus.CounterOpts{Name: "isthmus_relay_transfers_total",
			Help: "Files that were fetched for CPE, or sent on for them, by what came of it."}, []string{"direction", "outcome"}),
		served: f.NewCounter(prometheus.CounterOpts{Name: "isthmus_relay_served_bytes_total", Help: "Bytes of files that CPE have got."}),
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.client = r.newClient()
	r.http = r.newServer()
	return r, nil
}

// Serve serves CPE until Shutdown.
func (r *Relay) Serve(l net.Listener) error {
	if err := r.http.Serve(netutil.LimitListener(l, connections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown ends everything; what is under way with CPE has until ctx ends.
func (r *Relay) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	r.cancel() // who begins later sees it
	r.mu.Unlock()
	err := r.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, r.http.Close())
	}
	r.wg.Wait()
	return err
}

// Download has a file fetched and then offered under a token. done is called once, when it is there or cannot be had, unless the token is forgotten
// before, or the Relay shut down.
func (r *Relay) Download(token string, source File, done func(size int64, err error)) {
	o := &offer{source: source, done: done}
	r.mu.Lock()
	if r.offers[token] != nil {
		r.mu.Unlock()
		return
	}
	r.offers[token] = o
	f := r.files[source]
	if f == nil {
		f = &file{source: source, over: make(chan struct{}), offers: map[*offer]struct{}{}}
		r.files[source] = f
		r.queue = append(r.queue, f)
		if r.workers < fetchesAtOnce && r.ctx.Err() == nil {
			r.workers++
			r.wg.Go(r.work)
		}
	}
	o.file = f
	f.offers[o] = struct{}{}
	ready, size := f.ready, f.size
	r.mu.Unlock()
	if ready {
		done(size, nil)
	}
}

// Upload offers a token as the place for a file that is to be sent on.
func (r *Relay) Upload(token string, to File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.offers[token] == nil {
		r.offers[token] = &offer{source: to}
	}
}

// Delivered says whether what was uploaded under a token has come to where it was to go.
func (r *Relay) Delivered(token string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.offers[token]
	return o != nil && o.delivered
}

// Forget ends a token. The file goes with the last one that offers it.
func (r *Relay) Forget(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.offers[token]
	if o == nil {
		return
	}
	delete(r.offers, token)
	f := o.file
	if f == nil {
		return
	}
	if delete(f.offers, o); len(f.offers) > 0 {
		return
	}
	delete(r.files, f.source)
	switch {
	case f.cancel != nil:
		f.cancel()
	case f.ready:
		r.remove(f.path, f.size)
	default:
		r.queue = slices.DeleteFunc(r.queue, func(q *file) bool { return q == f })
	}
}

// URL is where a CPE finds a token; it is MaxURL characters long at most if PublicURL is MaxPublicURL.
func (r *Relay) URL(token, name string) string {
	return strings.TrimSuffix(r.o.PublicURL, "/") + "/" + token + "/" + name
}

// MaxPublicURL is how long PublicURL may be.
const MaxPublicURL = MaxURL - 2 - TokenLength - maxName

// NameOf is the name of the file at a URL, as far as it can stand in any other; "file" where it has none.
func NameOf(raw string) string {
	name := ""
	if u, err := url.Parse(raw); err == nil {
		name = filepath.Base(u.Path)
	}
	name = strings.Trim(strings.Map(func(c rune) rune {
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("._-", c) {
			return c
		}
		return -1
	}, name), ".")
	if name == "" {
		return "file"
	}
	return name[max(0, len(name)-maxName):]
}

// errFull is the error of a file for which there is no room on the disk.
var errFull = errors.New("the disk that transfers may take is used up")

// take reserves disk; its opposite is remove, or give.
func (r *Relay) take(size int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if size > r.o.MaxSize {
		return r.tooLarge()
	}
	if r.taken+size > filesAtOnce*r.o.MaxSize {
		return errFull
	}
	r.taken += size
	return nil
}

func (r *Relay) tooLarge() error {
	return fmt.Errorf("it is larger than %d bytes (transfers.max_size)", r.o.MaxSize)
}

// remove deletes a file and gives its disk back. r.mu is held.
func (r *Relay) remove(path string, size int64) {
	r.taken -= size
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Error("a file of a transfer cannot be removed", "err", err)
	}
}
