// Package config reads the configuration of isthmus: a YAML file, laid over by environment variables, checked as a whole. It is
// strict: everything that is wrong is told at once, each with its place and what to do about it.
//
// The structs below are the configuration file. The tag oneof lists the values of a key, built those of them that this version
// has; a key tagged later belongs to a later version and is refused unless it has its default.
package config

import (
	"time"

	"isthmus/translate/datamodel"
	"isthmus/translate/quirks"
	"isthmus/usp/agent"
)

// Config is the whole configuration.
type Config struct {
	DataDir       string        `yaml:"data_dir"`
	Log           Log           `yaml:"log"`
	CWMP          CWMP          `yaml:"cwmp"`
	USP           USP           `yaml:"usp"`
	Cache         Cache         `yaml:"cache"`
	Operations    Operations    `yaml:"operations"`
	Notifications Notifications `yaml:"notifications"`
	Telemetry     Telemetry     `yaml:"telemetry" later:""`
	Transfers     Transfers     `yaml:"transfers"`
	Admin         Admin         `yaml:"admin"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level" oneof:"debug,info,warn,error"`
	Format string `yaml:"format" oneof:"text,json"`
}

// CWMP is the side of the CPE.
type CWMP struct {
	Listen              Address           `yaml:"listen"`
	TLS                 ListenTLS         `yaml:"tls"`
	LegacyTLS           LegacyTLS         `yaml:"legacy_tls"`
	TrustedProxies      []Prefix          `yaml:"trusted_proxies"`
	MaxDevices          int               `yaml:"max_devices"`
	NewDevicesPerSecond int               `yaml:"new_devices_per_second"`
	MaxBody             Size              `yaml:"max_body"`
	Auth                Auth              `yaml:"auth"`
	ConnectionRequest   ConnectionRequest `yaml:"connection_request"`
	Provision           Provision         `yaml:"provision"`
	Session             Session           `yaml:"session"`
	QuirksFile          string            `yaml:"quirks_file"`
	DataModelFiles      []string          `yaml:"data_model_files"`

	Quirks     *quirks.Table        `yaml:"-"` // what QuirksFile holds, over the default
	DataModels *datamodel.Extension `yaml:"-"` // what DataModelFiles hold, nil without any
}

// ServerTLS is the certificate of a listener.
type ServerTLS struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// ListenTLS is a TLS listener of its own.
type ListenTLS struct {
	Listen       Address `yaml:"listen"`
	ServerTLS    `yaml:",inline"`
	ClientCAFile string `yaml:"client_ca_file"`
}

// MutualTLS is the certificate of a listener and the CA of those that clients may show.
type MutualTLS struct {
	ServerTLS    `yaml:",inline"`
	ClientCAFile string `yaml:"client_ca_file"`
}

// LegacyTLS is a listener for CPE that know only old TLS.
type LegacyTLS struct {
	Listen    Address `yaml:"listen"`
	ServerTLS `yaml:",inline"`
}

// Auth says how a CPE proves who it is.
type Auth struct {
	Mode            string `yaml:"mode" oneof:"none,basic,digest,certificate,certificate+basic,certificate+digest"`
	Username        string `yaml:"username"`
	Password        Secret `yaml:"password"`
	PasswordFile    string `yaml:"password_file"`
	CredentialsFile string `yaml:"credentials_file"`

	Credentials []Credential `yaml:"-"` // what CredentialsFile holds
}

// ConnectionRequest says how a CPE is asked to open a session.
type ConnectionRequest struct {
	Username     string   `yaml:"username"`
	Password     Secret   `yaml:"password"`
	PasswordFile string   `yaml:"password_file"`
	Timeout      Duration `yaml:"timeout"`
	Allow        []Prefix `yaml:"allow"`
	Basic        bool     `yaml:"basic"`
	UDPListen    Address  `yaml:"udp_listen"`
	XMPP         XMPP     `yaml:"xmpp"`
}

// XMPP is the account for Connection Requests over XMPP; without JID there is none. Domains are those of CPE besides the account's own.
type XMPP struct {
	Server       string   `yaml:"server"`
	JID          string   `yaml:"jid"`
	Password     Secret   `yaml:"password"`
	PasswordFile string   `yaml:"password_file"`
	CAFile       string   `yaml:"ca_file"`
	Domains      []string `yaml:"domains"`
}

// Provision is what isthmus writes to a CPE unasked.
type Provision struct {
	ConnectionRequest      bool     `yaml:"connection_request"`
	Credentials            bool     `yaml:"credentials"`
	PeriodicInformInterval Duration `yaml:"periodic_inform_interval"`
	SpreadPeriodicInform   bool     `yaml:"spread_periodic_inform"`
}

// Session bounds a CWMP session.
type Session struct {
	Linger  Duration `yaml:"linger"`
	Timeout Duration `yaml:"timeout"`
}

// USP is the side of the Controllers.
type USP struct {
	Controllers      []Controller            `yaml:"controllers"`
	AddedControllers AddedControllers        `yaml:"added_controllers"`
	Identity         Identity                `yaml:"identity"`
	SourceAddresses  []Addr                  `yaml:"source_addresses"`
	Roles            map[string][]Permission `yaml:"roles"`
	RequestTimeout   Duration                `yaml:"request_timeout"`
	WebSocketServer  WebSocketServer         `yaml:"websocket_server"`
}

// AddedControllers are those that Controllers add to an Agent's tables, to be dialled. With Allow empty they may be anywhere but at multicast,
// link-local and loopback addresses; never at a listener of isthmus.
type AddedControllers struct {
	Allow  []Prefix `yaml:"allow"`
	CAFile string   `yaml:"ca_file"`
}

// Permission is what a role may do with what Targets name. Without order it has one more than the entry before it.
type Permission struct {
	Order           int      `yaml:"order"`
	Targets         []string `yaml:"targets"`
	Param           string   `yaml:"param"`
	Obj             string   `yaml:"obj"`
	InstantiatedObj string   `yaml:"instantiated_obj"`
	CommandEvent    string   `yaml:"command_event"`
}

// Controller is a Controller that every Agent reports to. At most one of WebSocket, MQTT and STOMP is set.
type Controller struct {
	EndpointID  string     `yaml:"endpoint_id"`
	Profile     string     `yaml:"profile" oneof:"strict,oktopus-ws,oktopus-mqtt,openusp"`
	Role        string     `yaml:"role"`
	CycleOnBoot bool       `yaml:"cycle_on_boot"`
	TLS         ClientTLS  `yaml:"tls"`
	WebSocket   *WebSocket `yaml:"websocket"`
	MQTT        *MQTT      `yaml:"mqtt"`
	STOMP       *STOMP     `yaml:"stomp"`
}

// ClientTLS is what is shown to, and demanded of, a Controller or broker.
type ClientTLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`
}

// WebSocket is a Controller reached over WebSocket; without URL it is never dialled.
type WebSocket struct {
	URL string `yaml:"url"`
}

// MQTT is a Controller reached through an MQTT broker.
type MQTT struct {
	Broker          string `yaml:"broker"`
	Version         string `yaml:"version" oneof:"5,3.1.1"`
	Username        string `yaml:"username"`
	Password        Secret `yaml:"password"`
	PasswordFile    string `yaml:"password_file"`
	Connection      string `yaml:"connection" oneof:"per_agent,shared"`
	AgentTopic      string `yaml:"agent_topic"`
	ControllerTopic string `yaml:"controller_topic"`
}

// STOMP is a Controller reached through a STOMP broker.
type STOMP struct {
	Broker                string `yaml:"broker"`
	Username              string `yaml:"username"`
	Password              Secret `yaml:"password"`
	PasswordFile          string `yaml:"password_file"`
	VHost                 string `yaml:"vhost"`
	Connection            string `yaml:"connection" oneof:"per_agent,shared" built:"per_agent"`
	AgentDestination      string `yaml:"agent_destination"`
	ControllerDestination string `yaml:"controller_destination"`
}

// Identity is the CA that signs a certificate for each Agent.
type Identity struct {
	CACertFile string `yaml:"ca_cert_file"`
	CAKeyFile  string `yaml:"ca_key_file"`
}

// WebSocketServer is where Controllers connect to the Agents.
type WebSocketServer struct {
	Listen          Address   `yaml:"listen"`
	TLS             MutualTLS `yaml:"tls"`
	TrustEndpointID bool      `yaml:"trust_endpoint_id"`
}

// Cache says how old a value may be that answers a Get.
type Cache struct {
	MaxAge     Duration `yaml:"max_age"`
	Rules      []Rule   `yaml:"rules"`
	ServeStale Duration `yaml:"serve_stale"`
}

// Rule is the age of what one path covers: a path ending in "." what is below it, another one parameter.
type Rule struct {
	Path   string   `yaml:"path"`
	MaxAge Duration `yaml:"max_age"`
}

// Operations bounds asynchronous commands.
type Operations struct {
	ExpireAfter Duration `yaml:"expire_after"`
}

// Notifications says how subscriptions are served. PollInterval 0 compares what a CPE does not report when it informs, and only then.
type Notifications struct {
	PollInterval     Duration `yaml:"poll_interval"`
	MaxSubscriptions int      `yaml:"max_subscriptions"`
}

// Telemetry says where traces go.
type Telemetry struct {
	OTLPEndpoint string `yaml:"otlp_endpoint"`
}

// Transfers is the relay for downloads and uploads. PublicURL is where CPE find Listen; empty: at the address that it says. Allow are networks of the
// operator's that it may fetch from and send to, besides the public ones.
type Transfers struct {
	Listen    Address  `yaml:"listen"`
	PublicURL string   `yaml:"public_url"`
	Allow     []Prefix `yaml:"allow"`
	MaxSize   Size     `yaml:"max_size"`
}

// Admin is the administration address.
type Admin struct {
	Listen        Address   `yaml:"listen"`
	TokenFile     string    `yaml:"token_file"`
	Token         Secret    `yaml:"-"` // what TokenFile holds
	MetricsPublic bool      `yaml:"metrics_public"`
	TLS           MutualTLS `yaml:"tls"`
}

// Default is the configuration of an empty file.
func Default() *Config {
	return &Config{
		DataDir: "isthmus-data",
		Log:     Log{Level: "info", Format: "text"},
		CWMP: CWMP{
			Listen:            ":7547",
			MaxDevices:        200_000,
			MaxBody:           32 << 20,
			Auth:              Auth{Mode: "none"},
			ConnectionRequest: ConnectionRequest{Timeout: Duration(15 * time.Second)},
			Session:           Session{Linger: Duration(2 * time.Second), Timeout: Duration(time.Minute)},
		},
		USP: USP{
			RequestTimeout:  Duration(30 * time.Second),
			WebSocketServer: WebSocketServer{Listen: "127.0.0.1:8183"},
		},
		Cache:         Cache{MaxAge: Duration(time.Minute)},
		Operations:    Operations{ExpireAfter: Duration(24 * time.Hour)},
		Notifications: Notifications{PollInterval: Duration(5 * time.Minute), MaxSubscriptions: 1000},
		Transfers:     Transfers{MaxSize: 1 << 30},
		Admin:         Admin{Listen: "127.0.0.1:9647", MetricsPublic: true},
	}
}

// A defaulter is a list entry, or an optional section, whose keys have defaults.
type defaulter interface{ setDefaults() }

func (p *Permission) setDefaults() {
	*p = Permission{Order: noOrder, Param: noRights, Obj: noRights, InstantiatedObj: noRights, CommandEvent: noRights}
}

func (c *Controller) setDefaults() { c.Profile, c.Role = "strict", agent.FullAccess }

func (m *MQTT) setDefaults() {
	*m = MQTT{Version: "5", Connection: "per_agent", AgentTopic: "usp/agent/{endpoint_id}", ControllerTopic: "usp/controller"}
}

func (s *STOMP) setDefaults() {
	*s = STOMP{VHost: "/", Connection: "per_agent", AgentDestination: "/queue/usp.agent.{endpoint_id}", ControllerDestination: "/queue/usp.controller"}
}

// A rule without max_age would silently mean "always live".
func (r *Rule) setDefaults() { r.MaxAge = unset }

const (
	unset    = Duration(-1)
	noOrder  = -1
	noRights = "----"
)
