package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp/connreq"
	"isthmus/cwmp/xmpp"
	"isthmus/translate"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// dialControllers makes what dials Controllers, and gives the rows of every Agent's Controller table.
func (i *instance) dialControllers(ctx context.Context, c *config.Config, reg prometheus.Registerer, share limits) ([]agent.ControllerConfig, error) {
	d := &dialer{}
	d.room.Store(int64(share.agents))
	for _, a := range c.USP.SourceAddresses {
		d.sources = append(d.sources, a.Addr)
	}
	if err := i.newPools(ctx, c, reg, d); err != nil {
		return nil, err
	}
	var rows []agent.ControllerConfig
	for n := range c.USP.Controllers {
		row, err := i.reach(ctx, n, &c.USP.Controllers[n], reg, d)
		if err != nil {
			return nil, fmt.Errorf("usp.controllers[%d]: %w", n, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

var errNotAllowed = errors.New("usp.added_controllers.allow does not let it be dialled")

// guard says of an address why a Controller that Controllers add must not be there.
func (i *instance) guard(c *config.AddedControllers) func(netip.AddrPort) error {
	rules := connreq.Rules{Own: i.listeners.addresses(), Allow: prefixes(c.Allow)}
	return func(to netip.AddrPort) error {
		if rules.Check(to, false) != nil {
			return fmt.Errorf("%s: %w", to, errNotAllowed)
		}
		return nil
	}
}

// webSocketServer is what every Agent says of where Controllers dial in, nil if that is nowhere.
func (i *instance) webSocketServer(c *config.WebSocketServer) *agent.ServerConfig {
	if i.listeners.ws == nil {
		return nil
	}
	at, ok := i.listeners.ws.Addr().(*net.TCPAddr)
	if !ok {
		return nil
	}
	return &agent.ServerConfig{Port: at.Port, Path: "/agent/{endpoint_id}", EnableEncryption: c.TLS.CertFile != ""}
}

func (i *instance) proxyOptions(c *config.Config, controllers []agent.ControllerConfig, cas []*x509.Certificate,
	reg prometheus.Registerer) translate.Options {
	cr := &c.CWMP.ConnectionRequest
	rules := connreq.Rules{Own: i.listeners.addresses(), Allow: prefixes(cr.Allow)}
	o := translate.Options{
		Store: i.store,
		Agents: agent.Options{Dialer: i.pools.dialers(), Server: i.webSocketServer(&c.USP.WebSocketServer), Controllers: controllers, CAs: cas,
			Certificate: i.issue, Roles: roles(c), RequestTimeout: time.Duration(c.USP.RequestTimeout),
			MaxSubscriptions: c.Notifications.MaxSubscriptions, SoftwareVersion: version, Logger: i.log, Registerer: reg},
		ConnectionRequest: translate.ConnectionRequest{
			Credentials: func(id usp.EndpointID) (string, string) { return i.live.credentials.Load().connectionRequest(id) },
			Timeout:     time.Duration(cr.Timeout), Client: &connreq.Client{Rules: rules, Basic: cr.Basic}},
		Provision:           i.provision(c),
		Linger:              time.Duration(c.CWMP.Session.Linger),
		MaxAge:              time.Duration(c.Cache.MaxAge),
		ExpireAfter:         time.Duration(c.Operations.ExpireAfter),
		ServeStale:          time.Duration(c.Cache.ServeStale),
		PollInterval:        time.Duration(c.Notifications.PollInterval),
		MaxDevices:          c.CWMP.MaxDevices,
		NewDevicesPerSecond: c.CWMP.NewDevicesPerSecond,
		Logger:              i.log,
		Registerer:          reg,
		Quirks:              c.CWMP.Quirks,
		LegacyTree:          namesLegacy(c),
		Relay:               i.relay,
	}
	if l := i.listeners.udp; l != nil {
		i.udp = connreq.NewUDP(l, connreq.UDPOptions{Rules: rules, Logger: i.log, Registerer: reg})
		o.ConnectionRequest.UDP = i.udp
	}
	if i.xmpp != nil {
		o.ConnectionRequest.XMPP = i.xmpp
	}
	o.Rules = ageRules(c)
	return o
}

func ageRules(c *config.Config) (rules []translate.AgeRule) {
	for _, r := range c.Cache.Rules {
		rules = append(rules, translate.AgeRule{Path: r.Path, MaxAge: time.Duration(r.MaxAge)})
	}
	return rules
}

func (i *instance) provision(c *config.Config) translate.Provision {
	p := &c.CWMP.Provision
	return translate.Provision{ConnectionRequest: p.ConnectionRequest, Credentials: p.Credentials,
		HasCredentials: func(id usp.EndpointID) bool { return i.live.credentials.Load().own(id) }, PeriodicInformInterval: time.Duration(p.PeriodicInformInterval),
		SpreadPeriodicInform: p.SpreadPeriodicInform}
}

func prefixes(list []config.Prefix) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, p.Prefix)
	}
	return out
}

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

// namesLegacy says whether a role of the configuration names the CPE's own trees.
func namesLegacy(c *config.Config) bool {
	for _, permissions := range c.USP.Roles {
		for _, p := range permissions {
			if slices.ContainsFunc(p.Targets, agent.Legacy) {
				return true
			}
		}
	}
	return false
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

// xmppClient is nil where no account is configured.
func xmppClient(c *config.XMPP, log *slog.Logger, reg prometheus.Registerer) (*connreq.XMPP, error) {
	if c.JID == "" {
		return nil, nil
	}
	t, err := clientTLS(&config.ClientTLS{CAFile: c.CAFile})
	if err != nil {
		return nil, err
	}
	return connreq.NewXMPP(connreq.XMPPOptions{Options: xmpp.Options{Server: c.Server, JID: c.JID, Password: string(c.Password), TLS: t},
		Domains: c.Domains, Logger: log, Registerer: reg}), nil
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
