package cwmp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
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

// BenchmarkInformSession is an Inform-only session over a connection of its own: with the Server, and with a bare net/http handler
// that answers the same two requests with fixed bytes. The client is another process; compare cpu-us/op, which is this one's.
func BenchmarkInformSession(b *testing.B) {
	response := message(b, "1", &InformResponse{MaxEnvelopes: 1})
	b.Run("server", func(b *testing.B) {
		sv := NewServer(idleACS{}, &ServerOptions{Logger: quiet})
		benchmarkSessions(b, sv.http)
	})
	b.Run("bare", func(b *testing.B) {
		benchmarkSessions(b, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n, _ := io.Copy(io.Discard, r.Body); n == 0 {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			w.Header().Set("Content-Type", "text/xml")
			w.Header().Set("Content-Length", strconv.Itoa(len(response)))
			_, _ = w.Write(response)
		})})
	})
}

func benchmarkSessions(b *testing.B, sv *http.Server) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = sv.Serve(l) }()
	client := exec.Command(os.Args[0])
	client.Env = append(os.Environ(), benchClient+"="+l.Addr().String()+" "+strconv.Itoa(b.N))
	client.Stderr = os.Stderr
	before := cpuTime(b)
	if err := client.Run(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
	_ = sv.Close()
	<-served
}

// benchClient is the environment variable that makes of the test binary a client: "address count".
const benchClient = "ISTHMUS_TEST_BENCH_CLIENT"

func runBenchClient(arguments string) error {
	address, count, _ := strings.Cut(arguments, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	inform, err := Encode(&Envelope{ID: "1", Namespace: NamespaceV1_0, Body: testInform()})
	if err != nil {
		return err
	}
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\n"
	requests := [][]byte{
		[]byte(head + "Content-Length: " + strconv.Itoa(len(inform)) + "\r\n\r\n" + string(inform)),
		[]byte(head + "Content-Length: 0\r\n\r\n"),
	}
	buf := make([]byte, 8<<10)
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		for i, request := range requests {
			if _, err := conn.Write(request); err != nil {
				return err
			}
			m, err := conn.Read(buf)
			if want := []string{"HTTP/1.1 200", "HTTP/1.1 204"}[i]; err != nil || !strings.HasPrefix(string(buf[:m]), want) {
				return fmt.Errorf("%w: %q", err, buf[:m])
			}
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	return nil
}
