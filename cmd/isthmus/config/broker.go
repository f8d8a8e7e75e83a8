package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Broker is where a broker is, as its URL says.
type Broker struct {
	Host      string
	Port      int
	Path      string // of MQTT over WebSocket
	TLS       bool
	WebSocket bool
}

// brokerScheme is what the scheme of a broker's URL stands for.
type brokerScheme struct {
	name           string
	port           int
	tls, webSocket bool
}

var (
	mqttSchemes = []brokerScheme{{name: "mqtt", port: 1883}, {name: "mqtts", port: 8883, tls: true},
		{name: "ws", port: 80, webSocket: true}, {name: "wss", port: 443, tls: true, webSocket: true}}
	stompSchemes = []brokerScheme{{name: "stomp", port: 61613}, {name: "stomps", port: 61614, tls: true}}
)

// BrokerURL takes the URL of a broker apart: mqtt, mqtts, ws and wss for MQTT, stomp and stomps for STOMP. problem says what is wrong with it and what
// to do, "" if nothing is.
func BrokerURL(raw string, mqtt bool) (b Broker, problem string) {
	schemes, say := stompSchemes, "must be stomp://host:port or stomps://host:port"
	if mqtt {
		schemes, say = mqttSchemes, "must be mqtt://host:port or mqtts://host:port, or ws://host:port/path or wss://host:port/path"
	}
	u, err := url.Parse(raw)
	if err != nil {
		return b, "is no URL: it " + say
	}
	for _, s := range schemes {
		if u.Scheme == s.name {
			b = Broker{Host: u.Hostname(), Port: s.port, TLS: s.tls, WebSocket: s.webSocket}
		}
	}
	if b.Port == 0 || b.Host == "" {
		return b, say
	}
	if p := u.Port(); p != "" {
		port, err := strconv.ParseUint(p, 10, 16)
		if err != nil || port == 0 {
			return b, "has no valid port: " + p
		}
		b.Port = int(port)
	}
	switch {
	case u.User != nil:
		return b, "has a user name: write it as username, beside the URL"
	case u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(raw, "?#"):
		return b, "has a query or fragment: remove it"
	case !b.WebSocket && strings.Trim(u.Path, "/") != "":
		return b, "has a path, which only ws:// and wss:// have: remove it"
	case strings.Contains(raw, placeholder):
		return b, "has " + placeholder + ": a broker is the same for all Agents, remove it"
	}
	if b.WebSocket {
		b.Path = u.Path
	}
	return b, ""
}

// String is host:port.
func (b Broker) String() string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }

// checkBroker looks at what the entries of MQTT and STOMP have in common. own is where an Agent listens, to where the Controller does.
func (l *loader) checkBroker(key string, mqtt bool, url, username, own, to string, c *Controller) {
	if strings.ContainsFunc(username, control) {
		l.add(key+".username", "has a control character: remove it")
	}
	ownKey, toKey := key+".agent_destination", key+".controller_destination"
	if mqtt {
		ownKey, toKey = key+".agent_topic", key+".controller_topic"
	}
	if url == "" {
		l.add(key+".broker", "is missing: write where the broker is, such as %s://127.0.0.1", key[strings.LastIndexByte(key, '.')+1:])
	} else if b, problem := BrokerURL(url, mqtt); problem != "" {
		l.add(key+".broker", "%s", problem)
	} else if !b.TLS && c.TLS != (ClientTLS{}) {
		l.add(key+".broker", "is not encrypted, but tls is set: write its scheme with TLS (mqtts, wss, stomps) or remove tls")
	}
	if problem := badName(own, mqtt); problem != "" {
		l.add(ownKey, "%s", problem)
	} else if !strings.Contains(own, placeholder) {
		l.add(ownKey, "needs %s: each Agent listens at a place of its own", placeholder)
	}
	if problem := badName(to, mqtt); problem != "" {
		l.add(toKey, "%s", problem)
	} else if to == own {
		l.add(toKey, "is where the Agents listen: write where the Controller does")
	}
}

func control(r rune) bool { return r < ' ' || r == 0x7F }

// maxName leaves room for an Endpoint ID in the 65,535 bytes of an MQTT topic.
const maxName = 60_000

// badName says why Records cannot be sent to a topic or destination.
func badName(name string, mqtt bool) string {
	switch {
	case name == "":
		return "is empty: leave it out for the default, or name it"
	case len(name) > maxName:
		return "is longer than " + strconv.Itoa(maxName) + " bytes"
	case strings.ContainsFunc(name, control):
		return "has a control character: remove it"
	case mqtt && strings.ContainsAny(name, "+#"):
		return "has a wildcard (+ or #), to which nothing can be published: remove it"
	case !mqtt && strings.ContainsAny(name, "*#"):
		return "has a wildcard (* or #), to which nothing can be sent: remove it"
	}
	return ""
}

func (l *loader) checkMQTT(key string, c *Controller) {
	m := c.MQTT
	l.checkBroker(key, true, m.Broker, m.Username, m.AgentTopic, m.ControllerTopic, c)
	l.secretFile(key+".password", &m.Password, m.PasswordFile)
	if m.Password != "" && m.Username == "" && m.Version == "3.1.1" {
		l.add(key+".password", "has no username, which MQTT 3.1.1 demands: set both")
	}
	l.checkShared(key, m.Connection, m.Username)
}

func (l *loader) checkSTOMP(key string, c *Controller) {
	s := c.STOMP
	l.checkBroker(key, false, s.Broker, s.Username, s.AgentDestination, s.ControllerDestination, c)
	l.secretFile(key+".password", &s.Password, s.PasswordFile)
	if s.Password != "" && s.Username == "" {
		l.add(key+".password", "has no username: set both")
	}
	if strings.ContainsFunc(s.VHost, control) {
		l.add(key+".vhost", "has a control character: remove it")
	}
	l.checkShared(key, s.Connection, s.Username)
}

func (l *loader) checkShared(key, connection, username string) {
	if connection == "shared" && strings.Contains(username, placeholder) {
		l.add(key+".username", "has %s, but the Agents share the connection: name one account for all", placeholder)
	}
}

// way is what Controllers have in common that an Agent reaches over one connection.
type way struct {
	broker                                 Broker
	mqtt                                   bool
	version, username, vhost, agentsListen string
	password                               Secret
}

// checkConnections finds Controllers that would be behind one connection, of which one wants it shared and another does not.
func (l *loader) checkConnections(all []Controller) {
	first := map[way]int{}
	for i := range all {
		var w way
		url, key := "", fmt.Sprintf("usp.controllers[%d].", i)
		switch m, s := all[i].MQTT, all[i].STOMP; {
		case m != nil:
			url, w = m.Broker, way{mqtt: true, version: m.Version, username: m.Username, password: m.Password, agentsListen: m.AgentTopic}
		case s != nil:
			url, w = s.Broker, way{username: s.Username, password: s.Password, vhost: s.VHost, agentsListen: s.AgentDestination}
		}
		var problem string
		if w.broker, problem = BrokerURL(url, w.mqtt); problem != "" { // which is said where it is
			continue
		}
		j, twice := first[w]
		if !twice {
			first[w] = i
			continue
		}
		if had, has := connectionOf(&all[j]), connectionOf(&all[i]); had != has {
			if w.mqtt {
				key += "mqtt"
			} else {
				key += "stomp"
			}
			l.add(key+".connection", "is %s, but usp.controllers[%d] is at the same broker, with the same account, and has %s: an Agent reaches both over one connection, so write the same for both, or let the Agents listen elsewhere for one",
				has, j, had)
		}
	}
}

func connectionOf(c *Controller) string {
	if c.MQTT != nil {
		return c.MQTT.Connection
	}
	return c.STOMP.Connection
}
