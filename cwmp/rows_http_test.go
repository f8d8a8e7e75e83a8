package cwmp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw is one socket to the Server on which a test writes what it likes.
type raw struct {
	t    *testing.T
	conn net.Conn
	br   *bufio.Reader
}

func dialRaw(t *testing.T, addr string) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{t, conn, bufio.NewReader(conn)}
}

func (r *raw) write(parts ...string) {
	r.t.Helper()
	if _, err := io.WriteString(r.conn, strings.Join(parts, "")); err != nil {
		r.t.Fatal(err)
	}
}

func (r *raw) status() int {
	r.t.Helper()
	resp, err := http.ReadResponse(r.br, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode
}

// closing is a Run that does nothing but tell.
func closing(ran chan struct{}) func(context.Context, *Session) {
	return func(context.Context, *Session) { close(ran) }
}

func length(b string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n", len(b)) }

func informText(t *testing.T) string { return string(message(t, "1", testInform())) }

// TestH1_2_SessionOnANewSocket: the session goes on by its cookie, whether or not the old socket is known to be dead.
func TestH1_2_SessionOnANewSocket(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprint("old socket closed ", closed), func(t *testing.T) {
			got := make(chan error, 1)
			_, addr := start(t, &acs{run: readOne(got)}, nil)
			c := dial(t, addr)
			c.inform("1")
			r := c.empty()
			r.want(t, "GetParameterValues")
			again := dial(t, addr)
			again.cookie = c.cookie
			if closed {
				c.hangUp()
			}
			again.post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
			if err := <-got; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestH3_Cookies(t *testing.T) {
	for name, garble := range map[string]func(value string) string{
		"dropped, same socket": func(string) string { return "" },
		"attributes echoed":    func(v string) string { return "s=" + v + "; Path=/" },
		"quoted":               func(v string) string { return `s="` + v + `"` },
		"joined by commas":     func(v string) string { return "lang=de,s=" + v + ",x" },
		"old style":            func(v string) string { return `$Version=0; s=` + v + `; $Path=/` },
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan error, 1)
			_, addr := start(t, &acs{run: readOne(got)}, nil)
			c := dial(t, addr)
			c.inform("1")
			value, _, _ := strings.Cut(strings.TrimPrefix(c.cookie, "s="), ";")
			c.cookie = garble(value)
			if c.cookie != "" {
				c.hangUp()
			}
			r := c.empty()
			r.want(t, "GetParameterValues")
			c.post(r.env.ID, &GetParameterValuesResponse{}).wantStatus(t, 204)
			if err := <-got; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestH5_StaleCookieWithAnInform(t *testing.T) {
	_, addr := start(t, &acs{}, nil)
	c := dial(t, addr)
	c.cookie = "s=OFANOLDSESSION"
	c.inform("1")
	c.empty().wantStatus(t, 204)
}

func TestH7_ExpectContinue(t *testing.T) {
	_, addr := start(t, &acs{}, nil)
	c, body := dialRaw(t, addr), informText(t)
	c.write("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n", length(body))
	if line, err := c.br.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatal(line, err)
	}
	if _, err := c.br.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c.write(body)
	if s := c.status(); s != 200 {
		t.Error(s)
	}
}

func TestH8_BodyLength(t *testing.T) {
	body := informText(t)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for name, tc := range map[string]struct {
		send   string
		status int
	}{
		"chunked":                {"Transfer-Encoding: chunked\r\n\r\n" + chunked, 200},
		"more than the Envelope": {length(body+"\x00\x00 trailing") + body + "\x00\x00 trailing", 200},
		"characters, not bytes":  {length(body[:len(body)-2]) + body, 400},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := start(t, &acs{}, nil)
			c := dialRaw(t, addr)
			c.write("POST / HTTP/1.1\r\nHost: x\r\n", tc.send)
			if s := c.status(); s != tc.status {
				t.Error(s)
			}
		})
	}
}

func TestH9_EmptyPosts(t *testing.T) {
	for name, send := range map[string]string{
		"length 0":       "Content-Length: 0\r\n\r\n",
		"no length":      "\r\n",
		"zero chunk":     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"line break":     "Content-Length: 2\r\n\r\n\r\n",
		"blanks":         "Content-Length: 3\r\n\r\n \t ",
		"type kept":      "Content-Type: text/xml\r\nSOAPAction: \"\"\r\nContent-Length: 0\r\n\r\n",
		"empty envelope": length(string(soap(""))) + string(soap("")),
	} {
		t.Run(name, func(t *testing.T) {
			ran := make(chan struct{})
			_, addr := start(t, &acs{run: closing(ran)}, nil)
			c, body := dialRaw(t, addr), informText(t)
			c.write("POST / HTTP/1.1\r\nHost: x\r\n", length(body), body)
			if s := c.status(); s != 200 {
				t.Fatal(s)
			}
			c.write("POST / HTTP/1.1\r\nHost: x\r\n", send)
			if s := c.status(); s != 204 {
				t.Error(s)
			}
			<-ran
		})
	}
}

// TestH10_11_14_Headers: what a CPE says in SOAPAction, Content-Type, Host and the request's target means nothing.
func TestH10_11_14_Headers(t *testing.T) {
	for _, head := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nSOAPAction:\r\nContent-Type:\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nSOAPAction: \"cwmp:Inform\"\r\nContent-Type: text/html\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/soap+xml; charset=\"nonsense\r\n",
		"POST http://another.example:80//acs/?x=%zz HTTP/1.1\r\nHost: wrong\r\n",
		"POST //a//b HTTP/1.1\r\nHost:\r\n",
		"POST / HTTP/1.0\r\n",
	} {
		_, addr := start(t, &acs{}, nil)
		c, body := dialRaw(t, addr), informText(t)
		c.write(head, length(body), body)
		if s := c.status(); s != 200 {
			t.Errorf("%q: %d", head, s)
		}
	}
}

// TestH12_CompressedRequests: the answer is never compressed, which any CPE takes.
func TestH12_CompressedRequests(t *testing.T) {
	var zipped, zlibbed, bomb bytes.Buffer
	for _, z := range []io.WriteCloser{gzip.NewWriter(&zipped), zlib.NewWriter(&zlibbed)} {
		_, _ = io.WriteString(z, informText(t))
		_ = z.Close()
	}
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	_ = z.Close()
	for _, tc := range []struct {
		encoding string
		body     []byte
		status   int
	}{{"gzip", zipped.Bytes(), 200}, {"x-gzip", zipped.Bytes(), 200}, {"deflate", zlibbed.Bytes(), 200}, {"gzip", bomb.Bytes(), 413}} {
		_, addr := start(t, &acs{}, nil)
		c := dial(t, addr)
		c.header = "Accept-Encoding: gzip\r\nContent-Encoding: " + tc.encoding + "\r\n"
		c.send(tc.body)
		r := c.receive()
		if r.status != tc.status || r.header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %v", tc.encoding, r.status, r.header)
		}
	}
}

func TestH13_OtherMethods(t *testing.T) {
	_, addr := start(t, &acs{}, nil)
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS"} {
		c := dialRaw(t, addr)
		c.write(method, " / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		if s := c.status(); s != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, s)
		}
	}
}

// TestH15_Pipelining: requests are answered one after the other, in order.
func TestH15_Pipelining(t *testing.T) {
	_, addr := start(t, &acs{}, nil)
	c, body := dialRaw(t, addr), informText(t)
	c.write("POST / HTTP/1.1\r\nHost: x\r\n", length(body), body, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	if first, second := c.status(), c.status(); first != 200 || second != 204 {
		t.Error(first, second)
	}
}

func TestH21_OddLines(t *testing.T) {
	body := informText(t)
	for name, head := range map[string]string{
		"line feeds only": "POST / HTTP/1.1\nHost: x\nContent-Length: %d\n\n",
		"after a body":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n\r\nPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
		"odd case":        "POST / HTTP/1.1\r\nhOST: x\r\ncontent-LENGTH:   %d  \r\n\r\n",
	} {
		_, addr := start(t, &acs{}, nil)
		c := dialRaw(t, addr)
		c.write(fmt.Sprintf(head, len(body)), body)
		s := c.status()
		if s == 204 {
			s = c.status() // of the request behind the first
		}
		if s != 200 {
			t.Errorf("%s: %d", name, s)
		}
	}
}

// TestH22_23_ShortHeaders: the smallest buffer that was met has 256 bytes for all headers; chunks are never sent.
func TestH22_23_ShortHeaders(t *testing.T) {
	const smallest = 256
	_, addr := start(t, &acs{}, nil)
	c, body := dialRaw(t, addr), informText(t)
	c.write("POST / HTTP/1.1\r\nHost: x\r\n", length(body), body)
	var head strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		head.WriteString(line)
		if line == "\r\n" {
			break
		}
	}
	if h := head.String(); len(h) > smallest || !strings.Contains(h, "Content-Length: ") || strings.Contains(h, "chunked") {
		t.Errorf("%d bytes: %s", len(h), h)
	}
}

func TestS1_DuplicateInform(t *testing.T) {
	h := &acs{}
	_, addr := start(t, h, nil)
	c := dial(t, addr)
	first, again := c.inform("1"), c.inform("1")
	if !bytes.Equal(first.body, again.body) {
		t.Error("another InformResponse")
	}
	c.empty().wantStatus(t, 204)
	if err := h.end(t); err != nil {
		t.Error(err)
	}
}

func TestS2_NewestInformWins(t *testing.T) {
	h := &acs{}
	_, addr := start(t, h, nil)
	dial(t, addr).inform("1")
	c := dial(t, addr)
	m := testInform()
	m.RetryCount = 1
	c.post("2", m).want(t, "InformResponse")
	if err := h.end(t); !errors.Is(err, ErrSuperseded) {
		t.Error(err)
	}
	c.empty().wantStatus(t, 204)
}
