package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"isthmus/cmd/isthmus/admin"
	"isthmus/cmd/isthmus/config"
	"isthmus/cmd/isthmus/telemetry"
	"isthmus/cwmp"
	"isthmus/cwmp/connreq"
	"isthmus/store/badger"
	"isthmus/translate"
	filerelay "isthmus/translate/relay"
	"isthmus/usp/mtp/websocket"
)

// How long the parts may take to end; together they stay below the 6 s that an operator is promised.
const (
	sessionGrace = 4 * time.Second // of RPCs in flight
	sessionStop  = sessionGrace + 300*time.Millisecond
	agentStop    = 500 * time.Millisecond
	mtpStop      = 400 * time.Millisecond
	adminStop    = 200 * time.Millisecond
	relayStop    = 100 * time.Millisecond
)

// instance is a running proxy: all its parts, wired.
type instance struct {
	log       *slog.Logger
	metrics   *prometheus.Registry
	listeners listeners
	issue     issuer
	store     *badger.Store
	proxy     *translate.Proxy
	acs       *cwmp.Server
	udp       *connreq.UDP  // nil: off
	xmpp      *connreq.XMPP // nil: off
	stopXMPP  context.CancelFunc
	pools     pools
	ws        *websocket.Server
	admin     *admin.Server
	relay     *filerelay.Relay    // nil: off
	telemetry *telemetry.Exporter // nil: off

	stopping atomic.Bool
	live     *liveConfig
	failed   chan error // the first part that ended unasked
	serving  sync.WaitGroup
}

// start opens what the configuration says and serves until stop. ctx must outlive stop.
func start(ctx context.Context, c *config.Config, log *slog.Logger) (*instance, error) {
	i := &instance{log: log, live: newLive(c), failed: make(chan error, 1)}
	if err := i.open(ctx, c); err != nil {
		return nil, errors.Join(err, i.stop(ctx))
	}
	return i, nil
}

func (i *instance) open(ctx context.Context, c *config.Config) (err error) {
	if c.CWMP.DataModels != nil {
		c.CWMP.DataModels.Use()
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(), i.readiness(), certificateExpiry{i.live})
	i.metrics = reg
	if i.store, err = badger.Open(c.DataDir, &badger.Options{Logger: i.log, Registerer: reg}); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if err := i.listeners.open(ctx, c); err != nil {
		return err
	}
	cwmpTLS, err := i.live.listen("cwmp.tls", c, func(c *config.Config) (*tls.Config, error) { return serverTLS(&c.CWMP.TLS.ServerTLS, cwmpClientCA(c)) })
	if err != nil {
		return err
	}
	cwmpLegacyTLS, err := i.live.listen("cwmp.legacy_tls", c, func(c *config.Config) (*tls.Config, error) {
		return legacyTLS(&c.CWMP.LegacyTLS.ServerTLS, cwmpClientCA(c))
	})
	if err != nil {
		return err
	}
	wsTLS, err := i.live.listen("usp.websocket_server.tls", c, webSocketTLS)
	if err != nil {
		return err
	}
	adminTLS, err := i.live.listen("admin.tls", c, func(c *config.Config) (*tls.Config, error) {
		return serverTLS(&c.Admin.TLS.ServerTLS, c.Admin.TLS.ClientCAFile)
	})
	if err != nil {
		return err
	}
	if i.issue, err = i.live.issuer(&c.USP.Identity); err != nil {
		return fmt.Errorf("usp.identity: %w", err)
	}
	if err := i.live.register(reg); err != nil {
		return err
	}
	share := shareOut(descriptorLimit())
	agents, err := i.dialControllers(ctx, c, reg, share)
	if err != nil {
		return err
	}
	cas, err := certificates(c.USP.WebSocketServer.TLS.ClientCAFile)
	if err != nil {
		return fmt.Errorf("usp.websocket_server.tls: %w", err)
	}
	if i.xmpp, err = xmppClient(&c.CWMP.ConnectionRequest.XMPP, i.log, reg); err != nil {
		return fmt.Errorf("cwmp.connection_request.xmpp: %w", err)
	}
	if i.relay, err = i.newRelay(ctx, c, reg); err != nil {
		return fmt.Errorf("transfers: %w", err)
	}
	options := i.proxyOptions(c, agents, cas, reg)
	if to := c.Telemetry.OTLPEndpoint; to != "" {
		if i.telemetry, err = telemetry.New(ctx, telemetry.Options{Endpoint: to, Version: version, Logger: i.log, Registerer: reg}); err != nil {
			return fmt.Errorf("telemetry: %w", err)
		}
		options.Traced = i.telemetry.Traced
	}
	if i.proxy, err = translate.New(ctx, options); err != nil {
		return err
	}
	i.acs = cwmp.NewServer(i.proxy, &cwmp.ServerOptions{Logger: i.log, Registerer: reg, Secret: translate.Secret, SessionTimeout: time.Duration(c.CWMP.Session.Timeout),
		ShutdownGrace: sessionGrace, MaxBody: int64(c.CWMP.MaxBody), MaxSessions: share.cwmp,
		Auth: cwmpAuth(&c.CWMP.Auth, i.proxy), TrustedProxies: prefixes(c.CWMP.TrustedProxies)})
	i.ws = websocket.NewServer(i.proxy.Lookup, websocket.ServerOptions{TLS: wsTLS, MaxConnections: share.dialIn,
		TrustEndpointID: c.USP.WebSocketServer.TrustEndpointID, Logger: i.log, Registerer: reg})
	i.admin = admin.New(admin.Options{Fleet: fleet{i.proxy}, Backup: i.backup, Captures: captures{i.proxy, i.acs}, Ready: i.ready, Gatherer: reg, Token: string(c.Admin.Token),
		MetricsPublic: c.Admin.MetricsPublic, TLS: adminTLS, Certificates: c.Admin.TLS.ClientCAFile != "", RequestTimeout: time.Duration(c.USP.RequestTimeout), Log: i.log})
	share.tell(i.log, i.proxy.Len(), connections(agents, c.USP.Controllers), len(c.USP.SourceAddresses))
	i.proxy.Start()
	i.serve(i.listeners.cwmp, i.acs.Serve)
	if l := i.listeners.secureCWMP; l != nil {
		i.serve(tls.NewListener(l, cwmpTLS), i.acs.Serve)
	}
	if l := i.listeners.legacyCWMP; l != nil {
		i.serve(tls.NewListener(l, cwmpLegacyTLS), i.acs.Serve)
	}
	if i.udp != nil {
		i.background(func() error { return i.udp.Serve(i.proxy) })
	}
	if i.xmpp != nil {
		ctx, i.stopXMPP = context.WithCancel(ctx)
		i.background(func() error { i.xmpp.Run(ctx); return nil })
	}
	if i.relay != nil {
		i.serve(i.listeners.transfers, i.relay.Serve)
	}
	i.serve(i.listeners.ws, i.ws.Serve)
	i.serve(i.listeners.admin, i.admin.Serve)
	return nil
}

// serve serves a listener, if there is one.
func (i *instance) serve(l net.Listener, serve func(net.Listener) error) {
	if l != nil {
		i.background(func() error { return serve(l) })
	}
}

// background runs what serves until stop; an end that stop did not ask for is told on failed.
func (i *instance) background(serve func() error) {
	i.serving.Go(func() {
		if err := serve(); err != nil && !i.stopping.Load() {
			select {
			case i.failed <- err:
			default:
			}
		}
	})
}

var errStopping = errors.New("stopping")

// ready is what /readyz says.
func (i *instance) ready() error {
	if i.stopping.Load() {
		return errStopping
	}
	return i.store.Ready()
}

// stop ends everything from outside in: no new sessions, then those that are open, the Agents, their connections, the store. It takes
// less than 6 s; what could not be kept is its error.
func (i *instance) stop(ctx context.Context) error {
	i.stopping.Store(true)
	within := func(d time.Duration, f func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return f(ctx)
	}
	var errs []error
	if i.proxy != nil {
		i.proxy.Stop()
	}
	if i.acs != nil {
		if err := within(sessionStop, i.acs.Shutdown); err != nil {
			i.log.Warn("some CWMP sessions were cut", "err", err)
		}
	}
	if i.relay != nil {
		if err := within(relayStop, i.relay.Shutdown); err != nil {
			i.log.Info("transfers with CPE were cut", "err", err)
		}
	}
	if i.proxy != nil {
		if err := within(agentStop, i.proxy.Close); err != nil {
			errs = append(errs, fmt.Errorf("keeping what the Agents know: %w", err))
		}
	}
	_ = within(mtpStop, func(ctx context.Context) error {
		var wg sync.WaitGroup
		wg.Go(func() { i.pools.close(ctx) })
		if i.ws != nil {
			wg.Go(func() { i.ws.Shutdown(ctx) })
		}
		if i.telemetry != nil {
			wg.Go(func() {
				if err := i.telemetry.Shutdown(ctx); err != nil {
					i.log.Info("some traces were not sent", "err", err)
				}
			})
		}
		wg.Wait()
		return nil
	})
	if i.admin != nil {
		if err := within(adminStop, i.admin.Shutdown); err != nil {
			i.log.Debug("requests at the admin address were cut", "err", err)
		}
	}
	if i.stopXMPP != nil {
		i.stopXMPP()
	}
	errs = append(errs, i.listeners.close())
	i.serving.Wait()
	if i.store != nil {
		errs = append(errs, i.store.Close())
	}
	return errors.Join(errs...)
}
