package websocket

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// BenchmarkEcho300 sends 300 bytes through a channel to a peer that sends them back: the cost of the transport in a Get.
func BenchmarkEcho300(b *testing.B) {
	echo, a := newEndpoint(controllerID), newEndpoint(agentID)
	echo.receive = func(ch mtp.Channel, record []byte) error { return ch.Send(context.Background(), record, "") }
	_, addr := serve(b, echo, ServerOptions{Path: "/"})
	c := client(b, ClientOptions{URL: "ws://" + addr + "/"})
	c.Add(a)
	ch := within(b, a.up, "channel")
	record := make([]byte, 300)
	b.ReportAllocs()
	for b.Loop() {
		if err := ch.Send(b.Context(), record, ""); err != nil {
			b.Fatal(err)
		}
		<-a.records
	}
}

const (
	sinkEnv   = "ISTHMUS_TEST_SINK" // makes the test binary a peer that accepts and does nothing else
	idleConns = 10_000
)

func TestSinkHelper(t *testing.T) {
	if os.Getenv(sinkEnv) == "" {
		t.Skip("the peer of BenchmarkIdle, which runs it in a second process")
	}
	l := listen(t)
	fmt.Println("addr", l.Addr())
	conns := make(chan *websocket.Conn, idleConns) // one that is not held would be closed by its finalizer
	s := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := v1usp.Upgrade(w, r, nil); err == nil {
			conns <- ws
		}
	})}
	_ = s.Serve(l)
}

func sink(b *testing.B) string {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSinkHelper$")
	cmd.Env = append(os.Environ(), sinkEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "addr "))
}

// idle is an Endpoint that only counts.
type idle struct {
	id usp.EndpointID
	up chan struct{}
}

func (e *idle) EndpointID() usp.EndpointID                     { return e.id }
func (e *idle) Up(mtp.Channel)                                 { e.up <- struct{}{} }
func (e *idle) Receive(mtp.Channel, []byte, mtp.Address) error { return nil }
func (e *idle) Down(mtp.Channel, error)                        {}

// BenchmarkIdle reports what an idle connection costs this process: 10,000 of them to a peer in another one. It needs as many
// descriptors (ulimit -n).
func BenchmarkIdle(b *testing.B) {
	url := "ws://" + sink(b) + "/"
	for b.Loop() {
		before := inUse()
		c, err := NewClient(context.Background(), ClientOptions{URL: url, KeepAlive: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		up := make(chan struct{}, idleConns)
		for i := range idleConns {
			c.Add(&idle{usp.EndpointID("os::0A0B0C-" + strconv.Itoa(i)), up})
		}
		for range idleConns {
			within(b, up, "connection")
		}
		b.ReportMetric(float64(inUse()-before)/idleConns, "B/conn")
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // the peer answers no Close frame
		c.Close(ctx)
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
