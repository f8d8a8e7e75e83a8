//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
)

// The line "HTTP" of the matrix. What can be understood goes as far as a Controller's Set; what cannot is refused, counted, and does no harm.
func TestFaultsHTTP(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	var faults []fault
	for _, f := range []struct {
		name string
		g    garble
	}{
		{"no Content-Length on empty POSTs (H9)", func(head, body string) string {
			if body == "" {
				head = strings.Replace(head, "\r\nContent-Length: 0", "", 1)
			}
			return framed(head, body)
		}},
		{"chunked (H8)", func(head, body string) string {
			return strings.Replace(head, "Content-Length: "+strconv.Itoa(len(body)), "Transfer-Encoding: chunked", 1) + "\r\n\r\n" + chunks(body)
		}},
		{"chunked and Content-Length (H8)", func(head, body string) string {
			return head + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(body)
		}},
		{"more than the Envelope (H8)", func(head, body string) string {
			if body != "" {
				body += "\x00\x00<trailing & garbage"
			}
			return framed(head, body)
		}},
		{"100-continue (H7)", with("Expect: 100-continue")},
		{"gzip (H12)", compressed("gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })},
		{"deflate (H12)", compressed("deflate", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })},
		{"LF only (H21)", func(head, body string) string {
			return strings.ReplaceAll(head+"\r\n\r\n", "\r\n", "\n") + body
		}},
		{"folded and odd header names (H21)", with("x-OdD:  a\r\n  b\r\nX-Empty:")},
		{"a line break after each body (H21)", func(head, body string) string { return framed(head, body) + "\r\n" }},
		{"SOAPAction and Content-Type of all kinds (H10, H11)", with("SOAPAction: \"cwmp:Inform\"\r\nContent-Type: text/html; charset=\"nonsense")},
		{"a target of another host (H14)", func(head, body string) string {
			return framed(strings.Replace(head, "POST / ", "POST http://another.example:80//acs/?x=%zz ", 1), body)
		}},
		{"3 cookies (H3)", cookies(func(s string) string { return "a=1; " + s + "; b=2" })},
		{"3 cookies, joined by commas (H3)", cookies(func(s string) string { return "lang=de," + s + ",x" })},
		{"Set-Cookie's attributes (H3)", cookies(func(s string) string { return s + "; Path=/" })},
		{"a quoted cookie (H3)", cookies(func(s string) string { return `$Version=0; s="` + strings.TrimPrefix(s, "s=") + `"; $Path=/` })},
		{"no cookies, one socket (H3)", func(head, body string) string {
			before, rest, ok := strings.Cut(head, "\r\nCookie: ")
			if _, after, more := strings.Cut(rest, "\r\n"); ok && more {
				before += "\r\n" + after
			}
			return framed(before, body)
		}},
		{"an old session's cookie (H5)", func(head, body string) string {
			if strings.Contains(body, "<cwmp:Inform>") {
				head += "\r\nCookie: s=OFANOLDSESSION"
			}
			return framed(head, body)
		}},
	} {
		faults = append(faults, fault{f.name, sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, garbled(f.g))
			manages(t, d, p)
		}})
	}
	faults = append(faults, fault{"1.0 (H4)", sessionsOK, func(t *testing.T, b *bed) {
		d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Faults.HTTP10 = true })
		manages(t, d, p)
	}}, fault{"1.0 without cookies (H4)", sessionsOK, func(t *testing.T, b *bed) { // its sessions end at once, and nobody else's
		r, body := b.dial(t), b.inform(t, b.id(), cwmp.EventPeriodic)
		r.write("POST / HTTP/1.0\r\nContent-Length: ", strconv.Itoa(len(body)), "\r\n\r\n", body)
		r.wants(200)
		r.gone()
		r = b.dial(t)
		r.write("POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
		r.wants(204)
		r.gone()
		manages(t, b.good, &peer{ctx: deadline(t), agent: b.next})
	}}, fault{"pipelining (H15)", sessionsOK, func(t *testing.T, b *bed) {
		r := b.dial(t)
		r.post(b.inform(t, b.id(), cwmp.EventPeriodic))
		r.post("")
		r.wants(200)
		r.denies()
	}}, fault{"no Content-Length", sessionsOK, func(t *testing.T, b *bed) {
		r := b.dial(t)
		r.write("POST / HTTP/1.1\r\nHost: acs\r\nContent-Type: text/xml\r\n\r\n")
		r.wants(204) // an empty POST, which some send like this
		r.write(b.inform(t, b.id(), cwmp.EventBoot), "\r\n\r\n")
		r.wants(400) // net/http tells nobody of what it refuses behind another request
		manages(t, b.good, &peer{ctx: deadline(t), agent: b.next})
	}})
	whole := func(head, body string) string { return "POST / HTTP/1.1\r\nHost: acs\r\n" + head + "\r\n\r\n" + body }
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 8<<20))
	_ = z.Close()
	for _, f := range []struct {
		name, counts string
		status       int
		send         func(inform string) string
	}{
		{"Content-Length that is none", malformedHTTP, 400, func(s string) string { return whole("Content-Length: x", s) }},
		{"two Content-Lengths", malformedHTTP, 400, func(s string) string { return whole("Content-Length: 1\r\nContent-Length: 2", s) }},
		{"characters counted for bytes (H8)", malformedXML, 400, func(s string) string { return whole(fmt.Sprint("Content-Length: ", len(s)-20), s) }},
		{"a broken chunk", malformedRead, 400, func(s string) string { return whole("Transfer-Encoding: chunked", "zz\r\n"+s) }},
		{"a blank before the colon (H21)", malformedHTTP, 400, func(s string) string { return whole("Content-Length : 3", s) }},
		{"no header at all", malformedHTTP, 400, func(s string) string { return s + "\r\n\r\n" }},
		{"a request line of 32 KB", malformedHTTP, 431, func(string) string { return "POST /" + strings.Repeat("x", 32<<10) + " HTTP/1.1\r\n\r\n" }},
		{"1000 headers", malformedHTTP, 431, func(s string) string { return whole(strings.Repeat("X-Header-Of-No-Use: whatever\r\n", 1000), s) }},
		{"TLS on the plain port (H19)", malformedHTTP, 400, func(string) string { return "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n" }},
		{"GET (H13)", `cwmp_malformed_total{reason="method"}`, 405, func(string) string { return "GET / HTTP/1.1\r\nHost: acs\r\n\r\n" }},
		{"bad cookie (H6)", `cwmp_malformed_total{reason="session"}`, 400, func(string) string { return whole("Cookie: s=OFANOTHERACS\r\nContent-Length: 0", "") }},
		{"a broken cookie", `cwmp_malformed_total{reason="session"}`, 400, func(string) string { return whole("Cookie: ;;,=s==;s=\x80\xff\r\nContent-Length: 0", "") }},
		{"an encoding that nobody knows (H12)", `cwmp_malformed_total{reason="encoding"}`, 415, func(s string) string {
			return whole(fmt.Sprint("Content-Encoding: br\r\nContent-Length: ", len(s)), s)
		}},
		{"gzip that is none (H12)", malformedXML, 400, func(s string) string {
			return whole(fmt.Sprint("Content-Encoding: gzip\r\nContent-Length: ", len(s)), s)
		}},
		{"corrupt gzip (H12)", malformedXML, 400, func(string) string {
			return whole("Content-Encoding: gzip\r\nContent-Length: 1020", bomb.String()[:20]+strings.Repeat("\xff", 1000))
		}},
		{"truncated gzip (H12)", malformedRead, 400, func(string) string {
			return whole("Content-Encoding: gzip\r\nContent-Length: 1000", bomb.String()[:1000])
		}},
		{"a gzip bomb (H12)", malformedSize, 413, func(string) string {
			return whole(fmt.Sprint("Content-Encoding: gzip\r\nContent-Length: ", bomb.Len()), bomb.String())
		}},
	} {
		faults = append(faults, fault{f.name, f.counts, func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.write(f.send(b.inform(t, b.id(), cwmp.EventBoot)))
			r.wants(f.status)
		}})
	}
	b.each(t, faults)
}

// chunks is a body in chunks of 100 bytes.
func chunks(body string) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(len(body), 100)
		fmt.Fprintf(&b, "%x;name=value\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String() + "0\r\n\r\n"
}

// with adds lines to each head.
func with(lines string) garble {
	return func(head, body string) string { return framed(head+"\r\n"+lines, body) }
}

// cookies changes what a CPE says in Cookie.
func cookies(change func(string) string) garble {
	return func(head, body string) string {
		lines := strings.Split(head, "\r\n")
		for i, line := range lines {
			if value, ok := strings.CutPrefix(line, "Cookie: "); ok {
				lines[i] = "Cookie: " + change(value)
			}
		}
		return framed(strings.Join(lines, "\r\n"), body)
	}
}

func compressed(coding string, writer func(io.Writer) io.WriteCloser) garble {
	return func(head, body string) string {
		if body == "" {
			return framed(head, body)
		}
		var b bytes.Buffer
		z := writer(&b)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
		return framed(head+"\r\nContent-Encoding: "+coding, b.String())
	}
}
