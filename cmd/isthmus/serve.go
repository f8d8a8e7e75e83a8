package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"isthmus/cmd/isthmus/config"
)

type serveCmd struct {
	Config string `placeholder:"FILE" help:"Configuration file (YAML); without one the defaults hold."`
}

// errKilled is the end by a second signal.
var errKilled = errors.New("ended at once by a second signal: what was in flight is lost, what was acknowledged is not")

func (s *serveCmd) Run(a *app) error {
	c, unknown, err := config.Load(s.Config, a.environ)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	log := logger(&c.Log, level, a.stderr)
	for _, name := range unknown {
		log.Debug("environment variable is no key of isthmus", "name", name)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	usual := collectOften()
	defer usual()
	i, err := start(a.ctx, c, log)
	if err != nil {
		return err
	}
	started := time.After(startTime)
	warn(c, log)
	log.Info("serving", "version", version, "cwmp", address(i.listeners.cwmp), "cwmp_tls", address(i.listeners.secureCWMP), "cwmp_legacy_tls", address(i.listeners.legacyCWMP),
		"udp", i.listeners.udpAddress(),
		"websocket", address(i.listeners.ws), "admin", address(i.listeners.admin), "devices", i.proxy.Len(), "controllers", len(c.USP.Controllers))
	var cause error
	for serving := true; serving; {
		select {
		case <-hangup:
			i.hangup(s.Config, a.environ, level)
			continue
		case <-started:
			usual()
			continue
		case s := <-signals:
			log.Info("stopping", "signal", s.String())
		case cause = <-i.failed:
			cause = fmt.Errorf("a listener ended: %w", cause)
		case <-a.ctx.Done():
			cause = a.ctx.Err()
		}
		serving = false
	}
	ended := make(chan error, 1)
	go func() { ended <- i.stop(context.WithoutCancel(a.ctx)) }()
	select {
	case err := <-ended:
		if err == nil && cause == nil {
			log.Info("stopped")
		}
		return errors.Join(cause, err)
	case <-signals:
		return errKilled
	}
}

func setLevel(v *slog.LevelVar, name string) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(name)); err == nil { // config has checked it
		v.Set(level)
	}
}

func logger(c *config.Log, level *slog.LevelVar, w io.Writer) *slog.Logger {
	setLevel(level, c.Level)
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// warn tells what is allowed but may not be meant.
func warn(c *config.Config, log *slog.Logger) {
	for key, at := range map[string]config.Address{"cwmp.listen": c.CWMP.Listen, "cwmp.tls.listen": c.CWMP.TLS.Listen, "cwmp.legacy_tls.listen": c.CWMP.LegacyTLS.Listen} {
		if at != "" && !at.Loopback() && c.CWMP.Auth.Mode == "none" {
			log.Warn("any CPE is let in: cwmp.auth.mode is none on an address that others can reach", "key", key, "listen", at)
		}
	}
	if c.CWMP.LegacyTLS.Listen != "" {
		log.Warn("CPE may use broken encryption: cwmp.legacy_tls is on", "listen", c.CWMP.LegacyTLS.Listen)
	}
	if c.CWMP.TLS.ClientCAFile != "" && !c.CWMP.Auth.Certificate() {
		log.Warn("cwmp.tls.client_ca_file is not used: cwmp.auth.mode asks for no certificate", "mode", c.CWMP.Auth.Mode)
	}
	if s := &c.USP.WebSocketServer; s.Listen != "" && !s.Listen.Loopback() && s.TrustEndpointID {
		log.Warn("any Controller is believed to be who it says: usp.websocket_server.trust_endpoint_id on an address that others can reach", "listen", s.Listen)
	}
	if cr := &c.CWMP.ConnectionRequest; cr.UDPListen != "" && cr.Username == "" && c.CWMP.Auth.CredentialsFile == "" && !c.CWMP.Provision.ConnectionRequest {
		log.Warn("no CPE can be sent a UDP Connection Request: it is signed, and cwmp.connection_request has no username and password")
	}
	if len(c.USP.Controllers) == 0 {
		log.Warn("no Controller is configured: set usp.controllers to have the Agents report to one")
	}
}
