package cpe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/icholy/digest"

	"isthmus/cwmp"
)

const (
	postTimeout = 60 * time.Second // for one POST and its answer
	maxAnswer   = 32 << 20         // bytes of one HTTP answer
	maxCookies  = 16
	maxLogins   = 2 // 401 answers to one POST: the challenge, and a stale nonce
	userAgent   = "isthmus-cpe"
)

var (
	errFault  = errors.New("cpe: connection closed on demand")
	errStatus = errors.New("cpe: ACS answered with HTTP status")
)

// acs is the HTTP side of one session: one connection at a time, cookies, authentication. net/http's client hides too much of what a
// test wants to spoil, and costs two goroutines.
type acs struct {
	cfg                *Config
	url                *url.URL
	username, password string

	conn    net.Conn
	limit   io.LimitedReader
	reader  *bufio.Reader
	cookies []*http.Cookie

	challenge *digest.Challenge
	nc        int
	basic     bool
	posts     int
}

func (a *acs) close() {
	if a.conn != nil {
		a.conn.Close() //nolint:errcheck // nothing is written any more
		a.conn = nil
	}
}

func (a *acs) dial(ctx context.Context) error {
	host, port := a.url.Hostname(), a.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[a.url.Scheme]
	}
	conn, err := a.cfg.Dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return fmt.Errorf("connect to ACS: %w", err)
	}
	if a.url.Scheme == "https" {
		config := a.cfg.TLS.Clone()
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if config.ServerName == "" {
			config.ServerName = host
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close() //nolint:errcheck // the handshake's error is the one that counts
			return fmt.Errorf("TLS with ACS: %w", err)
		}
		conn = secure
	}
	a.conn = conn
	a.limit.R = conn
	a.reader = bufio.NewReader(&a.limit)
	return nil
}

// post sends a body, nil for an empty POST, and returns the answer's, empty for the end of the ACS's side.
func (a *acs) post(ctx context.Context, body []byte, f *Faults) (answer []byte, contentType string, err error) {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
	a.posts++
	for range maxLogins + 1 {
		var resp *http.Response
		if resp, answer, err = a.exchange(ctx, body, f); err != nil {
			a.close()
			return nil, "", err
		}
		switch {
		case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNoContent:
			return answer, resp.Header.Get("Content-Type"), nil
		case resp.StatusCode != http.StatusUnauthorized || !a.login(resp.Header):
			return nil, "", fmt.Errorf("%w %d", errStatus, resp.StatusCode)
		}
	}
	return nil, "", fmt.Errorf("%w 401, again", errStatus)
}

func (a *acs) exchange(ctx context.Context, body []byte, f *Faults) (*http.Response, []byte, error) {
	if a.conn == nil {
		if err := a.dial(ctx); err != nil {
			return nil, nil, err
		}
	}
	conn := a.conn
	defer context.AfterFunc(ctx, func() { conn.Close() })() //nolint:errcheck // only to end the waiting
	if err := conn.SetDeadline(time.Now().Add(postTimeout)); err != nil {
		return nil, nil, fmt.Errorf("connection to ACS: %w", err)
	}
	head, err := a.head(len(body), f)
	if err != nil {
		return nil, nil, err
	}
	if _, err := conn.Write(append(head, body...)); err != nil {
		return nil, nil, fmt.Errorf("post: %w", err)
	}
	if f.CloseAfterPost == a.posts {
		return nil, nil, errFault
	}
	a.limit.N = maxAnswer
	resp, err := http.ReadResponse(a.reader, &http.Request{Method: http.MethodPost})
	for err == nil && resp.StatusCode < http.StatusOK {
		resp, err = http.ReadResponse(a.reader, &http.Request{Method: http.MethodPost})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("answer of ACS: %w", err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("answer of ACS: %w", err)
	}
	resp.Body.Close() //nolint:errcheck // read to its end
	if !f.DropCookies {
		a.keep(resp.Cookies())
	}
	if resp.Close || f.CloseEachPost || f.HTTP10 {
		a.close()
	}
	return resp, answer, nil
}

// head is the request line with all headers, as few as will do (TR-069 3.4).
func (a *acs) head(length int, f *Faults) ([]byte, error) {
	var b bytes.Buffer
	protocol, uri := "HTTP/1.1", a.url.RequestURI()
	if f.HTTP10 {
		protocol = "HTTP/1.0"
	}
	fmt.Fprintf(&b, "POST %s %s\r\nHost: %s\r\nUser-Agent: %s\r\nContent-Length: %d\r\n", uri, protocol, a.url.Host, userAgent, length)
	if length > 0 {
		charset := f.Charset
		if charset == "" {
			charset = "utf-8"
		}
		fmt.Fprintf(&b, "Content-Type: text/xml; charset=%s\r\nSOAPAction: \"\"\r\n", charset)
	}
	if f.CloseEachPost {
		b.WriteString("Connection: close\r\n")
	}
	for i, cookie := range a.cookies {
		b.WriteString(map[bool]string{true: "Cookie: ", false: "; "}[i == 0])
		b.WriteString(cookie.Name + "=" + cookie.Value)
	}
	if len(a.cookies) > 0 {
		b.WriteString("\r\n")
	}
	switch {
	case a.challenge != nil:
		a.nc++
		credentials, err := digest.Digest(a.challenge, digest.Options{
			Method: http.MethodPost, URI: uri, Count: a.nc, Username: a.username, Password: a.password,
		})
		if err != nil {
			return nil, fmt.Errorf("answer the ACS's challenge: %w", err)
		}
		fmt.Fprintf(&b, "Authorization: %s\r\n", credentials)
	case a.basic:
		fmt.Fprintf(&b, "Authorization: %s\r\n", basicAuth(a.username, a.password))
	}
	b.WriteString("\r\n")
	return b.Bytes(), nil
}

func basicAuth(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// login takes the challenge of a 401; false if there is nothing to answer it with.
func (a *acs) login(h http.Header) bool {
	if a.username == "" {
		return false
	}
	if challenge, err := digest.FindChallenge(h); err == nil {
		a.challenge, a.nc = challenge, 0
		return true
	}
	for _, v := range h.Values("Www-Authenticate") {
		if scheme, _, _ := strings.Cut(v, " "); strings.EqualFold(scheme, "Basic") && !a.basic {
			a.basic = true
			return true
		}
	}
	return false
}

func (a *acs) keep(cookies []*http.Cookie) {
	for _, cookie := range cookies {
		kept := a.cookies[:0:0]
		for _, old := range a.cookies {
			if old.Name != cookie.Name {
				kept = append(kept, old)
			}
		}
		if cookie.MaxAge >= 0 && len(kept) < maxCookies {
			kept = append(kept, cookie)
		}
		a.cookies = kept
	}
}

// encode is the envelope in the charset that f asks for.
func encode(e *cwmp.Envelope, f *Faults) ([]byte, error) {
	body, err := cwmp.Encode(e)
	if err != nil || f.Charset == "" {
		return body, err
	}
	return latin1(bytes.Replace(body, []byte("UTF-8"), []byte(f.Charset), 1)), nil
}
