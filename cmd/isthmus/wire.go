package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp/connreq"
	"isthmus/translate"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/mtp/websocket"
)

// dialControllers makes a client for every Controller that is dialled, and the rows of every Agent's Controller table.
func (i *instance) dialControllers(ctx context.Context, c *config.Config, reg prometheus.Registerer, share limits) ([]agent.ControllerConfig, error) {
	issue, err := newIssuer(&c.USP.Identity)
	if err != nil {
		return nil, fmt.Errorf("usp.identity: %w", err)
	}
	d := &dialer{}
	d.room.Store(int64(share.agents))
	for _, a := range c.USP.SourceAddresses {
		d.sources = append(d.sources, a.Addr)
	}
	var rows []agent.ControllerConfig
	for n := range c.USP.Controllers {
		k := &c.USP.Controllers[n]
		row := agent.ControllerConfig{EndpointID: usp.EndpointID(k.EndpointID), Role: k.Role, OnlyDialsIn: k.WebSocket == nil || k.WebSocket.URL == ""}
		if row.CAs, err = certificates(k.TLS.CAFile); err != nil {
			return nil, fmt.Errorf("usp.controllers[%d].tls: %w", n, err)
		}
		if !row.OnlyDialsIn {
			if row.MTP, err = webSocketMTP(k.WebSocket.URL); err != nil {
				return nil, fmt.Errorf("usp.controllers[%d]: %w", n, err)
			}
			tlsConfig, err := clientTLS(&k.TLS)
			if err != nil {
				return nil, fmt.Errorf("usp.controllers[%d].tls: %w", n, err)
			}
			certificate := issue
			if k.TLS.CertFile != "" {
				certificate = nil // what is said of this Controller counts more
			}
			client, err := websocket.NewClient(ctx, websocket.ClientOptions{URL: k.WebSocket.URL, Controller: row.EndpointID, TLS: tlsConfig,
				Certificate: certificate, Dial: d.dial, Extension: true, Logger: i.log, Registerer: reg})
			if err != nil {
				return nil, fmt.Errorf("usp.controllers[%d]: %w", n, err)
			}
			i.clients = append(i.clients, client)
			if k.CycleOnBoot {
				i.connectors = append(i.connectors, cycled{client})
			} else {
				i.connectors = append(i.connectors, client)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (i *instance) proxyOptions(c *config.Config, controllers []agent.ControllerConfig, cas []*x509.Certificate,
	reg prometheus.Registerer) translate.Options {
	cr := &c.CWMP.ConnectionRequest
	rules := connreq.Rules{Own: i.listeners.addresses(), Allow: prefixes(cr.Allow)}
	o := translate.Options{
		Store:      i.store,
		Connectors: i.connectors,
		Agents: agent.Options{Controllers: controllers, CAs: cas, Roles: roles(c), RequestTimeout: time.Duration(c.USP.RequestTimeout),
			MaxSubscriptions: c.Notifications.MaxSubscriptions, SoftwareVersion: version, Logger: i.log, Registerer: reg},
		ConnectionRequest: translate.ConnectionRequest{Username: cr.Username, Password: string(cr.Password), Credentials: connReqCredentials(&c.CWMP.Auth),
			Timeout: time.Duration(cr.Timeout), Client: &connreq.Client{Rules: rules}},
		Linger:              time.Duration(c.CWMP.Session.Linger),
		MaxAge:              time.Duration(c.Cache.MaxAge),
		ServeStale:          time.Duration(c.Cache.ServeStale),
		MaxDevices:          c.CWMP.MaxDevices,
		NewDevicesPerSecond: c.CWMP.NewDevicesPerSecond,
		Logger:              i.log,
		Registerer:          reg,
	}
	if l := i.listeners.udp; l != nil {
		i.udp = connreq.NewUDP(l, connreq.UDPOptions{Rules: rules, Logger: i.log, Registerer: reg})
		o.ConnectionRequest.UDP = i.udp
	}
	for _, r := range c.Cache.Rules {
		o.Rules = append(o.Rules, translate.AgeRule{Path: r.Path, MaxAge: time.Duration(r.MaxAge)})
	}
	return o
}

func prefixes(list []config.Prefix) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, p.Prefix)
	}
	return out
}

// cycled is a Client that reconnects an Agent when its CPE boots.
type cycled struct{ *websocket.Client }

// Reboot implements translate.Rebooter.
func (c cycled) Reboot(id usp.EndpointID) { c.Reconnect(id) }

// roles are those of the configuration, by name.
func roles(c *config.Config) []agent.Role {
	var out []agent.Role
	for _, name := range slices.Sorted(maps.Keys(c.USP.Roles)) {
		r := agent.Role{Name: name}
		for _, p := range c.USP.Roles[name] {
			r.Permissions = append(r.Permissions, agent.Permission{Order: uint32(p.Order), Targets: p.Targets,
				Param: p.Param, Obj: p.Obj, InstantiatedObj: p.InstantiatedObj, CommandEvent: p.CommandEvent})
		}
		out = append(out, r)
	}
	return out
}

// webSocketMTP is a Controller's URL as its MTP row shows it.
func webSocketMTP(rawURL string) (agent.MTPConfig, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return agent.MTPConfig{}, fmt.Errorf("websocket.url: %w", err)
	}
	m := agent.MTPConfig{Protocol: "WebSocket", Host: u.Hostname(), Port: 80, Path: u.Path, EnableEncryption: u.Scheme == "wss"}
	if m.EnableEncryption {
		m.Port = 443
	}
	if p := u.Port(); p != "" {
		if m.Port, err = strconv.Atoi(p); err != nil {
			return agent.MTPConfig{}, fmt.Errorf("websocket.url: port %w", err)
		}
	}
	return m, nil
}

// clientTLS is nil where the configuration says nothing: the system's roots then.
func clientTLS(c *config.ClientTLS) (*tls.Config, error) {
	if *c == (config.ClientTLS{}) {
		return nil, nil
	}
	cas, err := certificates(c.CAFile)
	if err != nil {
		return nil, err
	}
	t := &tls.Config{ServerName: c.ServerName, RootCAs: pool(cas), MinVersion: tls.VersionTLS12}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
