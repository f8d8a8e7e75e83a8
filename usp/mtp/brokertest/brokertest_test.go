package brokertest

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestMosquitto: it lets in who has the password, and serves again after it was killed.
func TestBrokerMosquitto(t *testing.T) {
	m := NewMosquitto(t, MosquittoOptions{Users: map[string]string{"u": "p"}, ACL: []string{"user u", "topic readwrite #"}})
	connect := func(password string) byte {
		t.Helper()
		nc := dial(t, m.Addr)
		if _, err := io.WriteString(nc, "\x10\x12\x00\x04MQTT\x04\xC2\x00\x3C\x00\x00\x00\x01u\x00"+string(rune(len(password)))+password); err != nil {
			t.Fatal(err)
		}
		var connack [4]byte
		if _, err := io.ReadFull(nc, connack[:]); err != nil {
			t.Fatal(err)
		}
		return connack[3]
	}
	if code := connect("p"); code != 0 {
		t.Errorf("CONNACK %d", code)
	}
	if code := connect("x"); code == 0 {
		t.Error("it takes any password")
	}
	m.Kill()
	m.Start()
	if code := connect("p"); code != 0 {
		t.Errorf("CONNACK %d", code)
	}
}

// TestRabbitMQ: the same.
func TestBrokerRabbitMQ(t *testing.T) {
	r := NewRabbitMQ(t, RabbitMQOptions{Users: map[string]string{"u": "p"}, Permissions: []Permission{{User: "u", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"}}})
	connect := func(password string) string {
		t.Helper()
		nc := dial(t, r.Addr)
		if _, err := io.WriteString(nc, "STOMP\naccept-version:1.2\nhost:/\nlogin:u\npasscode:"+password+"\n\n\x00"); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(nc).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line)
	}
	if got := connect("p"); got != "CONNECTED" {
		t.Error(got)
	}
	if got := connect("x"); got != "ERROR" {
		t.Error(got)
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(startTime))
	return nc
}
