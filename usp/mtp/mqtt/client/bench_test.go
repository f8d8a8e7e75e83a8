package client

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

// stub answers CONNECT, SUBSCRIBE and PUBLISH at QoS 1 of MQTT 5.0, and allocates nothing for it.
func stub(nc net.Conn) {
	defer nc.Close()
	r := bufio.NewReaderSize(nc, 1024)
	for {
		first, err := r.ReadByte()
		n, shift := 0, 0
		for b := byte(0x80); err == nil && b >= 0x80; shift += 7 {
			b, err = r.ReadByte()
			n |= int(b&0x7F) << shift
		}
		if err != nil {
			return
		}
		var id [2]byte
		switch first >> 4 {
		case connect:
			_, err = nc.Write([]byte{connack << 4, 3, 0, 0, 0})
		case subscribe:
			b, _ := r.Peek(2)
			_, err = nc.Write([]byte{suback << 4, 4, b[0], b[1], 0, 1})
		case publish:
			b, _ := r.Peek(n)
			copy(id[:], b[2+int(b[0])<<8+int(b[1]):])
			_, err = nc.Write([]byte{puback << 4, 2, id[0], id[1]})
		}
		if _, discarded := r.Discard(n); err != nil || discarded != nil {
			return
		}
	}
}

// stubBroker serves stubs, and gives their address.
func stubBroker(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go stub(nc)
		}
	}()
	return l.Addr().String()
}

// window is the Receive Maximum of both clients: paho's own default would cost half a megabyte each.
const window = 16

func dialClient(address, id string, w *Wheel) (*Conn, error) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c, _, err := Connect(context.Background(), nc, Options{ClientID: id, CleanStart: true, KeepAlive: time.Minute, ReceiveMaximum: window, Wheel: w, Handle: func(*Publish) {}})
	if err != nil {
		return nil, err
	}
	_, err = c.Subscribe(context.Background(), []Subscription{{Filter: "usp/agent/" + id, QoS: 1}})
	return c, err
}

func dialPaho(address, id string) (*paho.Client, error) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := paho.NewClient(paho.ClientConfig{Conn: nc, OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(paho.PublishReceived) (bool, error) { return true, nil }}})
	limit := uint16(window)
	if _, err := c.Connect(context.Background(), &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 60, Properties: &paho.ConnectProperties{ReceiveMaximum: &limit}}); err != nil {
		return nil, err
	}
	_, err = c.Subscribe(context.Background(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "usp/agent/" + id, QoS: 1}}})
	return c, err
}

// idleEnv makes the test binary a process that has idle connections and says what they cost.
const idleEnv = "ISTHMUS_TEST_IDLE"

const idleConnections = 1000

// idle connects, and prints the bytes of resident memory and of heap and stacks that a connection costs.
func idle(kind, address string) error {
	w := NewWheel()
	var keep []any
	more := func(n int) error {
		for range n {
			id := fmt.Sprint("os::00D09E-", len(keep))
			var c any
			var err error
			if kind == "paho" {
				c, err = dialPaho(address, id)
			} else {
				c, err = dialClient(address, id, w)
			}
			if err != nil {
				return err
			}
			keep = append(keep, c)
		}
		return nil
	}
	if err := more(50); err != nil { // what the first ones cost is the process's
		return err
	}
	rss, heap := memory()
	if err := more(idleConnections); err != nil {
		return err
	}
	rssAfter, heapAfter := memory()
	fmt.Println((rssAfter-rss)/idleConnections, (heapAfter-heap)/idleConnections)
	runtime.KeepAlive(keep)
	return nil
}

func memory() (resident, inUse int) {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, _ := os.ReadFile("/proc/self/statm")
	var size, pages int
	_, _ = fmt.Sscan(string(b), &size, &pages)
	return pages * os.Getpagesize(), int(m.HeapInuse + m.StackInuse)
}

// BenchmarkIdle is what an idle connection costs, and what one of bare paho.
func BenchmarkIdle(b *testing.B) {
	for _, kind := range []string{"client", "paho"} {
		b.Run(kind, func(b *testing.B) {
			address := stubBroker(b)
			var rss, heap int
			for b.Loop() {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), idleEnv+"="+kind+" "+address)
				out, err := cmd.CombinedOutput()
				if err != nil {
					b.Fatalf("%v: %s", err, out)
				}
				if _, err := fmt.Sscan(string(out), &rss, &heap); err != nil {
					b.Fatalf("%v: %s", err, out)
				}
			}
			b.ReportMetric(float64(rss), "RSS-B/conn")
			b.ReportMetric(float64(heap), "heap+stack-B/conn")
		})
	}
}

// BenchmarkPublish is a message of QoS 1 and its PUBACK, one after the other, and the same with bare paho.
func BenchmarkPublish(b *testing.B) {
	payload := make([]byte, 300)
	b.Run("client", func(b *testing.B) {
		w := NewWheel()
		defer w.Close()
		c, err := dialClient(stubBroker(b), "x", w)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Disconnect(0)
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Publish(b.Context(), &Publish{Topic: "usp/controller", ResponseTopic: "usp/agent/x", ContentType: "usp.msg", Payload: payload, QoS: 1}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("paho", func(b *testing.B) {
		c, err := dialPaho(stubBroker(b), "x")
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = c.Disconnect(&paho.Disconnect{}) }()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Publish(b.Context(), &paho.Publish{Topic: "usp/controller", QoS: 1, Payload: payload,
				Properties: &paho.PublishProperties{ResponseTopic: "usp/agent/x", ContentType: "usp.msg"}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDecode reads one PUBLISH of 300 bytes, by this codec and by paho's.
func BenchmarkDecode(b *testing.B) {
	whole := packet(publish<<4|2, str("usp/agent/os::00D09E-1"), []byte{0, 1}, props(prop(responseTopic, str("usp/controller")...), prop(contentType, str("usp.msg")...)),
		make([]byte, 300))
	r := bytes.NewReader(nil)
	b.Run("client", func(b *testing.B) {
		c := &Conn{nc: deaf{r}, in: bufio.NewReaderSize(r, readBuffer), version: V5, limit: defaultMaxPacket}
		b.ReportAllocs()
		for b.Loop() {
			r.Reset(whole)
			p, err := c.next()
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := decodePublish(V5, p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("paho", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Reset(whole)
			if _, err := paho5.ReadPacket(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// benchProcess is what the test binary does when a benchmark has started it.
func benchProcess() bool {
	kind, address, ok := strings.Cut(os.Getenv(idleEnv), " ")
	if !ok {
		return false
	}
	if err := idle(kind, address); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return true
}
