package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a broker that says what it is told to, at the other end of a pipe.
type script struct {
	net.Conn
	mu  sync.Mutex
	got bytes.Buffer // what the client has sent
}

// scripted has a client connect with a script, which answers CONNECT with connack. Nothing may be running when the test ends.
func scripted(t *testing.T, o Options, connack []byte) (*peer, *script, error) {
	t.Helper()
	near, far := net.Pipe()
	s := &script{Conn: far}
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := far.Read(b)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.got.Write(b[:n])
			s.mu.Unlock()
		}
	}()
	go func() { _, _ = far.Write(connack) }()
	p := &peer{messages: make(chan *Publish, 100), down: make(chan error, 2)}
	if o.Handle == nil {
		o.Handle = func(m *Publish) { p.messages <- m }
	}
	o.Down = func(err error) { p.down <- err }
	o.Wheel = NewWheel()
	var err error
	p.Conn, p.connack, err = Connect(t.Context(), near, o)
	t.Cleanup(func() {
		_ = far.Close()
		o.Wheel.Close()
		if err == nil {
			t.Log(<-p.down)
		}
	})
	return p, s, err
}

// sent is what the client has sent since the last call.
func (s *script) sent() []byte {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.got.Reset()
	return bytes.Clone(s.got.Bytes())
}

func (s *script) say(t *testing.T, b ...byte) {
	t.Helper()
	if _, err := s.Write(b); err != nil {
		t.Fatalf("broker cannot write: %v", err)
	}
	synctest.Wait()
}

// packet is one with the body of these parts.
func packet(first byte, parts ...[]byte) []byte {
	b := append(make([]byte, headroom), slices.Concat(parts...)...)
	return seal(b, first)
}

func str(s string) []byte { return appendString(nil, s) }

func props(parts ...[]byte) []byte { return measured(slices.Concat(parts...), 0) }

func prop(id byte, b ...byte) []byte { return append([]byte{id}, b...) }

// accepted is a CONNACK that says nothing else.
func accepted(v Version) []byte {
	if v == V5 {
		return []byte{connack << 4, 3, 0, 0, 0}
	}
	return []byte{connack << 4, 2, 0, 0}
}

func TestConnack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, err := scripted(t, Options{KeepAlive: time.Minute, SessionExpiry: 5, RequestResponseInfo: true}, packet(connack<<4, []byte{1, 0}, props(
			prop(assignedClientIdentifier, str("chosen")...), prop(responseInformation, str("reply/here")...), prop(serverKeepAlive, 0, 20),
			prop(maximumQoS, 0), prop(retainAvailable, 0), prop(maximumPacketSize, 0, 0, 0, 100), prop(receiveMaximum, 0, 7), prop(reasonString, str("welcome")...),
			prop(sessionExpiryInterval, 0, 0, 1, 0), prop(userProperty, append(str("subscribe-topic"), str("a/b")...)...),
			prop(userProperty, append(str("subscribe-topic"), str("c")...)...), prop(0x22, 0, 9), prop(0x28, 1), prop(0x29, 1), prop(0x2A, 1),
		)))
		if err != nil {
			t.Fatal(err)
		}
		a := p.connack
		if !a.SessionPresent || a.AssignedClientID != "chosen" || a.ResponseInformation != "reply/here" || a.KeepAlive != 20*time.Second || a.MaximumQoS != 0 ||
			a.RetainAvailable || a.MaximumPacket != 100 || a.ReceiveMaximum != 7 || a.ReasonString != "welcome" || a.SessionExpiry != 256 ||
			!slices.Equal(a.UserProperties, [][2]string{{"subscribe-topic", "a/b"}, {"subscribe-topic", "c"}}) {
			t.Errorf("CONNACK was read as %+v", a)
		}
		s.sent()
		for _, try := range []struct {
			p    Publish
			want error
		}{
			{Publish{Topic: "x", QoS: 1}, ErrQoS}, {Publish{Topic: "x", Retain: true}, ErrRetain}, {Publish{Topic: "x", Payload: make([]byte, 96)}, ErrTooBig},
			{Publish{}, ErrTopic}, {Publish{Topic: "a/+"}, ErrTopic}, {Publish{Topic: "a", ResponseTopic: "#"}, ErrTopic}, {Publish{Topic: "\xff"}, ErrTopic},
			{Publish{Topic: "a", ContentType: "\x00"}, ErrText}, {Publish{Topic: "a", QoS: 2}, ErrQoS}, {Publish{Topic: strings.Repeat("x", 1<<16)}, ErrTopic},
		} {
			if err := p.Publish(t.Context(), &try.p); !errors.Is(err, try.want) {
				t.Errorf("Publish of %+v: %v, want %v", try.p, err, try.want)
			}
		}
		for _, filter := range []string{"", "a/#/b", "a+", "\xff", "a\x00"} {
			if _, err := p.Subscribe(t.Context(), []Subscription{{Filter: filter}}); !errors.Is(err, ErrTopic) {
				t.Errorf("Subscribe to %q: %v", filter, err)
			}
		}
		if _, err := p.Subscribe(t.Context(), []Subscription{{Filter: "a", QoS: 2}}); !errors.Is(err, ErrQoS) {
			t.Errorf("Subscribe at QoS 2: %v", err)
		}
		if err := p.Publish(t.Context(), &Publish{Topic: "x", Payload: make([]byte, 94)}); err != nil {
			t.Errorf("Publish of exactly as many bytes as the broker takes: %v", err)
		}
		if b := s.sent(); len(b) != 100 {
			t.Errorf("the broker got %d bytes", len(b))
		}
	})
}

func TestConnectionsThatAreRefused(t *testing.T) {
	for name, try := range map[string]struct {
		version Version
		connack []byte
		text    string
		id      bool
	}{
		"5.0, bare": {V5, []byte{connack << 4, 3, 0, 0x87, 0}, "mqtt: broker answered CONNACK 0x87 Not authorized", false},
		"5.0, with words": {V5, packet(connack<<4, []byte{0, 0x9D}, props(prop(reasonString, str("gone\n")...), prop(serverReference, str("other:1883")...))),
			`mqtt: broker answered CONNACK 0x9D Server moved: "gone\n", use "other:1883"`, false},
		"5.0, ClientID":   {V5, []byte{connack << 4, 3, 0, 0x85, 0}, "mqtt: broker answered CONNACK 0x85 Client Identifier not valid", true},
		"5.0, to 3.1.1":   {V5, []byte{connack << 4, 2, 0, 1}, "mqtt: broker answered CONNACK 0x01 Unacceptable protocol version", false},
		"5.0, unknown":    {V5, []byte{connack << 4, 3, 0, 0xF0, 0}, "mqtt: broker answered CONNACK 0xF0", false},
		"3.1.1":           {V311, []byte{connack << 4, 2, 0, 5}, "mqtt: broker answered CONNACK 0x05 Not authorized", false},
		"3.1.1, ClientID": {V311, []byte{connack << 4, 2, 0, 2}, "mqtt: broker answered CONNACK 0x02 Identifier rejected", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, err := scripted(t, Options{Version: try.version, ClientID: "x"}, try.connack)
				var r *Refused
				if !errors.As(err, &r) || r.Error() != try.text || r.ClientID() != try.id {
					t.Errorf("Connect: %v, want %s", err, try.text)
				}
			})
		})
	}
}

// TestBrokersThatAreNone breaks off what is no beginning of a connection.
func TestBrokersThatAreNone(t *testing.T) {
	many := bytes.Repeat(prop(userProperty, 0, 0, 0, 0), maxUserProperties+1)
	for name, try := range map[string]struct {
		says []byte
		text string
	}{
		"PUBLISH before CONNACK":       {packet(publish<<4, str("x"), props()), "another packet came before CONNACK"},
		"AUTH":                         {[]byte{0xF0, 0}, "another packet came before CONNACK"},
		"HTTP":                         {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "a packet has reserved flags"},
		"no end of a length":           {[]byte{connack << 4, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, "more than four"},
		"a padded length":              {[]byte{connack << 4, 0x83, 0, 0, 0, 0}, "more bytes than it needs"},
		"a huge length":                {[]byte{connack << 4, 0xFF, 0xFF, 0xFF, 0x7F}, "larger than it was told to send"},
		"reserved flags":               {[]byte{connack << 4, 3, 2, 0, 0}, "reserved flags"},
		"nothing in it":                {[]byte{connack << 4, 0}, "longer than its packet"},
		"properties that are not":      {[]byte{connack << 4, 3, 0, 0, 9}, "longer than its packet"},
		"more than properties":         {[]byte{connack << 4, 4, 0, 0, 0, 0}, "longer than its fields"},
		"an unknown property":          {packet(connack<<4, []byte{0, 0}, props(prop(0x7E, 0))), "cannot have"},
		"a property of PUBLISH":        {packet(connack<<4, []byte{0, 0}, props(prop(topicAlias, 0, 1))), "cannot have"},
		"a property twice":             {packet(connack<<4, []byte{0, 0}, props(prop(receiveMaximum, 0, 1), prop(receiveMaximum, 0, 1))), "twice"},
		"a string cut off":             {packet(connack<<4, []byte{0, 0}, props(prop(assignedClientIdentifier, 0, 5, 'x'))), "longer than its packet"},
		"no UTF-8":                     {packet(connack<<4, []byte{0, 0}, props(prop(responseInformation, str("\xC0\x80")...))), "no UTF-8"},
		"a surrogate":                  {packet(connack<<4, []byte{0, 0}, props(prop(responseInformation, str("\xED\xA0\x80")...))), "no UTF-8"},
		"a NUL":                        {packet(connack<<4, []byte{0, 0}, props(prop(assignedClientIdentifier, str("a\x00")...))), "U+0000"},
		"Maximum QoS 2":                {packet(connack<<4, []byte{0, 0}, props(prop(maximumQoS, 2))), "Maximum QoS"},
		"Receive Maximum 0":            {packet(connack<<4, []byte{0, 0}, props(prop(receiveMaximum, 0, 0))), "Receive Maximum"},
		"Maximum Packet Size 0":        {packet(connack<<4, []byte{0, 0}, props(prop(maximumPacketSize, 0, 0, 0, 0))), "Maximum Packet Size"},
		"Retain Available 2":           {packet(connack<<4, []byte{0, 0}, props(prop(retainAvailable, 2))), "Retain Available"},
		"too many User Properties":     {packet(connack<<4, []byte{0, 0}, props(many)), "more User Properties"},
		"hanging up":                   {nil, "EOF"},
		"hanging up in the first byte": {[]byte{connack << 4}, "unexpected EOF"},
		"hanging up within":            {[]byte{connack << 4, 3, 0}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer far.Close()
				go func() {
					_, _ = far.Read(make([]byte, 1024))
					_, _ = far.Write(try.says)
					if strings.HasPrefix(name, "hanging") {
						_ = far.Close()
					}
				}()
				w := NewWheel()
				defer w.Close()
				_, _, err := Connect(t.Context(), near, Options{Wheel: w})
				if err == nil || !strings.Contains(err.Error(), try.text) {
					t.Errorf("Connect: %v, want %q", err, try.text)
				}
				if _, err := near.Write([]byte{0}); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the connection is not closed: %v", err)
				}
			})
		})
	}
}

// TestPacketsThatMustNotBe ends connections on which the broker breaks the protocol, and says why where the version has words for it [4.13.1-1].
func TestPacketsThatMustNotBe(t *testing.T) {
	id := []byte{0, 1}
	for _, version := range versions {
		none := props()
		if version == V311 {
			none = nil
		}
		for name, try := range map[string]struct {
			says   []byte
			reason byte
			only   Version // 0: in both
		}{
			"PUBLISH at QoS 3":          {packet(publish<<4|6, str("x"), id, none), malformedPacket, 0},
			"PUBLISH at QoS 2":          {packet(publish<<4|4, str("x"), id, none), protocolError, 0},
			"PUBLISH again at QoS 0":    {packet(publish<<4|8, str("x"), none), malformedPacket, 0},
			"PUBLISH without id":        {packet(publish<<4|2, str("x"), []byte{0, 0}, none), malformedPacket, 0},
			"PUBLISH without topic":     {packet(publish<<4, str(""), none), malformedPacket, 0},
			"PUBLISH to a filter":       {packet(publish<<4, str("a/+"), none), malformedPacket, 0},
			"PUBLISH to no UTF-8":       {packet(publish<<4, str("a\xff"), none), malformedPacket, 0},
			"PUBLISH with nothing":      {packet(publish << 4), malformedPacket, 0},
			"PUBLISH with half a topic": {packet(publish<<4, []byte{0, 9, 'x'}), malformedPacket, 0},
			"PUBLISH with alias":        {packet(publish<<4, str("x"), props(prop(topicAlias, 0, 1))), topicAliasInvalid, V5},
			"PUBLISH by alias":          {packet(publish<<4, str(""), props(prop(topicAlias, 0, 1))), topicAliasInvalid, V5},
			"PUBLISH to reply to noise": {packet(publish<<4, str("x"), props(prop(responseTopic, str("\xff")...))), malformedPacket, V5},
			"PUBLISH too large":         {[]byte{publish << 4, 0x80, 0x80, 0x80, 1}, packetTooLarge, V5},
			"CONNACK":                   {accepted(version), protocolError, 0},
			"CONNACK too large":         {[]byte{connack << 4, 0x80, 0x80, 0x80, 1}, packetTooLarge, 0},
			"DISCONNECT of 3.1.1":       {packet(disconnect << 4), protocolError, V311},
			"DISCONNECT with half":      {packet(disconnect<<4, []byte{0, 5}), malformedPacket, V5},
			"PINGREQ":                   {packet(pingreq << 4), protocolError, 0},
			"PINGRESP with a body":      {packet(pingresp<<4, id), malformedPacket, 0},
			"PUBREC":                    {packet(5<<4, id), protocolError, 0},
			"PUBACK without id":         {packet(puback<<4, []byte{0}), malformedPacket, 0},
			"PUBACK with too much":      {packet(puback<<4, id, []byte{0, 0, 0}), malformedPacket, 0},
			"PUBACK with PUBLISH's":     {packet(puback<<4, id, []byte{0}, props(prop(contentType, str("x")...))), malformedPacket, V5},
			"type 0":                    {[]byte{0, 0}, protocolError, 0},
			"flags":                     {packet(puback<<4|2, id), malformedPacket, 0},
			"SUBACK to PUBLISH":         {packet(suback<<4, id, none, []byte{0}), protocolError, 0},
			"UNSUBACK to PUBLISH":       {packet(unsuback<<4, id, none), protocolError, 0},
		} {
			if try.only != 0 && version != try.only {
				continue
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, s, err := scripted(t, Options{Version: version, ClientID: "x", MaxPacket: 100_000}, accepted(version))
					if err != nil {
						t.Fatal(err)
					}
					var wg sync.WaitGroup
					wg.Go(func() { // takes the id 1
						if err := p.Publish(t.Context(), &Publish{Topic: "x", QoS: 1}); !errors.Is(err, ErrDown) {
							t.Errorf("Publish: %v", err)
						}
					})
					s.sent()
					_, _ = s.Write(try.says)
					wg.Wait()
					err = <-p.down
					p.down <- err
					var v *Violation
					if !errors.As(err, &v) || v.Code != try.reason {
						t.Errorf("Down: %v, want one of 0x%02X", err, try.reason)
					}
					want := []byte{disconnect << 4, 1, try.reason}
					if version == V311 {
						want = nil
					}
					if got := s.sent(); !bytes.Equal(got, want) {
						t.Errorf("the broker was told % X, want % X", got, want)
					}
				})
			})
		}
	}
}

// TestTooLargeIn311: the broker could not know. The message comes without its payload, is acknowledged, and what follows is read.
func TestTooLargeIn311(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, err := scripted(t, Options{Version: V311, MaxPacket: 1000}, accepted(V311))
		if err != nil {
			t.Fatal(err)
		}
		s.sent()
		for _, size := range []int{1000, 65_536, 300_000} {
			s.say(t, packet(publish<<4|2, str("topic"), []byte{0, 1}, make([]byte, size))...)
			s.say(t, packet(publish<<4|2, str("next"), []byte{0, 2}, []byte("x"))...)
			if m := p.next(t); m.Topic != "topic" || !m.Cut || m.Payload != nil {
				t.Errorf("got %+v", m)
			}
			if m := p.next(t); m.Topic != "next" || m.Cut || string(m.Payload) != "x" {
				t.Errorf("then %+v", m)
			}
			if got, want := s.sent(), []byte{puback << 4, 2, 0, 1, puback << 4, 2, 0, 2}; !bytes.Equal(got, want) {
				t.Errorf("% X was sent, want % X", got, want)
			}
		}
	})
}

// TestAnswersThatDoNotFit: an answer to nothing is passed over; one of the wrong kind or length ends the connection.
func TestAnswersThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, err := scripted(t, Options{}, accepted(V5))
		if err != nil {
			t.Fatal(err)
		}
		s.say(t, packet(puback<<4, []byte{0, 9})...)
		s.say(t, packet(suback<<4, []byte{0, 9}, props(), []byte{0})...)
		s.say(t, packet(unsuback<<4, []byte{0, 9}, props(), []byte{0})...)
		var codes []byte
		var wg sync.WaitGroup
		wg.Go(func() { codes, err = p.Subscribe(t.Context(), []Subscription{{"a", 1}, {"b", 1}}) })
		s.sent()
		s.say(t, packet(suback<<4, []byte{0, 1}, props(), []byte{0, 0x87})...)
		if wg.Wait(); err != nil || !bytes.Equal(codes, []byte{0, 0x87}) {
			t.Errorf("Subscribe: % X, %v", codes, err)
		}
		wg.Go(func() { err = p.Unsubscribe(t.Context(), []string{"a"}) })
		s.sent()
		s.say(t, packet(unsuback<<4, []byte{0, 2}, props(), []byte{0x87})...)
		var r *Refused
		if wg.Wait(); !errors.As(err, &r) || r.Code != 0x87 {
			t.Errorf("Unsubscribe: %v", err)
		}
		wg.Go(func() { _, err = p.Subscribe(t.Context(), []Subscription{{"a", 0}}) })
		s.sent()
		s.say(t, packet(suback<<4, []byte{0, 3}, props(), []byte{1})...)
		var v *Violation
		if wg.Wait(); !errors.As(err, &v) {
			t.Errorf("Subscribe, with more granted than asked for: %v", err)
		}
		if err := <-p.down; !errors.As(err, &v) {
			t.Errorf("Down: %v", err)
		}
		p.down <- nil
	})
}

func TestPublishRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, err := scripted(t, Options{}, accepted(V5))
		if err != nil {
			t.Fatal(err)
		}
		for i, try := range []struct {
			rest []byte
			text string
		}{
			{nil, ""},
			{[]byte{0x10}, ""},
			{slices.Concat([]byte{0}, props()), ""},
			{[]byte{0x87}, "mqtt: broker answered PUBACK 0x87 Not authorized"},
			{slices.Concat([]byte{0x97}, props(prop(reasonString, str("full")...))), `mqtt: broker answered PUBACK 0x97 Quota exceeded: "full"`},
		} {
			var wg sync.WaitGroup
			wg.Go(func() { err = p.Publish(t.Context(), &Publish{Topic: "x", QoS: 1}) })
			s.sent()
			s.say(t, packet(puback<<4, []byte{0, byte(i + 1)}, try.rest)...)
			wg.Wait()
			if got := ""; err != nil {
				if got = err.Error(); got != try.text {
					t.Errorf("Publish: %v, want %q", err, try.text)
				}
			} else if try.text != "" {
				t.Errorf("Publish: no error, want %q", try.text)
			}
		}
	})
}

// TestReceiveMaximum [3.3.4-7]: a message whose sender waits no longer still counts.
func TestReceiveMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, err := scripted(t, Options{}, packet(connack<<4, []byte{0, 0}, props(prop(receiveMaximum, 0, 2))))
		if err != nil {
			t.Fatal(err)
		}
		s.sent()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 10)
		for range 2 {
			go func() { done <- p.Publish(ctx, &Publish{Topic: "x", QoS: 1}) }()
		}
		synctest.Wait()
		cancel()
		for range 2 {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Publish: %v", err)
			}
		}
		size := len(packet(publish<<4, str("x"), []byte{0, 1}, props()))
		if n := len(s.sent()); n != 2*size {
			t.Fatalf("%d bytes were sent, want two packets of %d", n, size)
		}
		go func() { done <- p.Publish(t.Context(), &Publish{Topic: "x", QoS: 1}) }()
		time.Sleep(time.Hour)
		if n := len(s.sent()); n != 0 {
			t.Errorf("a third was sent before the first was acknowledged")
		}
		if err := p.Publish(t.Context(), &Publish{Topic: "x"}); err != nil {
			t.Errorf("QoS 0 meanwhile: %v", err)
		}
		s.sent()
		s.say(t, packet(puback<<4, []byte{0, 2})...)
		if n := len(s.sent()); n != size {
			t.Errorf("the third was not sent when the second was acknowledged")
		}
		s.say(t, packet(puback<<4, []byte{0, 3})...)
		if err := <-done; err != nil {
			t.Errorf("the third: %v", err)
		}
	})
}

// TestPacketIdentifiers come round, and leave out those that still wait [2.2.1-3].
func TestPacketIdentifiers(t *testing.T) {
	c := &Conn{}
	first, _ := c.begin(&exchange{kind: suback})
	c.lastID = 1<<16 - 1
	second, _ := c.begin(&exchange{kind: suback})
	if first != 1 || second != 2 {
		t.Errorf("got %d and %d", first, second)
	}
	for range maxUnanswered - 2 {
		if _, err := c.begin(&exchange{kind: suback}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.begin(&exchange{kind: suback}); err == nil {
		t.Error("a broker that answers nothing fills memory")
	}
}

func TestKeepAlive(t *testing.T) {
	ping := []byte{pingreq << 4, 0}
	for name, try := range map[string]struct {
		want, server, first, ends time.Duration
	}{
		"as wanted":          {time.Minute, -1, time.Minute, 70 * time.Second},
		"the server's":       {time.Minute, 5 * time.Second, 5 * time.Second, 10 * time.Second},
		"shortest":           {time.Millisecond, -1, time.Second, 2 * time.Second},
		"longer than a turn": {20 * time.Minute, -1, 20 * time.Minute, 20*time.Minute + 10*time.Second},
		"longest":            {1000 * time.Hour, -1, 65535 * time.Second, 65545 * time.Second},
		"server wants some":  {0, 30 * time.Second, 30 * time.Second, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				says := accepted(V5)
				if try.server >= 0 {
					says = packet(connack<<4, []byte{0, 0}, props(prop(serverKeepAlive, binary.BigEndian.AppendUint16(nil, uint16(try.server/time.Second))...)))
				}
				p, s, err := scripted(t, Options{KeepAlive: try.want}, says)
				if err != nil {
					t.Fatal(err)
				}
				s.sent()
				began := time.Now()
				time.Sleep(try.first - time.Millisecond - tick)
				if b := s.sent(); len(b) != 0 {
					t.Errorf("% X was sent too early", b)
				}
				time.Sleep(tick + 2*time.Millisecond)
				if b := s.sent(); !bytes.Equal(b, ping) {
					t.Fatalf("% X was sent, want PINGREQ", b)
				}
				s.say(t, pingresp<<4, 0)
				time.Sleep(try.first)
				if b := s.sent(); !bytes.Equal(b, ping) {
					t.Fatalf("% X was sent, want the second PINGREQ", b)
				}
				err = <-p.down
				p.down <- err
				if !errors.Is(err, ErrKeepAlive) {
					t.Errorf("Down: %v", err)
				}
				if after := time.Since(began) - try.first; after < try.ends-tick || after > try.ends+tick {
					t.Errorf("ended %s after the PINGREQ before, want %s", after, try.ends)
				}
			})
		})
	}
}

// TestNoKeepAlive: 0 is none (3.1.2.10), also where the server says so.
func TestNoKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, err := scripted(t, Options{KeepAlive: time.Minute}, packet(connack<<4, []byte{0, 0}, props(prop(serverKeepAlive, 0, 0))))
		if err != nil {
			t.Fatal(err)
		}
		s.sent()
		time.Sleep(48 * time.Hour)
		if b := s.sent(); len(b) != 0 {
			t.Errorf("% X was sent", b)
		}
	})
}

// TestSlowHandling: a broker is not taken for dead because its answer waits behind a message that is being handled.
func TestSlowHandling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p, s, err := scripted(t, Options{KeepAlive: time.Minute, Handle: func(*Publish) { <-release }}, accepted(V5))
		if err != nil {
			t.Fatal(err)
		}
		s.say(t, packet(publish<<4|2, str("x"), []byte{0, 1}, props())...)
		time.Sleep(time.Hour)
		s.sent()
		close(release)
		if got, want := s.sent(), []byte{puback << 4, 2, 0, 1}; !bytes.Equal(got, want) {
			t.Errorf("% X was sent, want PUBACK", got)
		}
		if len(p.down) > 0 {
			t.Errorf("Down: %v", <-p.down)
		}
	})
}

// TestStalledPacket: what has begun must go on, with keep-alive or without.
func TestStalledPacket(t *testing.T) {
	whole := packet(publish<<4, str("x"), props(), make([]byte, 10_000))
	for _, n := range []int{1, 2, 3, 100, 5000, 9000} {
		synctest.Test(t, func(t *testing.T) {
			p, s, err := scripted(t, Options{}, accepted(V5))
			if err != nil {
				t.Fatal(err)
			}
			s.say(t, whole...)
			time.Sleep(time.Hour)
			s.say(t, whole[:n]...)
			began := time.Now()
			err = <-p.down
			p.down <- err
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 2*stallTimeout {
				t.Errorf("after %d bytes and %s: %v", n, time.Since(began), err)
			}
		})
	}
}

// TestDroppedMidPacket says that the end was no end.
func TestDroppedMidPacket(t *testing.T) {
	whole := packet(publish<<4, str("x"), props(), make([]byte, 10_000))
	for _, n := range []int{1, 2, 3, 100, 5000, 9000} {
		synctest.Test(t, func(t *testing.T) {
			p, s, err := scripted(t, Options{}, accepted(V5))
			if err != nil {
				t.Fatal(err)
			}
			s.say(t, whole[:n]...)
			_ = s.Close()
			err = <-p.down
			p.down <- err
			if !errors.Is(err, io.ErrUnexpectedEOF) || len(p.messages) > 0 {
				t.Errorf("after %d bytes: %v, %d messages", n, err, len(p.messages))
			}
		})
	}
}

// TestBrokerThatReadsNothing: nobody waits longer than writeTimeout for it.
func TestBrokerThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			_, _ = far.Read(make([]byte, 1024))
			_, _ = far.Write(accepted(V5))
		}()
		w := NewWheel()
		defer w.Close()
		down := make(chan error, 1)
		c, _, err := Connect(t.Context(), near, Options{Wheel: w, Down: func(err error) { down <- err }})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ended := make(chan error, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() { ended <- c.Publish(t.Context(), &Publish{Topic: "x"}) }()
		synctest.Wait()
		if err := c.Publish(ctx, &Publish{Topic: "y"}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("who waits for the one that writes: %v after %s", err, time.Since(began))
		}
		if err := <-ended; !errors.Is(err, ErrDown) || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != writeTimeout {
			t.Errorf("who writes: %v after %s", err, time.Since(began))
		}
		if err := <-down; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Down: %v", err)
		}
	})
}

func TestConnectWaitsNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		defer w.Close()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, try := range []struct {
			ctx   context.Context
			reads bool
			after time.Duration
		}{{t.Context(), true, connectTimeout}, {t.Context(), false, connectTimeout}, {short, true, time.Second}} {
			near, far := net.Pipe()
			if try.reads {
				go func() { _, _ = io.Copy(io.Discard, far) }()
			}
			began := time.Now()
			_, _, err := Connect(try.ctx, near, Options{Wheel: w})
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > try.after {
				t.Errorf("Connect: %v after %s", err, time.Since(began))
			}
			_ = far.Close()
		}
	})
}

func TestServerDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, err := scripted(t, Options{}, accepted(V5))
		if err != nil {
			t.Fatal(err)
		}
		s.say(t, packet(disconnect<<4, []byte{0x9C}, props(prop(serverReference, str("b2")...), prop(reasonString, str("moving")...)))...)
		err = <-p.down
		p.down <- err
		var r *Refused
		if !errors.As(err, &r) || r.Packet != "DISCONNECT" || r.Code != 0x9C || r.ServerReference != "b2" || r.ReasonString != "moving" {
			t.Errorf("Down: %v", err)
		}
	})
}

func TestHandlerThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, err := scripted(t, Options{Handle: func(*Publish) { panic("boo") }}, accepted(V5))
		if err != nil {
			t.Fatal(err)
		}
		s.sent()
		s.say(t, packet(publish<<4|2, str("x"), []byte{0, 1}, props())...)
		err = <-p.down
		p.down <- err
		var broke *Panic
		if !errors.As(err, &broke) || broke.Value != "boo" || !bytes.Contains(broke.Stack, []byte("TestHandlerThatPanics")) {
			t.Errorf("Down: %v", err)
		}
		if got, want := s.sent(), []byte{disconnect << 4, 1, implementationError}; !bytes.Equal(got, want) {
			t.Errorf("the broker was told % X, want % X: no PUBACK", got, want)
		}
	})
}

// halfPipe can be closed for writing alone, as TCP and TLS can.
type halfPipe struct{ net.Conn }

func (halfPipe) CloseWrite() error { return nil }

// TestDisconnectFromABrokerThatGoesOn: it has closeWait to close, whatever it still sends.
func TestDisconnectFromABrokerThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			_, _ = far.Read(make([]byte, 1024))
			_, _ = far.Write(accepted(V5))
			go func() { _, _ = io.Copy(io.Discard, far) }()
			for err := error(nil); err == nil; {
				time.Sleep(time.Millisecond)
				_, err = far.Write(packet(publish<<4|2, str("x"), []byte{0, 1}, props(), make([]byte, 6000)))
			}
		}()
		w := NewWheel()
		defer w.Close()
		down := make(chan error, 1)
		c, _, err := Connect(t.Context(), halfPipe{near}, Options{Wheel: w, Handle: func(*Publish) { time.Sleep(time.Millisecond) }, Down: func(err error) { down <- err }})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		began := time.Now()
		c.Disconnect(0)
		if err := <-down; !errors.Is(err, ErrClosed) || time.Since(began) > closeWait+time.Second {
			t.Errorf("Down: %v after %s", err, time.Since(began))
		}
		_ = far.Close()
		time.Sleep(time.Second) // for the broker to see it
	})
}

// TestMemoryGrowsWithWhatComes: a length that is announced costs nothing.
func TestMemoryGrowsWithWhatComes(t *testing.T) {
	near, far := net.Pipe()
	w := NewWheel()
	defer w.Close()
	go func() {
		_, _ = far.Read(make([]byte, 1024))
		_, _ = far.Write(accepted(V5))
	}()
	down := make(chan error, 1)
	if _, _, err := Connect(t.Context(), near, Options{Wheel: w, MaxPacket: 1 << 28, Down: func(err error) { down <- err }}); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = far.Write(append([]byte{publish << 4, 0x80, 0x80, 0x80, 0x60}, make([]byte, 10_000)...)) // 201 MB
	_ = far.Close()
	t.Log(<-down)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100_000 {
		t.Errorf("%d bytes were allocated for 10,000", n)
	}
}
