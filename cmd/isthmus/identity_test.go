package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/identity/identitytest"
	"isthmus/usp/usppb"
)

// TestIdentity: behind usp.identity each Agent shows a certificate of its own to a Controller that it dials (R-SEC.10, R-WS.22). The Controller's
// names its Endpoint ID; so does that of one that dials in, and its CA is in the Agents' trust store.
func TestIdentity(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	agents, controllers := identitytest.Root(t, "agents"), identitytest.Root(t, "controllers")
	var mu sync.Mutex
	shown := map[string]bool{}
	away := func(c *x509.Certificate) { c.IPAddresses = nil } // it names the Controller, and not the host
	c := controller.New(ctx, controller.Options{EndpointID: demoController, Logger: log, TLS: &tls.Config{
		Certificates: []tls.Certificate{*controllers.Issue(t, demoController, away)}, ClientCAs: agents.Pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		VerifyConnection: func(s tls.ConnectionState) error {
			mu.Lock()
			defer mu.Unlock()
			shown[s.PeerCertificates[0].URIs[0].String()] = true
			return nil
		}}})
	defer c.Close(ctx)
	at, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := demoConfig(filepath.Join(dir, "data"), overWebSocket(at))
	cfg.USP.Identity.CACertFile, cfg.USP.Identity.CAKeyFile = identitytest.Files(t, dir, "agents", agents.Cert, agents.Key)
	ca, _ := identitytest.Files(t, dir, "controllers", controllers.Cert, controllers.Key)
	cfg.USP.Controllers[0].TLS.CAFile = ca
	server := agents.Issue(t, "")
	ws := &cfg.USP.WebSocketServer
	ws.Listen, ws.TLS.ClientCAFile = "127.0.0.1:0", ca
	ws.TLS.CertFile, ws.TLS.KeyFile = identitytest.Files(t, dir, "server", server.Leaf, server.PrivateKey)
	cfg.USP.Controllers = append(cfg.USP.Controllers, config.Controller{EndpointID: "proto::second", Role: "full_access"})
	signed := make(chan *usppb.Record, 64)
	plain := controller.New(ctx, controller.Options{EndpointID: "proto::plain", Logger: log, Observe: func(d controller.Direction, r *usppb.Record, _ *usppb.Msg) {
		if d == controller.In {
			select {
			case signed <- r:
			default:
			}
		}
	}})
	defer plain.Close(ctx)
	if at, err = plain.Listen(ctx, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	cfg.USP.Controllers = append(cfg.USP.Controllers, config.Controller{EndpointID: "proto::plain", Role: "full_access", WebSocket: &config.WebSocket{URL: at}})
	i, err := start(ctx, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := i.stop(ctx); err != nil {
			t.Error(err)
		}
	}()

	var ids []usp.EndpointID
	for _, serial := range []string{"S-1", "S-2"} {
		id := cwmp.DeviceID{Manufacturer: "Example", OUI: "00D09E", ProductClass: "Gateway", SerialNumber: serial}
		device := cpe.New(cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: id, Logger: log})
		power, off := context.WithCancel(ctx)
		down := make(chan error, 1)
		go func() { down <- device.Run(power) }()
		defer func() {
			off()
			if err := <-down; err != nil {
				t.Error(err)
			}
		}()
		agent, _, err := usp.AgentEndpointID(id.OUI, id.ProductClass, id.SerialNumber)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, agent)
	}
	for _, id := range ids {
		if err := c.Agent(id).WaitConnects(ctx, 1); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if !shown[id.URN()] {
			t.Errorf("%s has shown no certificate of its own: %v", id, shown)
		}
		mu.Unlock()
	}
	// Without TLS they sign with it (R-E2E.29).
	if err := plain.Agent(ids[0]).WaitConnects(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if r := <-signed; len(r.GetMacSignature()) == 0 || len(r.GetSenderCert()) == 0 {
		t.Errorf("not signed: %v", r)
	}

	second := controller.New(ctx, controller.Options{EndpointID: "proto::second", Logger: log, TLS: &tls.Config{RootCAs: agents.Pool(), MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return controllers.Issue(t, "proto::second"), nil
		}}})
	defer second.Close(ctx)
	if err := second.Dial(ctx, "wss://"+i.listeners.ws.Addr().String()+"/agent/"+url.PathEscape(string(ids[0])), ids[0]); err != nil {
		t.Fatal(err)
	}
	r, err := second.Agent(ids[0]).Get(ctx, 0, "Device.LocalAgent.Certificate.*.Issuer")
	if err != nil {
		t.Fatal(err)
	}
	rows := r.GetReqPathResults()[0].GetResolvedPathResults()
	if len(rows) != 1 || rows[0].GetResultParams()["Issuer"] != "CN=controllers" {
		t.Errorf("the trust store is %v", rows)
	}
}
