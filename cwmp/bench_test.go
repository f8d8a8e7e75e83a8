package cwmp

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func BenchmarkDecodeInform25(b *testing.B) {
	body := message(b, "1", testInform())
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body, "text/xml"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode5000Values(b *testing.B) {
	m := &GetParameterValuesResponse{}
	for i := range 200 {
		for _, p := range testInform().ParameterList {
			p.Name += strconv.Itoa(i)
			m.ParameterList = append(m.ParameterList, p)
		}
	}
	body := message(b, "1", m)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(body, "text/xml"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeInformResponse(b *testing.B) {
	e := &Envelope{ID: "1", Namespace: NamespaceV1_2, Body: &InformResponse{MaxEnvelopes: 1}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

type idleACS struct{}

func (idleACS) Begin(context.Context, *Session) error               { return nil }
func (idleACS) Request(context.Context, *Session, RPC) (RPC, error) { return nil, nil }
func (idleACS) Run(context.Context, *Session)                       {}
func (idleACS) End(*Session, error)                                 {}
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkInformSession is an Inform-only session, client included: with the Server, with a bare net/http handler that answers the same two
// requests with fixed bytes, and with the client alone against a raw socket, so that the client's share can be taken off both.
// Compare cpu-us/op: (server - client) / (bare - client).
func BenchmarkInformSession(b *testing.B) {
	inform := message(b, "1", testInform())
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n"
	first := []byte(head + "Content-Length: " + strconv.Itoa(len(inform)) + "\r\n\r\n" + string(inform))
	second := []byte(head + "Content-Length: 0\r\n\r\n")
	response := message(b, "1", &InformResponse{MaxEnvelopes: 1})

	run := func(b *testing.B, serve func(net.Listener)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		served := make(chan struct{})
		go func() { defer close(served); serve(l) }()
		b.Cleanup(func() { _ = l.Close(); <-served })
		buf := make([]byte, 8<<10)
		before := cpuTime(b)
		for b.Loop() {
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			for _, request := range [][]byte{first, second} {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if n, err := conn.Read(buf); err != nil || n < len("HTTP/1.1 2") || buf[9] != '2' {
					b.Fatalf("%v %q", err, buf[:n])
				}
			}
			_ = conn.Close()
		}
		b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	}
	b.Run("server", func(b *testing.B) {
		run(b, func(l net.Listener) { _ = NewServer(idleACS{}, &ServerOptions{Logger: quiet}).Serve(l) })
	})
	b.Run("bare", func(b *testing.B) {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			if n == 0 {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.Header().Set("Content-Type", "text/xml")
			w.Header().Set("Content-Length", strconv.Itoa(len(response)))
			_, _ = w.Write(response)
		})
		run(b, func(l net.Listener) { _ = (&http.Server{Handler: h}).Serve(l) })
	})
	b.Run("client", func(b *testing.B) {
		answer := append([]byte("HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(response))+"\r\n\r\n"), response...)
		run(b, func(l net.Listener) { rawServe(l, len(first), len(second), answer) })
	})
}

// rawServe knows how long the requests are and parses nothing.
func rawServe(l net.Listener, first, second int, answer []byte) {
	buf := make([]byte, first)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		for _, n := range []int{first, second} {
			if _, err := io.ReadFull(conn, buf[:n]); err != nil {
				break
			}
			if n == second {
				answer = []byte("HTTP/1.1 204 No Content\r\n\r\n")
			}
			if _, err := conn.Write(answer); err != nil {
				break
			}
		}
		_ = conn.Close()
	}
}
