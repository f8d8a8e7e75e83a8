package mqtt

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/brokertest"
	"isthmus/usp/mtp/mqtt/client"
)

// brokerEnv makes the test binary a broker, so that what it costs is not counted.
const brokerEnv = "ISTHMUS_TEST_MOCHI"

func TestMochiHelper(t *testing.T) {
	if os.Getenv(brokerEnv) == "" {
		t.Skip("the broker of the benchmarks, which run it in a second process")
	}
	fmt.Println("addr", addressOf(t, startBroker(t, "127.0.0.1:0")))
	select {}
}

// brokerProcess starts a broker in a process of its own and gives its address.
func brokerProcess(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestMochiHelper$", "-test.timeout=0")
	cmd.Env = append(os.Environ(), brokerEnv+"=1")
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

func idleID(i int) usp.EndpointID { return usp.EndpointID("os::0A0B0C-" + strconv.Itoa(i)) }

// BenchmarkIdle reports what an idle Agent costs this process, with a connection of its own and with four for all, and what one connection of bare paho
// does with the same options: B/agent. It needs as many descriptors as Agents (ulimit -n).
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		own := func(shared int) func(*testing.B) {
			return func(b *testing.B) {
				addr := brokerProcess(b)
				for b.Loop() {
					before := inUse()
					p, up := NewPool(context.Background(), broker.Options{}), make(chan struct{}, n)
					p.Fix(ctl1, broker.Fixed{Shared: shared})
					to := []mtp.Target{target(b, addr, ctl1)}
					for i := range n {
						p.Connect(&idle{idleID(i), up}, to)
					}
					for range n {
						<-up
					}
					b.ReportMetric(float64(inUse()-before)/float64(n), "B/agent")
					ctx, cancel := context.WithCancel(context.Background())
					cancel()
					p.Close(ctx)
				}
			}
		}
		b.Run(fmt.Sprintf("per_agent/%d", n), own(0))
		b.Run(fmt.Sprintf("shared/%d", n), own(4))
		b.Run(fmt.Sprintf("paho/%d", n), func(b *testing.B) {
			addr := brokerProcess(b)
			for b.Loop() {
				before := inUse()
				all := make([]*paho.Client, n)
				for i := range all {
					all[i] = bare(b, addr, idleID(i), nil)
				}
				b.ReportMetric(float64(inUse()-before)/float64(n), "B/agent")
				var wg sync.WaitGroup
				for _, c := range all {
					wg.Go(func() {
						c.TerminateConnectionForTest()
						<-c.Done()
					})
				}
				wg.Wait()
			}
		})
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// pahoWindow is the Receive Maximum of bare connections: paho's own default would cost half a megabyte each.
const pahoWindow = 16

// bare is an Agent that is nothing but a connection of paho's.
func bare(b *testing.B, addr string, id usp.EndpointID, handle func(*paho.Client, *paho.Publish)) *paho.Client {
	b.Helper()
	nc, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	c := paho.NewClient(paho.ClientConfig{Conn: nc, OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
		if handle != nil {
			handle(r.Client, r.Packet)
		}
		return true, nil
	}}})
	window := uint16(pahoWindow)
	if _, err := c.Connect(b.Context(), &paho.Connect{ClientID: string(id), KeepAlive: 60, CleanStart: true, Properties: &paho.ConnectProperties{
		ReceiveMaximum: &window, RequestResponseInfo: true, User: paho.UserProperties{{Key: endpointProperty, Value: string(id)}}}}); err != nil {
		b.Fatal(err)
	}
	if _, err := c.Subscribe(b.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "usp/agent/" + string(id), QoS: 1}}}); err != nil {
		b.Fatal(err)
	}
	return c
}

// echo is an Endpoint that sends back what it receives.
type echo struct{ idle }

func (e *echo) Receive(ch mtp.Channel, record []byte, reply mtp.Address) error {
	go func() { _ = ch.Send(context.Background(), record, reply) }()
	return nil
}

// BenchmarkEcho asks an Agent through a broker, 8 requests of 300 bytes at a time: requests per second of an Agent that only echoes, and of a bare
// connection of paho's. mochi is asked at QoS 0, since it loses messages of QoS 1 that go both ways at once; Mosquitto with ISTHMUS_BROKERS=1.
func BenchmarkEcho(b *testing.B) {
	mosquitto := func(b *testing.B) string {
		return brokertest.NewMosquitto(b, brokertest.MosquittoOptions{More: []string{"set_tcp_nodelay true"}}).Addr
	}
	for name, s := range map[string]struct {
		start func(*testing.B) string
		qos   byte
	}{"mochi": {brokerProcess, 0}, "mosquitto": {mosquitto, 1}} {
		b.Run(name+"/isthmus", func(b *testing.B) {
			addr := s.start(b)
			p, e := newPool(b, broker.Options{}), &echo{idle{agentID, make(chan struct{}, 1)}}
			p.Connect(e, []mtp.Target{target(b, addr, ctl1, func(t *mtp.Target) { t.MQTT.QoS = s.qos })})
			<-e.up
			ask(b, addr, s.qos)
		})
		b.Run(name+"/paho", func(b *testing.B) {
			addr := s.start(b)
			c := bare(b, addr, agentID, func(c *paho.Client, p *paho.Publish) {
				go func() {
					_, _ = c.Publish(b.Context(), &paho.Publish{Topic: p.Properties.ResponseTopic, QoS: s.qos, Payload: p.Payload,
						Properties: &paho.PublishProperties{ContentType: contentType, ResponseTopic: "usp/agent/" + string(agentID)}})
				}()
			})
			ask(b, addr, s.qos)
			_ = c.Disconnect(&paho.Disconnect{})
			<-c.Done()
		})
	}
}

// ask has requests answered by whoever listens where the Agent does.
func ask(b *testing.B, addr string, qos byte) {
	const window, size = 8, 300
	l := listen(b, addr, client.V5, "usp/controller/+")
	m := client.Publish{Topic: "usp/agent/" + string(agentID), ResponseTopic: "usp/controller/answers", ContentType: contentType, Payload: make([]byte, size), QoS: qos}
	b.ResetTimer()
	sent := 0
	send := func() {
		if sent++; sent > b.N {
			return
		}
		if err := l.Publish(b.Context(), &m); err != nil {
			b.Fatal(err)
		}
	}
	for range window {
		send()
	}
	for range b.N {
		l.next(b)
		send()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// BenchmarkRestart reports how long 10,000 Agents need to be back after all have lost their broker at once, from the end of the shortest wait on: s.
func BenchmarkRestart(b *testing.B) {
	const n, least = 10_000, time.Second
	addr := brokerProcess(b)
	lost := make(chan func(), n)
	p, up := NewPool(context.Background(), broker.Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			lost <- func() { _ = nc.Close() }
		}
		return nc, err
	}}), make(chan struct{}, n)
	p.Fix(ctl1, broker.Fixed{})
	to := []mtp.Target{target(b, addr, ctl1, func(t *mtp.Target) { t.Retry = usp.Retry{Minimum: least} })}
	for i := range n {
		p.Connect(&idle{idleID(i), up}, to)
	}
	for range n {
		<-up
	}
	var total time.Duration
	for b.Loop() {
		begin := time.Now()
		for range n {
			(<-lost)()
		}
		for range n {
			<-up
		}
		total += time.Since(begin) - least
	}
	b.ReportMetric(total.Seconds()/float64(b.N), "s/restart")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.Close(ctx)
}
