// Package connreq asks a CPE for a session: the HTTP Connection Request of TR-069 3.2.2. That the CPE accepted says nothing about the
// session; only its Inform does.
package connreq

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/icholy/digest"
)

// The errors of Request. Their texts are fit for whoever asked for the session.
var (
	ErrNotAllowed  = errors.New("connection request: address not allowed")
	ErrUnreachable = errors.New("connection request: CPE cannot be reached")
	ErrRefused     = errors.New("connection request: CPE is busy, limits the rate, or is offline behind a proxier (503)")
	ErrAuth        = errors.New("connection request: CPE did not accept the credentials")
	ErrAnswer      = errors.New("connection request: CPE answered something else")
)

const (
	defaultTimeout = 10 * time.Second
	maxAnswer      = 64 << 10 // bytes of headers, and of body
)

// Client makes Connection Requests. The zero value is ready to use. It is safe for concurrent use; its fields must not change then.
type Client struct {
	Rules
	Timeout time.Duration // of a whole request; 0: 10 s
	Basic   bool          // credentials may be sent as Basic, readable by all on the way, to CPE that offer no Digest

	// DialContext connects to an address that has been resolved and checked; nil: a net.Dialer's.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	flying map[Target]*flight
}

// Target is a CPE as it described itself. What it did not tell is empty.
type Target struct {
	CPE                string // which one it is, wherever it says that it can be reached; "": its addresses tell
	URL                string // ConnectionRequestURL
	UDPAddress         string // UDPConnectionRequestAddress
	JID                string // ConnReqJabberID
	Username, Password string // ConnectionRequestUsername, ConnectionRequestPassword
	InformFromLoopback bool   // the Inform came from this host, so the CPE may be on it
}

// flight is a request under way.
type flight struct {
	done chan struct{}
	err  error
}

// Request asks the CPE for a session and returns nil if it said that it will come. Requests for the same Target at the same time are
// one. The error is one of this package's, or ctx's.
func (c *Client) Request(ctx context.Context, t Target) error {
	for {
		c.mu.Lock()
		f := c.flying[t]
		if f == nil {
			f = &flight{done: make(chan struct{})}
			if c.flying == nil {
				c.flying = make(map[Target]*flight)
			}
			c.flying[t] = f
			c.mu.Unlock()
			f.err = c.request(ctx, t)
			c.mu.Lock()
			delete(c.flying, t)
			c.mu.Unlock()
			close(f.done)
			return f.err
		}
		c.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return f.err
		}
		// Whoever made the request gave up: that is no answer for the others.
	}
}

func (c *Client) request(parent context.Context, t Target) error {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	u, err := url.Parse(bracketed(t.URL))
	if err != nil || u.Host == "" {
		return fmt.Errorf("%w: %q is no URL", ErrNotAllowed, t.URL)
	}
	if u.Scheme != "http" {
		return fmt.Errorf("%w: scheme %q instead of http", ErrNotAllowed, u.Scheme)
	}
	u.User, u.Fragment = nil, ""
	err = c.exchange(ctx, u, t)
	switch {
	case err == nil:
		return nil
	case parent.Err() != nil:
		return parent.Err()
	case isOurs(err):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("%w: no answer in %v", ErrUnreachable, timeout)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func isOurs(err error) bool {
	for _, e := range []error{ErrNotAllowed, ErrRefused, ErrAuth, ErrAnswer} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// exchange is the GET, and the GET with credentials if the CPE wants them. The transport uses the socket again if the CPE keeps it
// open and a new one if not.
func (c *Client) exchange(ctx context.Context, u *url.URL, t Target) error {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.dial(ctx, network, u, t.InformFromLoopback)
		},
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswer,
		MaxConnsPerHost:        1,
	}
	defer tr.CloseIdleConnections()
	status, header, err := get(ctx, tr, u, "")
	if err != nil {
		return err
	}
	if status == http.StatusUnauthorized {
		authorization, err := c.authorize(header, u, t)
		if err != nil {
			return err
		}
		if status, _, err = get(ctx, tr, u, authorization); err != nil {
			if hungUp(err) {
				return nil // some CPE reset the connection once they have what they need
			}
			return err
		}
	}
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%w (%d)", ErrAuth, status)
	case status == http.StatusServiceUnavailable:
		return ErrRefused
	}
	return fmt.Errorf("%w: HTTP status %d", ErrAnswer, status)
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// get never follows a redirect.
func get(ctx context.Context, tr *http.Transport, u *url.URL, authorization string) (status int, header http.Header, err error) {
	req := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: make(http.Header)}).WithContext(ctx)
	req.Header["User-Agent"] = nil
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // nothing in there matters
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header, nil
}

func (c *Client) authorize(header http.Header, u *url.URL, t Target) (string, error) {
	if t.Username == "" && t.Password == "" {
		return "", fmt.Errorf("%w: it wants some and none are configured", ErrAuth)
	}
	basic := false
	for _, h := range header.Values("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(h), " ")
		basic = basic || strings.EqualFold(scheme, "Basic")
		ch := parseChallenge(h)
		if ch == nil || !digest.CanDigest(ch) {
			continue
		}
		cred, err := digest.Digest(ch, digest.Options{
			Method: http.MethodGet, URI: u.RequestURI(), Count: 1, Username: t.Username, Password: t.Password,
		})
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrAuth, err)
		}
		return cred.String(), nil
	}
	if basic && c.Basic {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(t.Username+":"+t.Password)), nil
	}
	return "", fmt.Errorf("%w: it does not offer Digest", ErrAuth)
}

// bracketed gives a URL the brackets that its IPv6 address lacks. Where a port may be meant, it is.
func bracketed(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, path := rest[:end], rest[end:]
	if !ok || strings.Count(host, ":") < 2 || strings.Contains(host, "[") {
		return raw
	}
	i := strings.LastIndexByte(host, ':')
	if _, err := netip.ParseAddr(host[:i]); err == nil {
		return scheme + "://[" + host[:i] + "]" + host[i:] + path
	}
	return scheme + "://[" + host + "]" + path
}

// dial connects to the first address that lets it.
func (c *Client) dial(ctx context.Context, network string, u *url.URL, loopback bool) (net.Conn, error) {
	addrs, err := c.resolve(ctx, u.Hostname(), u.Port(), loopback)
	if err != nil {
		return nil, err
	}
	dial := c.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	for _, to := range addrs {
		var conn net.Conn
		if conn, err = dial(ctx, network, to.String()); err == nil {
			return conn, nil
		}
	}
	return nil, err
}
