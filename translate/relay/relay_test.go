package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token    = "0123456789abcdef0123456789abcdef"
	other    = "fedcba9876543210fedcba9876543210"
	patience = 10 * time.Second
)

// rig is a Relay with an https server of files in front of it.
type rig struct {
	*testing.T
	r      *Relay
	url    string // of the Relay
	origin *httptest.Server
	hits   atomic.Int64
}

var image = bytes.Repeat([]byte("0123456789"), 10_000)

func sumOf(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

func newRig(t *testing.T, serve http.HandlerFunc, change func(*Options)) *rig {
	t.Helper()
	g := &rig{T: t}
	g.origin = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.hits.Add(1)
		serve(w, req)
	}))
	t.Cleanup(g.origin.Close)
	roots := x509.NewCertPool()
	roots.AddCert(g.origin.Certificate())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.url = "http://" + l.Addr().String()
	o := Options{Dir: t.TempDir() + "/transfers", PublicURL: g.url, MaxSize: 1 << 20, TLS: &tls.Config{RootCAs: roots}, Stall: 2 * time.Second}
	if change != nil {
		change(&o)
	}
	if g.r, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.r.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(g.r.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return g
}

func serveImage(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(image) }

// fetch has a file fetched and waits for what comes of it.
func (g *rig) fetch(token string, f File) (int64, error) {
	g.Helper()
	type end struct {
		size int64
		err  error
	}
	ended := make(chan end, 1)
	g.r.Download(token, f, func(size int64, err error) { ended <- end{size, err} })
	select {
	case e := <-ended:
		return e.size, e.err
	case <-time.After(patience):
		g.Fatal("nothing came of it")
		return 0, nil
	}
}

func (g *rig) do(method, path, body string, header ...string) (int, []byte, http.Header) {
	g.Helper()
	req, err := http.NewRequestWithContext(g.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: patience}}).Do(req)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	return resp.StatusCode, b, resp.Header
}

// left are the files on the disk.
func (g *rig) left() int {
	g.Helper()
	names, err := os.ReadDir(g.r.o.Dir)
	if err != nil {
		g.Fatal(err)
	}
	g.r.mu.Lock()
	defer g.r.mu.Unlock()
	if len(names) == 0 && g.r.taken != 0 {
		g.Errorf("%d bytes are taken by nothing", g.r.taken)
	}
	return len(names)
}

// A file is fetched over https with its credentials, verified, and served whole, in parts and without a body, under its token alone; for two tokens it is
// fetched once; it goes with the last.
func TestDownload(t *testing.T) {
	g := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if u, p, _ := req.BasicAuth(); u != "u" || p != "p" || req.URL.RawQuery != "signature=secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		serveImage(w, req)
	}, nil)
	f := File{URL: g.origin.URL + "/a/image.bin?signature=secret", Username: "u", Password: "p", Algorithm: "SHA-256", CheckSum: strings.ToUpper(sumOf(image))}
	for _, tok := range []string{token, other} {
		if size, err := g.fetch(tok, f); err != nil || size != int64(len(image)) {
			t.Fatalf("%d %v", size, err)
		}
	}
	if n := g.hits.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	at := strings.TrimPrefix(g.r.URL(token, NameOf(f.URL)), g.url)
	if at != "/"+token+"/image.bin" {
		t.Errorf("URL %s", at)
	}
	if code, b, h := g.do("GET", at, ""); code != 200 || !bytes.Equal(b, image) || h.Get("Content-Length") != fmt.Sprint(len(image)) {
		t.Errorf("GET %d, %d bytes", code, len(b))
	}
	if code, b, _ := g.do("GET", at, "", "Range", "bytes=99990-"); code != 206 || string(b) != "0123456789" {
		t.Errorf("Range: %d %q", code, b)
	}
	if code, b, h := g.do("HEAD", at, ""); code != 200 || len(b) != 0 || h.Get("Content-Length") != fmt.Sprint(len(image)) {
		t.Errorf("HEAD %d", code)
	}
	for _, wrong := range []string{"/", "/x", "/" + token[1:] + "0", "/../" + token} {
		if code, _, _ := g.do("GET", wrong, ""); code != 404 && code != 301 {
			t.Errorf("%s: %d", wrong, code)
		}
	}
	if code, _, _ := g.do("PUT", at, "x"); code != 405 {
		t.Errorf("PUT %d", code)
	}
	g.r.Forget(token)
	if code, _, _ := g.do("GET", at, ""); code != 404 {
		t.Errorf("a token that is over: %d", code)
	}
	if g.left() != 1 {
		t.Error("the file went with the first token")
	}
	g.r.Forget(other)
	if n := g.left(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// What cannot be had is told, without what the URL holds, and leaves nothing behind.
func TestDownloadFailures(t *testing.T) {
	hold := make(chan struct{})
	g := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/absent":
			http.NotFound(w, req)
		case "/short":
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(image[:100])
		case "/large":
			_, _ = w.Write(bytes.Repeat(image, 11))
		case "/declared":
			w.Header().Set("Content-Length", "2000000")
		case "/slow":
			_, _ = w.Write(image[:100])
			w.(http.Flusher).Flush()
			select {
			case <-hold:
			case <-req.Context().Done():
			}
		case "/loop":
			http.Redirect(w, req, "/loop?secret", http.StatusFound)
		case "/down":
			http.Redirect(w, req, "http://127.0.0.1:1/secret", http.StatusFound)
		case "/file":
			http.Redirect(w, req, "file:///etc/passwd", http.StatusFound)
		default:
			serveImage(w, req)
		}
	}, nil)
	defer close(hold)
	for path, want := range map[string]string{"/absent": "404", "/short": "EOF", "/large": "transfers.max_size", "/declared": "transfers.max_size",
		"/slow": "no progress", "/loop": "redirect", "/down": "redirect", "/file": "redirect", "/sum": "CheckSum", "/size": "FileSize"} {
		t.Run(path, func(t *testing.T) {
			f := File{URL: g.origin.URL + path + "?secret=1"}
			switch path {
			case "/sum":
				f.Algorithm, f.CheckSum = "SHA-256", sumOf(nil)
			case "/size":
				f.Size = 7
			}
			_, err := g.fetch(path, f)
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want %q", err, want)
			}
			if path == "/sum" && !errors.Is(err, ErrCheckSum) {
				t.Error("not ErrCheckSum")
			}
			if code, _, _ := g.do("GET", "/"+path[1:]+"/file", ""); code == 200 {
				t.Error("it is served")
			}
			g.r.Forget(path)
		})
	}
	if n := g.left(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// What a URL leads to is judged by the address that is dialled: of a name that tells another one each time it is asked, and after a redirect.
func TestGuard(t *testing.T) {
	refused := errors.New("not that one")
	var mu sync.Mutex
	var dialled []netip.AddrPort
	g := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "https://127.0.0.2:1/", http.StatusFound)
	}, func(o *Options) {
		o.Guard = func(to netip.AddrPort) error {
			mu.Lock()
			defer mu.Unlock()
			if dialled = append(dialled, to); to.Addr() != netip.MustParseAddr("127.0.0.1") {
				return refused
			}
			return nil
		}
	})
	if _, err := g.fetch(token, File{URL: g.origin.URL}); !errors.Is(err, refused) {
		t.Errorf("after a redirect: %v", err)
	}
	if len(dialled) != 2 || dialled[1].String() != "127.0.0.2:1" {
		t.Errorf("%v", dialled)
	}
	if _, err := g.fetch(other, File{URL: "http://localhost:1/"}); err == nil {
		t.Error("nobody listens there")
	}
	mu.Lock()
	defer mu.Unlock()
	if last := dialled[len(dialled)-1].Addr(); !last.IsLoopback() {
		t.Errorf("a name was judged as %v", last)
	}
}

// A token that is forgotten while its file is fetched ends that, and whoever waits behind it gets its turn. The disk is bounded.
func TestForgetAndRoom(t *testing.T) {
	hold := make(chan struct{})
	g := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/slow") {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			select {
			case <-hold:
			case <-req.Context().Done():
			}
			return
		}
		serveImage(w, req)
	}, func(o *Options) { o.Stall = patience })
	defer close(hold)
	for i := range fetchesAtOnce {
		g.r.Download(fmt.Sprint(i), File{URL: fmt.Sprintf("%s/slow%d", g.origin.URL, i)}, func(int64, error) { t.Error("told though it was forgotten") })
	}
	g.until(func() bool { return g.hits.Load() == fetchesAtOnce })
	ended := make(chan error, 1)
	g.r.Download(token, File{URL: g.origin.URL + "/image"}, func(_ int64, err error) { ended <- err })
	g.r.Download(other, File{URL: g.origin.URL + "/never"}, func(int64, error) { t.Error("told though it was forgotten") })
	g.r.Forget(other)
	for i := range fetchesAtOnce {
		g.r.Forget(fmt.Sprint(i))
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	g.r.mu.Lock()
	g.r.taken += filesAtOnce * g.r.o.MaxSize
	g.r.mu.Unlock()
	if _, err := g.fetch(other, File{URL: g.origin.URL + "/more"}); !errors.Is(err, errFull) {
		t.Errorf("no room: %v", err)
	}
	g.r.mu.Lock()
	g.r.taken -= filesAtOnce * g.r.o.MaxSize
	g.r.mu.Unlock()
	g.r.Forget(token)
	g.r.Forget(other)
	if n := g.left(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// A CPE that comes while its file is fetched waits for it, for a while.
func TestFileThatIsNotThereYet(t *testing.T) {
	for stall, want := range map[time.Duration]int{50 * time.Millisecond: 503, patience: 200} {
		hold := make(chan struct{})
		g := newRig(t, func(w http.ResponseWriter, req *http.Request) {
			select {
			case <-hold:
			case <-req.Context().Done():
			}
			serveImage(w, req)
		}, func(o *Options) { o.Stall = stall })
		g.r.Download(token, File{URL: g.origin.URL}, func(int64, error) {})
		answered := make(chan int)
		go func() {
			code, _, _ := g.do("GET", "/"+token, "")
			answered <- code
		}()
		g.until(func() bool { return g.r.offers[token].serving == 1 })
		if want == 200 {
			close(hold)
		}
		if code := <-answered; code != want {
			t.Errorf("%d, want %d", code, want)
		}
		g.r.Forget(token)
	}
}

// A file that a CPE brings is sent on before the CPE is answered, once; what could not be sent on is its failure.
func TestUpload(t *testing.T) {
	var got [][]byte
	var mu sync.Mutex
	g := newRig(t, func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		mu.Lock()
		defer mu.Unlock()
		switch u, p, _ := req.BasicAuth(); {
		case req.URL.Path == "/moved":
			http.Redirect(w, req, "/to?x", http.StatusTemporaryRedirect)
		case req.Method != http.MethodPut || u != "u" || p != "p" || req.ContentLength != int64(len(b)):
			w.WriteHeader(http.StatusForbidden)
		default:
			got = append(got, b)
		}
	}, nil)
	to := File{URL: g.origin.URL + "/moved", Username: "u", Password: "p"}
	g.r.Upload(token, to)
	for range 2 { // a CPE that has not got the answer
		if code, _, _ := g.do("PUT", "/"+token+"/log", "a log"); code != 204 {
			t.Errorf("PUT %d", code)
		}
	}
	if len(got) != 1 || string(got[0]) != "a log" || !g.r.Delivered(token) {
		t.Errorf("%q", got)
	}
	g.r.Upload(other, File{URL: g.origin.URL + "/to"})
	if code, _, _ := g.do("POST", "/"+other, "a log"); code != 502 || g.r.Delivered(other) {
		t.Errorf("refused by the server: %d", code)
	}
	if code, _, _ := g.do("PUT", "/"+other, strings.Repeat("x", 1<<20+1), "Expect", "100-continue"); code != 413 {
		t.Errorf("too large: %d", code)
	}
	if code, _, _ := g.do("GET", "/"+other, ""); code != 405 {
		t.Errorf("GET %d", code)
	}
	g.r.Forget(token)
	g.r.Forget(other)
	if n := g.left(); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// A reader that takes nothing, and a writer that brings nothing, are given up; so are those who want too much.
func TestSlowCPE(t *testing.T) {
	const size = 32 << 20 // more than sockets hold
	g := newRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, size)) },
		func(o *Options) { o.Stall, o.MaxSize = 300*time.Millisecond, size })
	_, err := g.fetch(token, File{URL: g.origin.URL})
	for errors.Is(err, errStalled) { // by this machine, which is busy
		g.r.Forget(token)
		_, err = g.fetch(token, File{URL: g.origin.URL})
	}
	if err != nil {
		t.Fatal(err)
	}
	g.r.Upload(other, File{URL: g.origin.URL})
	for _, first := range []string{"GET /" + token + "/f HTTP/1.1\r\nHost: x\r\n\r\n", "PUT /" + other + "/f HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, first)
		g.until(func() bool { return g.r.offers[token].serving > 0 || g.r.offers[other].receiving })
		g.until(func() bool { return g.r.offers[token].serving == 0 && !g.r.offers[other].receiving })
		_ = c.Close()
	}
	g.r.mu.Lock()
	if g.r.offers[token].reads >= size {
		t.Error("it was read as a whole")
	}
	g.r.offers[token].reads = readsOf*size + 1
	g.r.mu.Unlock()
	if code, _, _ := g.do("GET", "/"+token+"/f", ""); code != 429 {
		t.Errorf("too often: %d", code)
	}
}

// until waits for something that Relay.mu guards.
func (g *rig) until(ok func() bool) {
	g.Helper()
	for end := time.Now().Add(patience); ; {
		g.r.mu.Lock()
		done := ok()
		g.r.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(end) {
			g.Fatal("it does not come to that")
		}
		runtime.Gosched()
	}
}

// What a process that was killed has left is removed; a URL is never longer than CWMP allows.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/transfer-old", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(t.Context(), Options{Dir: dir, PublicURL: "http://" + strings.Repeat("x", MaxPublicURL-len("http://")), MaxSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("%v %v", names, err)
	}
	for raw, want := range map[string]string{"https://h/a/b.bin?x": "b.bin", "https://h/": "file", "https://h/..": "file", "https://h/%2e%2e%2fü$": "file", ":": "file"} {
		if got := NameOf(raw); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
	if n := len(r.URL(token, NameOf("https://h/"+strings.Repeat("y", 300)))); n != MaxURL {
		t.Errorf("%d characters", n)
	}
}

func TestCheck(t *testing.T) {
	for f, ok := range map[File]bool{
		{URL: "https://h/x"}: true, {URL: "ftp://h/x"}: false, {URL: "x"}: false, {URL: "https:///x"}: false,
		{URL: "http://h", Algorithm: "SHA-256", CheckSum: sumOf(nil)}: true, {URL: "http://h", CheckSum: sumOf(nil)}: false,
		{URL: "http://h", Algorithm: "SHA-1", CheckSum: sumOf(nil)}: false, {URL: "http://h", Algorithm: "SHA-256", CheckSum: "zz"}: false,
	} {
		if err := f.Check(); (err == nil) != ok {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
