package client

import "fmt"

// Refused is what a broker has refused, with a reason code: a connection (CONNACK), a message (PUBACK) or the rest of a connection (DISCONNECT).
type Refused struct {
	Packet          string // "CONNACK", "PUBACK" or "DISCONNECT"
	Version         Version
	Code            byte // of the packet: 3.1.1 has its own for CONNACK
	ReasonString    string
	ServerReference string // of CONNACK and DISCONNECT: where to go instead
}

// maxShown bounds how much of a broker's words is repeated in an error.
const maxShown = 200

// Error implements error.
func (r *Refused) Error() string {
	s := fmt.Sprintf("mqtt: broker answered %s 0x%02X", r.Packet, r.Code)
	if name := Reason(r.Version, r.Code); name != "" {
		s += " " + name
	}
	if r.ReasonString != "" {
		s += fmt.Sprintf(": %.*q", maxShown, r.ReasonString)
	}
	if r.ServerReference != "" {
		s += fmt.Sprintf(", use %.*q", maxShown, r.ServerReference)
	}
	return s
}

// ClientID says that the broker does not take the Client Identifier.
func (r *Refused) ClientID() bool {
	return r.Packet == "CONNACK" && (r.Version == V5 && r.Code == 0x85 || r.Version == V311 && r.Code == 2)
}

// QoS says that the broker does not take messages of the Will's QoS (3.2.2.3.4).
func (r *Refused) QoS() bool { return r.Packet == "CONNACK" && r.Version == V5 && r.Code == 0x9B }

// Violation is a broker's breach of the protocol, or of a limit that it was told. Code is the reason of the DISCONNECT that it gets.
type Violation struct {
	Code byte
	Text string
}

// Error implements error.
func (v *Violation) Error() string { return "mqtt: broker broke the protocol: " + v.Text }

func malformed(text string) error { return &Violation{Code: malformedPacket, Text: text} }

func violation(text string) error { return &Violation{Code: protocolError, Text: text} }

// Panic is a panic while a packet was read or handled; it has ended that connection only.
type Panic struct {
	Value any
	Stack []byte
}

// Error implements error.
func (p *Panic) Error() string {
	return fmt.Sprintf("mqtt: panic while handling a packet: %v", p.Value)
}

// The reason codes that are sent.
const (
	malformedPacket     = 0x81
	protocolError       = 0x82
	implementationError = 0x83
	topicAliasInvalid   = 0x94
	packetTooLarge      = 0x95
)

// Reason is the name that a version has for a reason code of CONNACK, PUBACK, SUBACK or DISCONNECT, "" where it has none.
func Reason(v Version, code byte) string {
	if v == V311 {
		return reasons311[code]
	}
	return reasons[code]
}

var reasons311 = map[byte]string{
	1:    "Unacceptable protocol version",
	2:    "Identifier rejected",
	3:    "Server unavailable",
	4:    "Bad user name or password",
	5:    "Not authorized",
	0x80: "Failure",
}

var reasons = map[byte]string{
	0x00: "Success",
	0x04: "Disconnect with Will Message",
	0x10: "No matching subscribers",
	0x11: "No subscription existed",
	0x80: "Unspecified error",
	0x81: "Malformed Packet",
	0x82: "Protocol Error",
	0x83: "Implementation specific error",
	0x84: "Unsupported Protocol Version",
	0x85: "Client Identifier not valid",
	0x86: "Bad User Name or Password",
	0x87: "Not authorized",
	0x88: "Server unavailable",
	0x89: "Server busy",
	0x8A: "Banned",
	0x8B: "Server shutting down",
	0x8C: "Bad authentication method",
	0x8D: "Keep Alive timeout",
	0x8E: "Session taken over",
	0x8F: "Topic Filter invalid",
	0x90: "Topic Name invalid",
	0x91: "Packet Identifier in use",
	0x92: "Packet Identifier not found",
	0x93: "Receive Maximum exceeded",
	0x94: "Topic Alias invalid",
	0x95: "Packet too large",
	0x96: "Message rate too high",
	0x97: "Quota exceeded",
	0x98: "Administrative action",
	0x99: "Payload format invalid",
	0x9A: "Retain not supported",
	0x9B: "QoS not supported",
	0x9C: "Use another server",
	0x9D: "Server moved",
	0x9E: "Shared Subscriptions not supported",
	0x9F: "Connection rate exceeded",
	0xA0: "Maximum connect time",
	0xA1: "Subscription Identifiers not supported",
	0xA2: "Wildcard Subscriptions not supported",
}
