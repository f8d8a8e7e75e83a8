// Package client is one connection to an MQTT broker: MQTT 5.0 and 3.1.1 over any net.Conn, QoS 0 and 1, with nothing of USP in it.
//
// A connection has one goroutine, which reads; whoever sends writes by himself. Keep-alive is a Wheel's, which many connections share, so that
// one that is idle costs neither a goroutine more nor a timer. Packets are read and written by a codec of this package: what a broker announces
// is allocated only as its bytes arrive, and nothing but what the specifications allow is let in. Numbers in brackets are those of the conformance
// statements of MQTT 5.0.
package client

import (
	"errors"
	"time"
)

// Version is a protocol level of MQTT.
type Version byte

// The versions that are spoken.
const (
	V311 Version = 4 // MQTT 3.1.1
	V5   Version = 5 // MQTT 5.0
)

// Options is what a connection is made with. What has no place in 3.1.1 is left out there.
type Options struct {
	Version Version // 0: V5
	// ClientID may be empty: the broker then assigns one. In 3.1.1 it does not say which, and CleanStart is implied [3.1.1: 3.1.3-7].
	ClientID       string
	Username       string
	Password       []byte
	CleanStart     bool          // in 3.1.1 Clean Session
	SessionExpiry  uint32        // seconds
	KeepAlive      time.Duration // of whole seconds, up to 65,535; 0: none. The broker's word wins
	Will           *Publish
	UserProperties [][2]string // name, value
	// RequestResponseInfo asks for Response Information in CONNACK.
	RequestResponseInfo bool
	ReceiveMaximum      uint16 // 0: as many as the protocol allows
	MaxPacket           int    // bytes of the largest packet taken in whole; 0: 1 MiB
	Wheel               *Wheel // sends PINGREQ; required where the broker may want keep-alive
	// Handle gets each message that arrives, and owns it. It runs on the connection's goroutine, one call after the other, perhaps before
	// Connect returns; a message of QoS 1 is acknowledged when it has returned. It must not wait for Publish at QoS 1, Subscribe or Unsubscribe.
	Handle func(*Publish)
	// Down is called once, when a connection that Connect has returned is over, with what ended it: ErrClosed, ErrKeepAlive, *Refused,
	// *Violation, *Panic or an error of the net.Conn.
	Down func(error)
}

// Connack is what the broker has said of the connection, with the defaults of the protocol where it has not.
type Connack struct {
	SessionPresent      bool
	ReasonCode          byte
	AssignedClientID    string
	ResponseInformation string
	ReasonString        string
	KeepAlive           time.Duration // the effective one
	SessionExpiry       uint32        // the effective one
	MaximumQoS          byte          // 1 at most: QoS 2 is not spoken here
	RetainAvailable     bool
	MaximumPacket       int // bytes of the largest packet that the broker takes
	ReceiveMaximum      uint16
	UserProperties      [][2]string
}

// Publish is a message. Without version 5.0 it has no ResponseTopic, ContentType and CorrelationData.
type Publish struct {
	Topic           string
	ResponseTopic   string
	ContentType     string
	CorrelationData []byte
	Payload         []byte
	QoS             byte
	Retain          bool
	// Cut says of a message that has come that its payload is larger than MaxPacket, and not here. A broker of 5.0 does not send such.
	Cut bool
}

// Subscription is a topic filter and the QoS wanted of it, 0 or 1.
type Subscription struct {
	Filter string
	QoS    byte
}

// What ends a connection, and why something is not sent. All but ErrDown leave the connection as it was.
var (
	ErrClosed    = errors.New("mqtt: closed from this side")
	ErrKeepAlive = errors.New("mqtt: broker answered no PINGREQ")
	ErrDown      = errors.New("mqtt: connection is down")
	ErrTooBig    = errors.New("mqtt: packet is larger than the broker takes")
	ErrTopic     = errors.New("mqtt: no topic that can be published to, or no topic filter")
	ErrQoS       = errors.New("mqtt: QoS is not available")
	ErrRetain    = errors.New("mqtt: broker keeps no retained messages")
	ErrText      = errors.New("mqtt: string is longer than 65,535 bytes or no UTF-8 text")
)

// The limits that a connection keeps by itself.
const (
	defaultMaxPacket  = 1 << 20
	maxInFlight       = 1024 // PUBLISH at QoS 1 not yet acknowledged, whatever more the broker allows
	maxUserProperties = 100  // of a CONNACK
	connectTimeout    = 30 * time.Second
	writeTimeout      = 10 * time.Second
	stallTimeout      = 30 * time.Second // between two chunks of one packet that arrives
	closeWait         = 2 * time.Second  // for the broker to close after DISCONNECT
)
