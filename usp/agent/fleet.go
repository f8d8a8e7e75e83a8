package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/profile"
	"isthmus/usp/usppb"
)

// Options are what the Agents of a process share. The zero value works: no Controllers, and the defaults named here.
type Options struct {
	// Controllers are rows of every Agent's Controller table.
	Controllers []ControllerConfig
	// Roles are rows of every Agent's ControllerTrust.Role. table, after FullAccess and Untrusted.
	Roles []Role
	// CAs are those whose certificates prove who any Controller is. They, and those of ControllerConfig, are rows of every Agent's Certificate table.
	CAs []*x509.Certificate
	// Certificate gives an Agent's own certificate, ECDSA P-256, which signs what the MTP does not protect and is shown where payloads are protected by
	// TLS; nil where Agents have none.
	Certificate func(usp.EndpointID) (*tls.Certificate, error)
	// RequestTimeout is the time within which a request is answered; 0 stands for 30 s.
	RequestTimeout time.Duration
	// MaxSubscriptions is how many Subscriptions one Controller may have at one Agent; 0 stands for 1000.
	MaxSubscriptions int
	// Dialer connects the Agents with the Controllers of their tables; nil: Controllers only dial in.
	Dialer mtp.Dialer
	// Server is where Controllers dial in, nil if nowhere.
	Server *ServerConfig
	// SoftwareVersion is the value of Device.LocalAgent.SoftwareVersion.
	SoftwareVersion string
	// Observer, if there is one, sees every request and its answer.
	Observer Observer
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
	// Registerer takes the metrics, if there is one.
	Registerer prometheus.Registerer
}

// ControllerConfig is a Controller that the configuration names.
type ControllerConfig struct {
	EndpointID usp.EndpointID
	// Role is the name of the Controller's Role, FullAccess if empty. With one that there is not the Controller has the untrusted Role.
	Role string
	MTP  MTPConfig
	// Profile is how far its faults are humoured; nil: not at all.
	Profile *profile.Profile
	// CAs are those whose certificates prove that it is this Controller.
	CAs []*x509.Certificate
	// OnlyDialsIn says that there is no MTP to reach the Controller by.
	OnlyDialsIn bool
}

// MTPConfig is shown as the Controller's MTP row.
type MTPConfig struct {
	Protocol         string // "WebSocket", which "" stands for
	Host             string
	Port             int
	Path             string
	EnableEncryption bool
	MQTT             *MQTTConfig  // with Protocol "MQTT"
	STOMP            *STOMPConfig // with Protocol "STOMP"
}

// ServerConfig is shown in the Agent's own WebSocket MTP row.
type ServerConfig struct {
	Port             int
	Path             string // "{endpoint_id}" stands for the Agent's own, path-escaped
	EnableEncryption bool
}

// Observer is told of every request. It may put something in the context that the DataModel gets; the function it returns is called with the
// response, nil if there is none, and gives the ID of the trace that the metrics are to point to, "" if to none.
type Observer interface {
	Exchange(ctx context.Context, agent, from usp.EndpointID, req *usppb.Msg) (context.Context, func(resp *usppb.Msg) (trace string))
}

const (
	defaultTimeout          = 30 * time.Second
	defaultMaxSubscriptions = 1000
	webSocket               = "WebSocket"
	// maxLoaded is how many Agents may be loaded without need; beyond it one is dropped as soon as it has nothing to do.
	maxLoaded = 1024
)

// Fleet is what all Agents of a process share: options, the rows that the configuration gives every Agent, and the due queue.
type Fleet struct {
	opts Options
	log  *slog.Logger
	base *rowSet
	// targets are whom base has every Agent dial.
	targets []mtp.Target
	// profiles are those that are not strict.
	profiles map[usp.EndpointID]*profile.Profile
	// certificates are those of the configuration, by their rows.
	certificates map[string]*x509.Certificate
	protocols    string
	started      time.Time
	metrics      *metrics
	due          dueQueue
	loaded       atomic.Int64 // Agents
}

// NewFleet makes a Fleet. Its Agents work at once; what is due later needs Run.
func NewFleet(opts Options) *Fleet {
	if opts.RequestTimeout == 0 {
		opts.RequestTimeout = defaultTimeout
	}
	if opts.MaxSubscriptions == 0 {
		opts.MaxSubscriptions = defaultMaxSubscriptions
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	f := &Fleet{opts: opts, log: opts.Logger, base: newRowSet(), started: time.Now(), metrics: newMetrics(opts.Registerer),
		certificates: map[string]*x509.Certificate{}, profiles: map[usp.EndpointID]*profile.Profile{}}
	f.base.run = itoa(f.started.UnixNano())
	f.due.init()
	f.addRoles(opts.Roles)
	f.addCertificates(opts)
	var protocols []string
	for _, c := range opts.Controllers {
		if p := c.MTP.protocol(); !c.OnlyDialsIn && !slices.Contains(protocols, p) {
			protocols = append(protocols, p)
		}
	}
	if (len(protocols) == 0 || opts.Server != nil) && !slices.Contains(protocols, webSocket) {
		protocols = append(protocols, webSocket)
	}
	if slices.Contains(protocols, webSocket) {
		f.addWebSocketMTP()
	}
	for _, c := range opts.Controllers {
		f.addController(c)
		if c.Profile != nil && c.Profile != profile.Find("strict") {
			f.profiles[c.EndpointID] = c.Profile
		}
	}
	f.targets = f.base.targets()
	if d, ok := opts.Dialer.(mtp.Dialers); ok { // by which Controllers can be added
		for _, p := range slices.Sorted(maps.Keys(d)) {
			if !slices.Contains(protocols, p) {
				protocols = append(protocols, p)
			}
		}
	}
	f.protocols = strings.Join(protocols, ",")
	return f
}

func (m MTPConfig) protocol() string {
	if m.Protocol == "" {
		return webSocket
	}
	return m.Protocol
}

func (f *Fleet) addController(c ControllerConfig) {
	n := itoa(len(f.base.index[controllerTable]) + 1)
	path := controllerTable + n + "."
	f.base.put(path, map[string]string{"Alias": "cpe-" + n, "EndpointID": string(c.EndpointID), "Enable": "true", fleetMark: "1",
		"AssignedRole": f.base.roleNamed(cmp.Or(c.Role, FullAccess))})
	if c.OnlyDialsIn {
		return
	}
	f.base.put(path+"MTP.1.", map[string]string{"Alias": "cpe-1", "Enable": "true", "Protocol": c.MTP.protocol()})
	switch c.MTP.protocol() {
	case mqttMTP:
		f.base.put(path+"MTP.1."+mqttName, map[string]string{"AgentMTPReference": f.addClient(c.EndpointID, &c.MTP), "Topic": c.MTP.MQTT.ControllerTopic})
	case stompMTP:
		f.base.put(path+"MTP.1."+stompName, map[string]string{"Reference": f.addConnection(c.EndpointID, &c.MTP), "Destination": c.MTP.STOMP.ControllerDestination})
	case webSocket:
		f.base.put(path+"MTP.1.WebSocket.", map[string]string{"Host": c.MTP.Host, "Port": itoa(c.MTP.Port), "Path": c.MTP.Path,
			"EnableEncryption": formatBool(c.MTP.EnableEncryption)})
	}
}

func formatBool(b bool) string {
	if b {
		return "true"
	}
	return "false"
}
