package conformance_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// tap stands between the Agent and a broker, any broker: it writes down the packets of both and changes those of the broker where a test wants
// what that one does not do.
type tap struct {
	addr   string
	broker string
	l      net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{}
	all     []seen
	taken   int
	edit    func(*packets.Packet) // of CONNACK and SUBACK
	conns   map[net.Conn]*tapped
}

// seen is a packet, or with Type 0 that the Agent has connected.
type seen struct {
	packets.Packet
	at         time.Time
	fromBroker bool
}

// tapped is a connection of the Agent's.
type tapped struct {
	agent   net.Conn
	writing sync.Mutex // of what goes to the Agent
	version atomic.Uint32
}

func newTap(t *testing.T, broker string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{addr: l.Addr().String(), broker: broker, l: l, changed: make(chan struct{}), conns: map[net.Conn]*tapped{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *tap) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.saw(seen{at: time.Now()})
		to, err := net.Dial("tcp", p.broker)
		if err != nil {
			_ = c.Close()
			continue
		}
		x := &tapped{agent: c}
		p.mu.Lock()
		p.conns[c] = x
		p.mu.Unlock()
		p.wg.Go(func() { p.copy(x, to, c, false); _ = to.Close() })
		p.wg.Go(func() {
			p.copy(x, c, to, true)
			_ = c.Close()
			p.mu.Lock()
			delete(p.conns, c)
			p.mu.Unlock()
		})
	}
}

// copy passes packets on, one at a time, until either side is gone.
func (p *tap) copy(x *tapped, to io.Writer, from io.Reader, fromBroker bool) {
	in := bufio.NewReader(from)
	for {
		raw, err := packet(in)
		if err != nil {
			return
		}
		pk, body := packets.Packet{ProtocolVersion: byte(x.version.Load())}, raw[len(raw)-remaining(raw):]
		if err := decode(&pk, raw[0], body); err != nil {
			return
		}
		if pk.FixedHeader.Type == packets.Connect {
			x.version.Store(uint32(pk.ProtocolVersion)) // before the broker can answer
		}
		p.mu.Lock()
		edit := p.edit
		p.mu.Unlock()
		if fromBroker && edit != nil {
			raw = edited(&pk, raw, edit)
		}
		p.saw(seen{Packet: pk, at: time.Now(), fromBroker: fromBroker})
		x.writing.Lock()
		_, err = to.Write(raw)
		x.writing.Unlock()
		if err != nil {
			return
		}
	}
}

// packet reads one as it is.
func packet(in *bufio.Reader) ([]byte, error) {
	first, err := in.ReadByte()
	raw, n := []byte{first}, 0
	for shift := 0; err == nil; shift += 7 {
		var b byte
		if b, err = in.ReadByte(); err != nil {
			break
		}
		raw = append(raw, b)
		if n |= int(b&0x7F) << shift; b < 0x80 {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	body := make([]byte, n)
	_, err = io.ReadFull(in, body)
	return append(raw, body...), err
}

// remaining is the length of a packet without its fixed header.
func remaining(raw []byte) int {
	n := 1
	for raw[n] >= 0x80 {
		n++
	}
	return len(raw) - n - 1
}

func decode(pk *packets.Packet, first byte, body []byte) error {
	if err := pk.FixedHeader.Decode(first); err != nil {
		return err
	}
	pk.FixedHeader.Remaining = len(body)
	switch pk.FixedHeader.Type {
	case packets.Connect:
		return pk.ConnectDecode(body)
	case packets.Connack:
		return pk.ConnackDecode(body)
	case packets.Publish:
		return pk.PublishDecode(body)
	case packets.Subscribe:
		return pk.SubscribeDecode(body)
	case packets.Suback:
		return pk.SubackDecode(body)
	case packets.Unsubscribe:
		return pk.UnsubscribeDecode(body)
	case packets.Unsuback:
		return pk.UnsubackDecode(body)
	case packets.Disconnect:
		if len(body) > 0 {
			return pk.DisconnectDecode(body)
		}
	}
	return nil
}

func edited(pk *packets.Packet, raw []byte, edit func(*packets.Packet)) []byte {
	var b bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connack:
		edit(pk)
		pk.Mods.AllowResponseInfo = true
		err = pk.ConnackEncode(&b)
	case packets.Suback:
		edit(pk)
		err = pk.SubackEncode(&b)
	default:
		return raw
	}
	if err != nil {
		return raw
	}
	return b.Bytes()
}

func (p *tap) saw(s seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, s)
	close(p.changed)
	p.changed = make(chan struct{})
}

// change has the packets of the broker changed from now on; nil leaves them as they are.
func (p *tap) change(edit func(*packets.Packet)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.edit = edit
}

// skip leaves what was seen so far.
func (p *tap) skip() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = len(p.all)
}

// next waits for the first packet of a type from one side that match takes, after the one that it gave before.
func (p *tap) next(e *eut, kind byte, fromBroker bool, match func(*seen) bool) *seen {
	e.Helper()
	end := time.After(patience)
	for {
		p.mu.Lock()
		for p.taken < len(p.all) {
			s := p.all[p.taken]
			p.taken++
			if s.FixedHeader.Type == kind && s.fromBroker == fromBroker && (match == nil || match(&s)) {
				p.mu.Unlock()
				return &s
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-end:
			e.Fatalf("no %s came", packets.PacketNames[kind])
		}
	}
}

// sent are the packets of a type that the Agent has sent since skip.
func (p *tap) sent(kind byte) (out []seen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.all[p.taken:] {
		if s.FixedHeader.Type == kind && !s.fromBroker {
			out = append(out, s)
		}
	}
	return out
}

// cut drops the Agent's connections.
func (p *tap) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}

// disconnect has the Agent's connection ended as a broker does: in MQTT 5.0 it says so.
func (p *tap) disconnect() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, x := range p.conns {
		if x.version.Load() == 5 {
			x.writing.Lock()
			_, err := c.Write([]byte{packets.Disconnect << 4, 1, 0x8B}) // server shutting down
			x.writing.Unlock()
			if err != nil && !errors.Is(err, net.ErrClosed) { // one that is about to go
				return fmt.Errorf("DISCONNECT: %w", err)
			}
			continue
		}
		_ = c.Close()
	}
	return nil
}
