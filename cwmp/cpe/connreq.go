package cpe

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what TR-069 3.2.2.2 asks for
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"

	"isthmus/cwmp"
)

const (
	realm           = "CPE"
	nonceLife       = 5 * time.Minute
	connReqTimeout  = 10 * time.Second
	maxConnReqHead  = 8 << 10 // bytes
	pathBytes       = 12
	headerAuthorize = "WWW-Authenticate"
)

// Listener takes the Connection Requests (TR-069 3.2.2) of any number of CPE, each under a random path of its own.
type Listener struct {
	base   string
	key    [sha256.Size]byte // signs nonces
	server *http.Server
	served sync.WaitGroup

	mu  sync.Mutex
	cpe map[string]*CPE
}

// Listen opens a Listener on a TCP address.
func Listen(addr string) (*Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for Connection Requests: %w", err)
	}
	return NewListener(l), nil
}

// NewListener serves Connection Requests on l, which Close closes.
func NewListener(l net.Listener) *Listener {
	cl := &Listener{base: "http://" + l.Addr().String() + "/", cpe: make(map[string]*CPE)}
	rand.Read(cl.key[:]) //nolint:errcheck // never fails
	cl.server = &http.Server{
		Handler: cl, ReadTimeout: connReqTimeout, WriteTimeout: connReqTimeout, MaxHeaderBytes: maxConnReqHead,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	cl.served.Go(func() { cl.server.Serve(l) }) //nolint:errcheck // ends with Close
	return cl
}

// Close ends the Listener and its connections.
func (l *Listener) Close() {
	l.server.Close() //nolint:errcheck // nothing to be lost
	l.served.Wait()
}

// join gives c a path until leave is called.
func (l *Listener) join(c *CPE) (url string, leave func()) {
	var b [pathBytes]byte
	rand.Read(b[:]) //nolint:errcheck // never fails
	path := hex.EncodeToString(b[:])
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cpe[path] = c
	return l.base + path, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.cpe, path)
	}
}

// ServeHTTP answers one Connection Request.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	c := l.cpe[strings.TrimPrefix(r.URL.Path, "/")]
	l.mu.Unlock()
	w.Header().Set("Connection", "close")
	switch {
	case c == nil:
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	mode, username, password := c.connReq()
	switch {
	case mode == ConnReqDrop:
		panic(http.ErrAbortHandler) // closes the connection
	case mode == ConnReqBusy:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case username != "" && !l.authentic(r, username, password):
		w.Header().Set(headerAuthorize, fmt.Sprintf(`Digest realm="%s", qop="auth", algorithm=MD5, nonce="%s"`, realm, l.nonce(time.Now())))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.WriteHeader(http.StatusOK)
	if mode == ConnReqServe {
		c.Inform(cwmp.EventConnectionRequest)
	}
}

// connReq is how c takes HTTP Connection Requests now; while it reboots it cannot.
func (c *CPE) connReq() (mode ConnReqMode, username, password string) {
	on, username, password := c.connReqCredentials()
	if !on {
		return ConnReqDrop, "", ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults.ConnReq, username, password
}

// connReqCredentials are what Connection Requests of any kind have to know, if c is on.
func (c *CPE) connReqCredentials() (on bool, username, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	server := c.root + "ManagementServer."
	username, password = c.cfg.ConnReqUsername, c.cfg.ConnReqPassword
	if c.tree.find(server+"ConnectionRequestUsername") != nil {
		username = c.tree.value(server + "ConnectionRequestUsername")
		password = c.tree.value(server + "ConnectionRequestPassword")
	}
	return !c.down, username, password
}

// nonce is a time and its signature, so none has to be kept.
func (l *Listener) nonce(t time.Time) string {
	stamp := strconv.FormatInt(t.Unix(), 16)
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write([]byte(stamp))
	const signature = 12 // bytes
	return stamp + "." + hex.EncodeToString(mac.Sum(nil)[:signature])
}

func (l *Listener) fresh(nonce string) bool {
	stamp, _, _ := strings.Cut(nonce, ".")
	unix, err := strconv.ParseInt(stamp, 16, 64)
	if err != nil {
		return false
	}
	at := time.Unix(unix, 0)
	return equal(nonce, l.nonce(at)) && time.Since(at) < nonceLife
}

// authentic checks the Digest of RFC 2617, with qop=auth or without.
func (l *Listener) authentic(r *http.Request, username, password string) bool {
	cred, err := digest.ParseCredentials(r.Header.Get("Authorization"))
	if err != nil || cred.Realm != realm || cred.URI != r.RequestURI || !l.fresh(cred.Nonce) {
		return false
	}
	ha1, ha2 := md5Hex(username+":"+realm+":"+password), md5Hex(r.Method+":"+cred.URI)
	want := md5Hex(ha1 + ":" + cred.Nonce + ":" + ha2)
	if cred.QOP != "" {
		want = md5Hex(fmt.Sprintf("%s:%s:%08x:%s:%s:%s", ha1, cred.Nonce, cred.Nc, cred.Cnonce, cred.QOP, ha2))
	}
	return equal(cred.Username, username) && equal(strings.ToLower(cred.Response), want)
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// ConnectionRequestURL is where Connection Requests reach the CPE; empty before its first Run.
func (c *CPE) ConnectionRequestURL() string {
	return c.Value(c.root + "ManagementServer.ConnectionRequestURL")
}
