package client

import (
	"bytes"
	"errors"
	"testing"
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
