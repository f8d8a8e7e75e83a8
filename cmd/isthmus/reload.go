package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/cmd/isthmus/config"
	"isthmus/translate"
	"isthmus/usp"
	"isthmus/usp/identity"
	"isthmus/usp/mtp"
)

// liveConfig is what of the configuration is replaced while the proxy runs: credentials, certificates and rules. What has a reload tag in package config is
// here. Each part is swapped as a whole: a request has the old or the new.
type liveConfig struct {
	started     *config.Config // of what needs a restart
	now         atomic.Pointer[config.Config]
	credentials atomic.Pointer[credentials]
	identity    atomic.Pointer[identity.CA]
	listeners   []*liveTLS
	clients     []*liveCertificate

	successful prometheus.Gauge
	at         prometheus.Gauge
}

// liveTLS is a listener's.
type liveTLS struct {
	key  string // of the configuration
	make func(*config.Config) (*tls.Config, error)
	now  atomic.Pointer[tls.Config]
}

// liveCertificate is what a Controller of the configuration is shown.
type liveCertificate struct {
	controller int
	now        atomic.Pointer[tls.Certificate]
}

func newLive(c *config.Config) *liveConfig {
	l := &liveConfig{started: c,
		successful: prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_config_last_reload_successful", Help: "Whether the last reload of the configuration succeeded, or none has been asked for."}),
		at:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "isthmus_config_last_reload_success_timestamp_seconds", Help: "When the configuration in force was read."})}
	l.now.Store(c)
	l.credentials.Store(credentialsOf(&c.CWMP))
	l.told(nil)
	return l
}

func (l *liveConfig) register(reg prometheus.Registerer) error {
	return errors.Join(reg.Register(l.successful), reg.Register(l.at))
}

// told keeps how a reload ended.
func (l *liveConfig) told(err error) {
	if err != nil {
		l.successful.Set(0)
		return
	}
	l.successful.Set(1)
	l.at.SetToCurrentTime()
}

// controller is an entry of usp.controllers as it is now.
func (l *liveConfig) controller(n int) *config.Controller { return &l.now.Load().USP.Controllers[n] }

// passwordOf replaces the password that an entry began with by the one that it has now, and leaves others alone: they are not the entry's.
func passwordOf(first config.Secret, now func() config.Secret) func(mtp.Secret) mtp.Secret {
	return func(targets mtp.Secret) mtp.Secret {
		if string(targets) != string(first) {
			return targets
		}
		return mtp.Secret(now())
	}
}

// listen makes the TLS configuration of a listener, nil where it has none.
func (l *liveConfig) listen(key string, c *config.Config, with func(*config.Config) (*tls.Config, error)) (*tls.Config, error) {
	t, err := with(c)
	if t == nil || err != nil {
		return nil, err
	}
	at := &liveTLS{key: key, make: with}
	at.now.Store(t)
	l.listeners = append(l.listeners, at)
	return &tls.Config{MinVersion: t.MinVersion, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return at.now.Load(), nil }}, nil
}

// dial makes the TLS configuration that Controller n of the configuration is dialled with, nil for the system's roots alone.
func (l *liveConfig) dial(n int, c *config.ClientTLS) (*tls.Config, error) {
	t, err := clientTLS(c)
	if t == nil || err != nil || len(t.Certificates) == 0 {
		return t, err
	}
	own := &liveCertificate{controller: n}
	own.now.Store(&t.Certificates[0])
	l.clients = append(l.clients, own)
	t.Certificates = nil
	t.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if c := own.now.Load(); r.SupportsCertificate(c) == nil {
			return c, nil
		}
		return new(tls.Certificate), nil // none, as crypto/tls itself would
	}
	return t, nil
}

// issuer gives Agents certificates by the CA that is configured now, nil where none is.
func (l *liveConfig) issuer(c *config.Identity) (issuer, error) {
	ca, err := identityCA(c)
	if ca == nil || err != nil {
		return nil, err
	}
	l.identity.Store(ca)
	return func(id usp.EndpointID) (*tls.Certificate, error) { return l.identity.Load().Certificate(id) }, nil
}

// reload puts a configuration into force as far as that needs no restart. After an error nothing has changed.
func (i *instance) reload(c *config.Config) (err error) {
	l := i.live
	defer func() { l.told(err) }()
	old := l.now.Load()
	changed, _ := c.Changes(old)
	_, restart := c.Changes(l.started)
	same := sameControllers(c, l.started)
	if !same {
		c.USP.Controllers = old.USP.Controllers // all of them need the restart
	}

	// First everything that can fail, then everything at once.
	var swap []func()
	for _, at := range l.listeners {
		t, err := at.make(c)
		if err != nil {
			return err
		}
		if t != nil {
			swap = append(swap, func() { at.now.Store(t) })
		}
	}
	for _, own := range l.clients {
		t, err := clientTLS(&c.USP.Controllers[own.controller].TLS)
		if err != nil {
			return fmt.Errorf("usp.controllers[%d].tls: %w", own.controller, err)
		}
		if t != nil && len(t.Certificates) > 0 {
			swap = append(swap, func() { own.now.Store(&t.Certificates[0]) })
		}
	}
	ca, err := identityCA(&c.USP.Identity)
	if err != nil {
		return fmt.Errorf("usp.identity: %w", err)
	}
	if ca != nil && l.identity.Load() != nil {
		swap = append(swap, func() { l.identity.Store(ca) })
	}
	for _, f := range swap {
		f()
	}
	l.now.Store(c)
	l.credentials.Store(credentialsOf(&c.CWMP))
	i.acs.SetCredentials(cwmpAuth(&c.CWMP.Auth, i.proxy))
	i.admin.SetToken(string(c.Admin.Token))
	i.proxy.SetAges(time.Duration(c.Cache.MaxAge), ageRules(c))
	if errors.Is(i.proxy.SetQuirks(c.CWMP.Quirks), translate.ErrMappings) {
		restart = append(restart, "cwmp.quirks_file (with its other mappings the profiles stay as they were)")
	}
	i.log.Info("configuration reloaded: credentials, certificates and rules are as it says", "changed", strings.Join(changed, " "))
	if len(restart) > 0 {
		i.log.Warn("restart isthmus for what else the configuration changes", "keys", strings.Join(restart, " "))
	}
	return nil
}

// sameControllers says whether the entries of both are the same Controllers over the same MTPs.
func sameControllers(c, other *config.Config) bool {
	a, b := c.USP.Controllers, other.USP.Controllers
	if len(a) != len(b) {
		return false
	}
	for n := range a {
		if a[n].EndpointID != b[n].EndpointID || (a[n].MQTT == nil) != (b[n].MQTT == nil) || (a[n].STOMP == nil) != (b[n].STOMP == nil) {
			return false
		}
	}
	return true
}

// hangup reads the configuration again (SIGHUP). One that is wrong changes nothing.
func (i *instance) hangup(file string, environ []string, level *slog.LevelVar) {
	c, _, err := config.Load(file, environ)
	if err != nil {
		i.live.told(err)
	} else {
		err = i.reload(c)
	}
	if err == nil {
		setLevel(level, c.Log.Level)
		return
	}
	i.log.Error("the configuration was NOT reloaded: the old one stays in force until what follows is repaired and SIGHUP is sent again")
	var problems config.Problems
	if !errors.As(err, &problems) {
		i.log.Error("configuration", "err", err)
	}
	for _, p := range problems {
		i.log.Error("configuration", "err", p)
	}
}
