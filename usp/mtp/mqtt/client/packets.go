package client

import (
	"bytes"
	"time"
)

// decodeConnack reads a CONNACK (3.2); its error is *Refused where the broker wants no connection.
func decodeConnack(o *Options, body []byte) (*Connack, error) {
	f := fields{b: body}
	flags := f.byte()
	a := &Connack{
		SessionPresent: flags&1 != 0, ReasonCode: f.byte(), KeepAlive: o.KeepAlive, SessionExpiry: o.SessionExpiry,
		MaximumQoS: 1, RetainAvailable: true, MaximumPacket: maxRemaining + headroom, ReceiveMaximum: 1<<16 - 1,
	}
	if flags > 1 {
		f.fail("CONNACK has reserved flags")
	}
	refused := &Refused{Packet: "CONNACK", Version: o.Version, Code: a.ReasonCode}
	switch {
	case o.Version == V5 && len(f.b) == 0 && a.ReasonCode != 0: // from a broker that has only 3.1.1 (3.1.2.2)
		refused.Version = V311
	case o.Version == V5:
		f.each(connack, func(id byte, v value) {
			switch id {
			case sessionExpiryInterval:
				a.SessionExpiry = v.number
			case assignedClientIdentifier:
				a.AssignedClientID = string(v.data)
			case serverKeepAlive:
				a.KeepAlive = time.Duration(v.number) * time.Second
			case responseInformation:
				a.ResponseInformation = string(v.data)
			case serverReference:
				refused.ServerReference = string(v.data)
			case reasonString:
				a.ReasonString = string(v.data)
			case receiveMaximum:
				a.ReceiveMaximum = uint16(v.number)
			case maximumQoS:
				a.MaximumQoS = byte(v.number)
			case retainAvailable:
				a.RetainAvailable = v.number == 1
				if v.number > 1 {
					f.err = violation("CONNACK has a Retain Available other than 0 and 1")
				}
			case maximumPacketSize:
				a.MaximumPacket = int(min(v.number, maxRemaining+headroom))
			case userProperty:
				if len(a.UserProperties) == maxUserProperties {
					f.err = violation("CONNACK has more User Properties than are taken in")
					return
				}
				a.UserProperties = append(a.UserProperties, [2]string{string(v.data), string(v.second)})
			}
		})
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	if a.ReasonCode != 0 {
		refused.ReasonString = a.ReasonString
		return a, refused
	}
	if a.ReceiveMaximum == 0 || a.MaximumPacket == 0 || a.MaximumQoS > 1 {
		return nil, violation("CONNACK has a Receive Maximum or Maximum Packet Size of 0, or a Maximum QoS other than 0 and 1")
	}
	return a, nil
}

// decodePublish reads a PUBLISH (3.3). The payload stays where it is, in the body.
func decodePublish(v Version, in inbound) (p *Publish, id uint16, err error) {
	p = &Publish{QoS: in.first >> 1 & 3, Retain: in.first&1 != 0, Cut: in.cut}
	switch dup := in.first&8 != 0; {
	case p.QoS == 3 || p.QoS == 0 && dup:
		return nil, 0, malformed("PUBLISH has flags that do not go together")
	case p.QoS == 2:
		return nil, 0, violation("PUBLISH has a QoS that was not subscribed to")
	}
	f := fields{b: in.body}
	p.Topic = string(f.text())
	if p.QoS > 0 {
		if id = f.uint16(); id == 0 {
			f.fail("PUBLISH has no Packet Identifier")
		}
	}
	alias := false
	if v == V5 {
		f.each(publish, func(id byte, v value) {
			switch id {
			case topicAlias:
				alias = true
			case responseTopic:
				p.ResponseTopic = string(v.data)
			case contentType:
				p.ContentType = string(v.data)
			case correlationData:
				p.CorrelationData = v.data
			}
		})
	}
	switch {
	case f.err != nil:
		return nil, 0, f.err
	case alias: // none was allowed (3.1.2.11.5)
		return nil, 0, &Violation{Code: topicAliasInvalid, Text: "PUBLISH has a Topic Alias"}
	case !isTopic(p.Topic):
		return nil, 0, malformed("PUBLISH has no topic, or one with a wildcard")
	}
	if !in.cut {
		p.Payload = f.b
	}
	return p, id, nil
}

// ack is what answers a packet of ours: PUBACK, SUBACK or UNSUBACK.
type ack struct {
	id     uint16
	code   byte   // of PUBACK
	codes  []byte // one for each topic filter; none of an UNSUBACK of 3.1.1
	reason string
}

func decodeAck(v Version, kind byte, body []byte) (ack, error) {
	f := fields{b: body}
	a := ack{id: f.uint16()}
	if kind == puback && v == V5 && len(f.b) > 0 { // what is not there is 0 (3.4.2.1)
		a.code = f.byte()
	}
	if v == V5 && (kind != puback || len(f.b) > 0) {
		f.each(kind, func(id byte, v value) {
			if id == reasonString {
				a.reason = string(v.data)
			}
		})
	}
	if kind == suback || kind == unsuback && v == V5 {
		a.codes = bytes.Clone(f.take(len(f.b)))
	}
	return a, f.end()
}

// decodeDisconnect reads the DISCONNECT of a broker (3.14), which only 5.0 has: its error is what it says.
func decodeDisconnect(v Version, body []byte) error {
	if v != V5 {
		return violation("DISCONNECT came from a broker of 3.1.1")
	}
	r := &Refused{Packet: "DISCONNECT", Version: v}
	f := fields{b: body}
	if len(f.b) > 0 {
		r.Code = f.byte()
	}
	if len(f.b) > 0 {
		f.each(disconnect, func(id byte, v value) {
			switch id {
			case reasonString:
				r.ReasonString = string(v.data)
			case serverReference:
				r.ServerReference = string(v.data)
			}
		})
	}
	if err := f.end(); err != nil {
		return err
	}
	return r
}
