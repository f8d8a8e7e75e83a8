package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	wire "github.com/mochi-mqtt/server/v2/packets"
)

func TestMessagesGoBothWays(t *testing.T) {
	address, _ := broker(t, nil)
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			p := join(t, address, Options{Version: version, ClientID: "os::012345-" + name, CleanStart: true})
			codes, err := p.Subscribe(soon(t), []Subscription{{Filter: "zero/+", QoS: 0}, {Filter: "one/#", QoS: 1}})
			if err != nil || !bytes.Equal(codes, []byte{0, 1}) {
				t.Fatalf("Subscribe: %v, %v", codes, err)
			}
			for _, size := range []int{0, 1, 100, readBuffer, 5000, 300_000} {
				for _, m := range []Publish{{Topic: "zero/x"}, {Topic: "one/x/y", QoS: 1}} {
					m.Payload = bytes.Repeat([]byte("x"), size)
					if version == V5 {
						m.ResponseTopic, m.ContentType, m.CorrelationData = "reply/to", "usp.msg", []byte{1, 2}
					}
					if err := p.Publish(soon(t), &m); err != nil {
						t.Fatal(err)
					}
					if got := p.next(t); !same(got, &m) {
						t.Fatalf("sent %d bytes as %+v, got %d bytes as %+v", size, m, len(got.Payload), got)
					}
				}
			}
			if err := p.Unsubscribe(soon(t), []string{"zero/+", "one/#"}); err != nil {
				t.Fatal(err)
			}
			p.Disconnect(0)
			if err := <-p.down; !errors.Is(err, ErrClosed) {
				t.Errorf("Down: %v", err)
			}
			if err := p.Publish(soon(t), &Publish{Topic: "x", QoS: 1}); !errors.Is(err, ErrDown) || !errors.Is(err, ErrClosed) {
				t.Errorf("Publish afterwards: %v", err)
			}
		})
	}
}

// TestConnect has another codec read what is sent.
func TestConnect(t *testing.T) {
	will := &Publish{Topic: "will", ResponseTopic: "reply", ContentType: "usp.msg", CorrelationData: []byte("c"), Payload: []byte("gone"), QoS: 1, Retain: true}
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, s, err := scripted(t, Options{Version: version, ClientID: "os::1", Username: "user", Password: []byte("secret"), CleanStart: true, SessionExpiry: 7,
					KeepAlive: 90 * time.Second, Will: will, UserProperties: [][2]string{{"usp-endpoint-id", "os::1"}}, RequestResponseInfo: true,
					ReceiveMaximum: 16, MaxPacket: 70_000}, accepted(version))
				if err != nil {
					t.Fatal(err)
				}
				b := s.sent()
				var p wire.Packet
				p.FixedHeader.Type, p.FixedHeader.Remaining = wire.Connect, len(b)-2
				if n := len(b); n > 127+2 {
					p.FixedHeader.Remaining = n - 3
				}
				if err := p.ConnectDecode(b[len(b)-p.FixedHeader.Remaining:]); err != nil || p.ConnectValidate() != wire.CodeSuccess {
					t.Fatalf("%v, %v", err, p.ConnectValidate())
				}
				if c := p.Connect; p.ProtocolVersion != byte(version) || c.ClientIdentifier != "os::1" || string(c.Username) != "user" || string(c.Password) != "secret" || !c.Clean ||
					c.Keepalive != 90 || c.WillTopic != "will" || string(c.WillPayload) != "gone" || c.WillQos != 1 || !c.WillRetain {
					t.Errorf("CONNECT was read as %+v", c)
				}
				if version == V311 {
					return
				}
				if w := p.Connect.WillProperties; w.ResponseTopic != "reply" || w.ContentType != "usp.msg" || string(w.CorrelationData) != "c" {
					t.Errorf("the Will has %+v", w)
				}
				if q := p.Properties; q.SessionExpiryInterval != 7 || q.RequestResponseInfo != 1 || q.ReceiveMaximum != 16 || q.MaximumPacketSize != 70_000 ||
					!slices.Equal(q.User, []wire.UserProperty{{Key: "usp-endpoint-id", Val: "os::1"}}) {
					t.Errorf("CONNECT has %+v", q)
				}
			})
		})
	}
}

// TestWill: the broker publishes it unless the connection has ended in order.
func TestWill(t *testing.T) {
	address, _ := broker(t, nil)
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			watcher := join(t, address, Options{Version: version, ClientID: "watcher of " + name, CleanStart: true})
			if _, err := watcher.Subscribe(soon(t), []Subscription{{Filter: "will/#", QoS: 1}}); err != nil {
				t.Fatal(err)
			}
			for i, end := range []func(*peer){func(p *peer) { p.Disconnect(0) }, func(p *peer) { p.Abort() }} {
				will := &Publish{Topic: fmt.Sprint("will/", i), Payload: []byte("gone"), QoS: 1}
				p, err := try(t, address, Options{Version: version, ClientID: fmt.Sprint("mortal ", i, name), CleanStart: true, Will: will})
				if err != nil {
					t.Fatal(err)
				}
				end(p)
				t.Log(<-p.down)
				if i == 0 {
					continue
				}
				if got := watcher.next(t); !same(got, will) { // and not that of 0
					t.Errorf("got %+v", got)
				}
			}
		})
	}
}

// TestDisconnect tells 5.0 the reason; 3.1.1 has no other word than that of an end in order.
func TestDisconnect(t *testing.T) {
	for version, reasons := range map[Version]map[byte][]byte{
		V5:   {0: {disconnect << 4, 0}, 4: {disconnect << 4, 1, 4}},
		V311: {0: {disconnect << 4, 0}, 4: nil},
	} {
		for reason, want := range reasons {
			synctest.Test(t, func(t *testing.T) {
				p, s, err := scripted(t, Options{Version: version}, accepted(version))
				if err != nil {
					t.Fatal(err)
				}
				s.sent()
				p.Disconnect(reason)
				p.Disconnect(reason)
				if err := <-p.down; !errors.Is(err, ErrClosed) {
					t.Errorf("Down: %v", err)
				}
				p.down <- nil
				if got := s.sent(); !bytes.Equal(got, want) {
					t.Errorf("% X was sent for 0x%02X, want % X", got, reason, want)
				}
			})
		}
	}
}

// TestSessionThatWasKept: what came meanwhile is there, once, when the client is back.
func TestSessionThatWasKept(t *testing.T) {
	address, server := broker(t, nil)
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			o := Options{Version: version, ClientID: "keeper" + name, SessionExpiry: 60}
			p, err := try(t, address, o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Subscribe(soon(t), []Subscription{{Filter: "kept/" + name, QoS: 1}}); err != nil {
				t.Fatal(err)
			}
			p.Disconnect(0)
			t.Log(<-p.down)
			if err := server.Publish("kept/"+name, []byte("meanwhile"), false, 1); err != nil {
				t.Fatal(err)
			}
			again := join(t, address, o)
			if !again.connack.SessionPresent {
				t.Error("the broker has no session")
			}
			if m := again.next(t); string(m.Payload) != "meanwhile" || m.QoS != 1 {
				t.Errorf("got %+v", m)
			}
		})
	}
}

// TestBrokerAssigns what the client has left open (R-MQTT.9).
func TestBrokerAssigns(t *testing.T) {
	address, _ := broker(t, func(c *mqtt.Capabilities) { c.MaximumQos, c.ReceiveMaximum = 1, 3 })
	p := join(t, address, Options{CleanStart: true})
	if p.connack.AssignedClientID == "" || p.connack.ReceiveMaximum != 3 || p.connack.MaximumQoS != 1 {
		t.Errorf("CONNACK was %+v", p.connack)
	}
	if p := join(t, address, Options{Version: V311}); p.connack.AssignedClientID != "" {
		t.Errorf("CONNACK was %+v", p.connack)
	}
}

// TestAccounts: the broker decides who comes in.
func TestAccounts(t *testing.T) {
	address, _ := broker(t, nil, &account{name: "agent", password: "secret"})
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			join(t, address, Options{Version: version, ClientID: "a", Username: "agent", Password: []byte("secret")})
			for _, o := range []Options{{}, {Username: "agent"}, {Username: "agent", Password: []byte("other")}} {
				o.Version, o.ClientID = version, "b"
				_, err := try(t, address, o)
				var r *Refused
				if !errors.As(err, &r) || Reason(version, r.Code) == "" {
					t.Errorf("with %q: %v", o.Password, err)
				}
			}
		})
	}
}

// account is a hook that knows one.
type account struct {
	mqtt.HookBase
	name, password string
}

func (*account) ID() string { return "account" }

func (*account) Provides(b byte) bool { return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck }

func (a *account) OnConnectAuthenticate(_ *mqtt.Client, p wire.Packet) bool {
	return string(p.Connect.Username) == a.name && string(p.Connect.Password) == a.password
}

func (*account) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// TestManySendAtOnce through the few slots that the broker has.
func TestManySendAtOnce(t *testing.T) {
	address, _ := broker(t, func(c *mqtt.Capabilities) { c.ReceiveMaximum = 4 })
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			const senders, each = 8, 50
			var got atomic.Int64
			all := make(chan struct{})
			listener := join(t, address, Options{Version: version, ClientID: "listener", CleanStart: true})
			if _, err := listener.Subscribe(soon(t), []Subscription{{Filter: "many/#", QoS: 1}}); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer close(all)
				for got.Add(1) < senders*each {
					<-listener.messages
				}
			}()
			p := join(t, address, Options{Version: version, ClientID: "sender", CleanStart: true})
			var wg sync.WaitGroup
			for i := range senders {
				wg.Go(func() {
					for range each {
						if err := p.Publish(soon(t), &Publish{Topic: fmt.Sprint("many/", i), QoS: 1}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			select {
			case <-all:
			case <-time.After(20 * time.Second):
				t.Errorf("%d of %d came", got.Load(), senders*each)
			}
		})
	}
}

// TestWhatCannotBeConnectedWith is said before a byte is sent.
func TestWhatCannotBeConnectedWith(t *testing.T) {
	w := NewWheel()
	defer w.Close()
	for name, try := range map[string]struct {
		o    Options
		want error
	}{
		"no Wheel":           {Options{}, errNoWheel},
		"ClientID":           {Options{Wheel: w, ClientID: "\xff"}, ErrText},
		"Username":           {Options{Wheel: w, Username: strings.Repeat("x", 1<<16)}, ErrText},
		"User Property":      {Options{Wheel: w, UserProperties: [][2]string{{"a", "\x00"}}}, ErrText},
		"password alone":     {Options{Wheel: w, Version: V311, Password: []byte("x")}, ErrText},
		"Will to a filter":   {Options{Wheel: w, Will: &Publish{Topic: "#"}}, ErrTopic},
		"Will of 70 kB":      {Options{Wheel: w, Will: &Publish{Topic: "x", Payload: make([]byte, 70_000)}}, ErrTooBig},
		"Will at QoS 2":      {Options{Wheel: w, Will: &Publish{Topic: "x", QoS: 2}}, ErrQoS},
		"Will without topic": {Options{Wheel: w, Will: &Publish{}}, ErrTopic},
	} {
		near, far := net.Pipe()
		_, _, err := Connect(t.Context(), near, try.o)
		if !errors.Is(err, try.want) {
			t.Errorf("%s: %v, want %v", name, err, try.want)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the broker got something, or the connection is open: %v", name, err)
		}
	}
}
