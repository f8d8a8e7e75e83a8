package client

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The types of packet (2.1.2).
const (
	connect     = 1
	connack     = 2
	publish     = 3
	puback      = 4
	subscribe   = 8
	suback      = 9
	unsubscribe = 10
	unsuback    = 11
	pingreq     = 12
	pingresp    = 13
	disconnect  = 14
)

// maxRemaining is the largest remaining length that four bytes can say, and headroom what type and length take at most.
const (
	maxRemaining = 1<<28 - 1
	headroom     = 5
)

// packets are buffers in which packets are put together, each with headroom in front.
var packets = sync.Pool{New: func() any { b := make([]byte, headroom, 512); return &b }}

// maxPooled keeps a single large packet from occupying the pool.
const maxPooled = 64 << 10

// seal puts the fixed header in front of a body that begins after headroom.
func seal(b []byte, first byte) []byte {
	var h [headroom]byte
	head := appendVarint(append(h[:0], first), len(b)-headroom)
	at := headroom - len(head)
	copy(b[at:], head)
	return b[at:]
}

func appendVarint(b []byte, n int) []byte {
	for ; n > 0x7F; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// measured puts the length of all that follows at in front of it.
func measured(b []byte, at int) []byte {
	var v [4]byte
	return slices.Insert(b, at, appendVarint(v[:0], len(b)-at)...)
}

func appendConnect(b []byte, o *Options) []byte {
	b = append(appendString(b, "MQTT"), byte(o.Version), connectFlags(o))
	b = binary.BigEndian.AppendUint16(b, uint16(o.KeepAlive/time.Second))
	if o.Version == V5 {
		at := len(b)
		if o.SessionExpiry > 0 {
			b = binary.BigEndian.AppendUint32(append(b, sessionExpiryInterval), o.SessionExpiry)
		}
		if o.ReceiveMaximum > 0 {
			b = binary.BigEndian.AppendUint16(append(b, receiveMaximum), o.ReceiveMaximum)
		}
		b = binary.BigEndian.AppendUint32(append(b, maximumPacketSize), uint32(o.MaxPacket))
		if o.RequestResponseInfo {
			b = append(b, requestResponseInformation, 1)
		}
		for _, p := range o.UserProperties {
			b = appendString(appendString(append(b, userProperty), p[0]), p[1])
		}
		b = measured(b, at)
	}
	b = appendString(b, o.ClientID)
	if w := o.Will; w != nil {
		b = appendMessageProperties(b, o.Version, w)
		b = appendString(appendString(b, w.Topic), string(w.Payload))
	}
	if o.Username != "" {
		b = appendString(b, o.Username)
	}
	if o.Password != nil {
		b = appendString(b, string(o.Password))
	}
	return b
}

func connectFlags(o *Options) byte {
	var flags byte
	if o.CleanStart || o.Version == V311 && o.ClientID == "" {
		flags |= 0x02
	}
	if w := o.Will; w != nil {
		flags |= 0x04 | w.QoS<<3
		if w.Retain {
			flags |= 0x20
		}
	}
	if o.Password != nil {
		flags |= 0x40
	}
	if o.Username != "" {
		flags |= 0x80
	}
	return flags
}

// appendMessageProperties appends those that a PUBLISH and a Will have in common.
func appendMessageProperties(b []byte, v Version, p *Publish) []byte {
	if v != V5 {
		return b
	}
	at := len(b)
	if p.ContentType != "" {
		b = appendString(append(b, contentType), p.ContentType)
	}
	if p.ResponseTopic != "" {
		b = appendString(append(b, responseTopic), p.ResponseTopic)
	}
	if p.CorrelationData != nil {
		b = appendString(append(b, correlationData), string(p.CorrelationData))
	}
	return measured(b, at)
}

func appendPublish(b []byte, v Version, p *Publish, id uint16) []byte {
	b = appendString(b, p.Topic)
	if p.QoS > 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return append(appendMessageProperties(b, v, p), p.Payload...)
}

func publishFlags(p *Publish) byte {
	first := byte(publish<<4) | p.QoS<<1
	if p.Retain {
		first |= 1
	}
	return first
}

func appendSubscribe(b []byte, v Version, subs []Subscription, id uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, id)
	if v == V5 {
		b = append(b, 0) // no properties
	}
	for _, s := range subs {
		b = append(appendString(b, s.Filter), s.QoS)
	}
	return b
}

func appendUnsubscribe(b []byte, v Version, filters []string, id uint16) []byte {
	b = binary.BigEndian.AppendUint16(b, id)
	if v == V5 {
		b = append(b, 0)
	}
	for _, f := range filters {
		b = appendString(b, f)
	}
	return b
}

// isText says whether s can be sent as a UTF-8 string (1.5.4).
func isText(s string) bool {
	return len(s) <= math.MaxUint16 && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// isTopic says whether s can be published to (4.7.1, 4.7.3).
func isTopic(s string) bool { return s != "" && isText(s) && !strings.ContainsAny(s, "+#") }

// IsFilter says whether s is a topic filter (4.7.1): wildcards take a whole level, and "#" the last.
func IsFilter(s string) bool {
	if s == "" || !isText(s) {
		return false
	}
	levels := strings.Split(s, "/")
	for i, level := range levels {
		if len(level) > 1 && strings.ContainsAny(level, "+#") || level == "#" && i < len(levels)-1 {
			return false
		}
	}
	return true
}
