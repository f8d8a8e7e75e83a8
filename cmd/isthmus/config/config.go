// Package config reads the configuration of isthmus: a YAML file, laid over by environment variables, checked as a whole. It is
// strict: everything that is wrong is told at once, each with its place and what to do about it.
//
// The structs below are the configuration file. The comment of a field says what its key does: deploy/CONFIGURATION.md is made of them. The tag
// oneof lists the values of a key.
package config

import (
	"crypto/sha256"
	"time"

	"isthmus/translate/datamodel"
	"isthmus/translate/quirks"
	"isthmus/usp/agent"
)

// Config is the whole configuration. A key with the tag reload is put into force by SIGHUP: with "set" only where something was there before and
// still is, since what is turned on or off needs a restart.
type Config struct {
	// The store; made 0700, and used by one process at a time.
	DataDir string `yaml:"data_dir"`
	// What is logged to standard error, and how.
	Log Log `yaml:"log"`
	// The side of the CPE.
	CWMP CWMP `yaml:"cwmp"`
	// The side of the Controllers.
	USP USP `yaml:"usp"`
	// How old a value may be that answers a Get.
	Cache Cache `yaml:"cache"`
	// Bounds of asynchronous commands.
	Operations Operations `yaml:"operations"`
	// How subscriptions are served.
	Notifications Notifications `yaml:"notifications"`
	// Where traces go.
	Telemetry Telemetry `yaml:"telemetry"`
	// The transfer relay: files for which CWMP has no room, or which a CPE cannot fetch or send itself.
	Transfers Transfers `yaml:"transfers"`
	// The administration address: metrics, health, pages, JSON API.
	Admin Admin `yaml:"admin"`
	// The hash of each file of CA certificates, by key.
	CAFiles map[string][sha256.Size]byte `yaml:"-"`
}

// Log says what is logged and how.
type Log struct {
	// The least that is logged.
	Level string `yaml:"level" reload:"" oneof:"debug,info,warn,error"`
	// One line of text, or one JSON object, for each entry.
	Format string `yaml:"format" oneof:"text,json"`
}

// CWMP is the side of the CPE.
type CWMP struct {
	// CWMP over HTTP, at any URL path; "" turns it off where cwmp.tls.listen is set.
	Listen Address `yaml:"listen"`
	// CWMP over HTTPS, TLS 1.2 and 1.3.
	TLS ListenTLS `yaml:"tls"`
	// CWMP over old HTTPS, for CPE that know no better: from TLS 1.0 on, with RSA key exchange, CBC and 3DES. Only an RSA certificate serves the oldest.
	LegacyTLS LegacyTLS `yaml:"legacy_tls"`
	// Reverse proxies, whose Forwarded or X-Forwarded-For is believed. List yours: connections that it shares between CPE are then told apart by
	// cookie alone.
	TrustedProxies []Prefix `yaml:"trusted_proxies"`
	// How many CPE may be known; beyond it a new one gets 503.
	MaxDevices int `yaml:"max_devices"`
	// How many CPE not yet known are taken in from one source address (IPv6: /64) in a second; beyond it a new one gets 503. 0: no limit.
	NewDevicesPerSecond int `yaml:"new_devices_per_second"`
	// The largest SOAP message of a CPE; the first one of a session may have 1 MiB at most.
	MaxBody Size `yaml:"max_body"`
	// How a CPE proves who it is; see "Who the CPE are" in README.md.
	Auth Auth `yaml:"auth"`
	// How a CPE is asked for a session; see "Reaching the CPE" in README.md.
	ConnectionRequest ConnectionRequest `yaml:"connection_request"`
	// What isthmus writes to a CPE unasked, once after 0 BOOTSTRAP and when one of these settings changes. A CPE that refuses one is asked again when it boots.
	Provision Provision `yaml:"provision"`
	// Bounds of a session with a CPE.
	Session Session `yaml:"session"`
	// Quirk profiles that go before those that isthmus has; see "CPE that are different" in README.md.
	QuirksFile string `yaml:"quirks_file" reload:""`
	// Tables of what CPE have beyond Device:2, as "isthmus datamodel import" writes them: types, unique keys, enumerations and commands of what they
	// report in their own names.
	DataModelFiles []string `yaml:"data_model_files"`

	Quirks     *quirks.Table        `yaml:"-"` // what QuirksFile holds, over the default
	DataModels *datamodel.Extension `yaml:"-"` // what DataModelFiles hold, nil without any
}

// ServerTLS is the certificate of a listener.
type ServerTLS struct {
	// Its certificate, with the chain up to the CA, as PEM.
	CertFile string `yaml:"cert_file" reload:"set"`
	// The private key of that certificate, as PEM.
	KeyFile string `yaml:"key_file" reload:"set"`
}

// ListenTLS is a TLS listener of its own.
type ListenTLS struct {
	// Its address; "" or none turns it off.
	Listen    Address `yaml:"listen"`
	ServerTLS `yaml:",inline"`
	// The CA of the CPE's certificates, for cwmp.auth.mode certificate…, on this listener and on that for old TLS.
	ClientCAFile string `yaml:"client_ca_file" reload:"set"`
}

// MutualTLS is the certificate of a listener and the CA of those that clients may show.
type MutualTLS struct {
	ServerTLS `yaml:",inline"`
	// The CA of the certificates of its clients. Any client is asked for one.
	ClientCAFile string `yaml:"client_ca_file"`
}

// AdminTLS is the certificate of the administration address, and the CA of those that let in.
type AdminTLS struct {
	ServerTLS `yaml:",inline"`
	// The CA of client certificates, each of which lets in as the token does.
	ClientCAFile string `yaml:"client_ca_file" reload:"set"`
}

// LegacyTLS is a listener for CPE that know only old TLS.
type LegacyTLS struct {
	// Its address; "" or none turns it off.
	Listen    Address `yaml:"listen"`
	ServerTLS `yaml:",inline"`
}

// Auth says how a CPE proves who it is.
type Auth struct {
	// What a CPE has to show; with certificate+basic and certificate+digest both. none lets in every CPE as whoever it says it is.
	Mode string `yaml:"mode" oneof:"none,basic,digest,certificate,certificate+basic,certificate+digest"`
	// One credential for the fleet: its user name.
	Username string `yaml:"username" reload:"set"`
	// One credential for the fleet: its password.
	Password Secret `yaml:"password" reload:""`
	// A file with that password.
	PasswordFile string `yaml:"password_file" reload:""`
	// Credentials of each CPE: CSV with the header endpoint_id,username,password,connreq_username,connreq_password.
	CredentialsFile string `yaml:"credentials_file" reload:""`

	Credentials []Credential `yaml:"-"` // what CredentialsFile holds
}

// ConnectionRequest says how a CPE is asked to open a session.
type ConnectionRequest struct {
	// The user name for the Digest that CPE ask of Connection Requests, where cwmp.auth.credentials_file gives a CPE none of its own.
	Username string `yaml:"username" reload:""`
	// The password that goes with it.
	Password Secret `yaml:"password" reload:""`
	// A file with that password.
	PasswordFile string `yaml:"password_file" reload:""`
	// How long a CPE may take from being asked for a session until its Inform, over all ways to ask.
	Timeout Duration `yaml:"timeout"`
	// Networks whose addresses may be called; empty: any but multicast, link-local and isthmus's own listeners, loopback only if the Inform came from there.
	Allow []Prefix `yaml:"allow"`
	// CPE that offer no Digest are sent the credentials as Basic, readable by all on the way.
	Basic bool `yaml:"basic"`
	// The address of the STUN server, which UDP Connection Requests come from, such as ":3478"; none: neither.
	UDPListen Address `yaml:"udp_listen"`
	// The account that sends XMPP Connection Requests; without jid there is none.
	XMPP XMPP `yaml:"xmpp"`
}

// XMPP is the account for Connection Requests over XMPP; without JID there is none.
type XMPP struct {
	// host:port of the XMPP server; if left out the domain of jid, on port 5222.
	Server string `yaml:"server"`
	// The account, user@domain.
	JID string `yaml:"jid"`
	// Its password.
	Password Secret `yaml:"password"`
	// A file with that password.
	PasswordFile string `yaml:"password_file"`
	// The CA of the server's certificate; else those of the system.
	CAFile string `yaml:"ca_file"`
	// Domains of CPE besides the account's own: a request holds the CPE's password, so it goes to JIDs of these alone.
	Domains []string `yaml:"domains"`
}

// Provision is what isthmus writes to a CPE unasked.
type Provision struct {
	// A user name and password of its own for Connection Requests, for each CPE that cwmp.auth.credentials_file gives none.
	ConnectionRequest bool `yaml:"connection_request"`
	// A user name and password of its own for CWMP, in place of cwmp.auth.username, which is good for that CPE until it has used its own, and again
	// once isthmus has reset it. One that was reset by hand comes with the fleet's: it is let in, with new ones, unless the CPE can be asked for a
	// session and shows its own.
	Credentials bool `yaml:"credentials"`
	// PeriodicInformInterval; 0s: as the CPE has it.
	PeriodicInformInterval Duration `yaml:"periodic_inform_interval"`
	// A PeriodicInformTime by a hash of the Endpoint ID, so that the periodic Informs of a fleet are spread over the interval.
	SpreadPeriodicInform bool `yaml:"spread_periodic_inform"`
}

// Session bounds a CWMP session.
type Session struct {
	// How long a session that was asked for is held open for one more request.
	Linger Duration `yaml:"linger"`
	// Silence of the CPE that ends a session.
	Timeout Duration `yaml:"timeout"`
}

// USP is the side of the Controllers.
type USP struct {
	// The Controllers that the Agent of every CPE reports to.
	Controllers []Controller `yaml:"controllers"`
	// Controllers that Controllers add to an Agent's tables, to be dialled.
	AddedControllers AddedControllers `yaml:"added_controllers"`
	// The CA that signs a certificate for each Agent: its Endpoint ID as a URI in subjectAltName, P-256, renewed while it is good. It is shown to wss
	// Controllers that ask for one, unless their own tls.cert_file says what to show; and Records are signed with it where no TLS with the Controller
	// protects them.
	Identity Identity `yaml:"identity"`
	// Local addresses that the Agents' connections are spread over: one address has about 28,000 ports to one Controller or broker.
	SourceAddresses []Addr `yaml:"source_addresses"`
	// Roles by name, each a list of permissions. Of the entries that name something the one with the highest order counts.
	Roles map[string][]Permission `yaml:"roles"`
	// A request of a Controller is answered within this, whatever happens.
	RequestTimeout Duration `yaml:"request_timeout"`
	// Where Controllers dial in.
	WebSocketServer WebSocketServer `yaml:"websocket_server"`
}

// AddedControllers are those that Controllers add to an Agent's tables, to be dialled.
type AddedControllers struct {
	// Networks that they may be in; empty: any address but multicast, link-local and loopback ones. Never a listener of isthmus.
	Allow []Prefix `yaml:"allow"`
	// Who signs their certificates; else the CAs of the system.
	CAFile string `yaml:"ca_file"`
}

// Permission is what a role may do with what Targets name. Without order it has one more than the entry before it.
type Permission struct {
	// Its rank: where several permissions name something the highest counts. Without it, one more than the entry before.
	Order int `yaml:"order"`
	// Device:2 paths, partial paths and search paths.
	Targets []string `yaml:"targets"`
	// What is allowed with parameters: some of rwxn, with - for what is not.
	Param string `yaml:"param"`
	// What is allowed with objects and tables, likewise.
	Obj string `yaml:"obj"`
	// What is allowed with the rows of a table, likewise.
	InstantiatedObj string `yaml:"instantiated_obj"`
	// What is allowed with commands and events, likewise.
	CommandEvent string `yaml:"command_event"`
}

// Controller is a Controller that every Agent reports to. At most one of WebSocket, MQTT and STOMP is set.
type Controller struct {
	// Its Endpoint ID.
	EndpointID string `yaml:"endpoint_id"`
	// How far to humour a Controller that legal messages end; see "Controllers that are different" in README.md.
	Profile string `yaml:"profile" oneof:"strict,oktopus-ws,oktopus-mqtt,openusp"`
	// full_access, Untrusted, or one of usp.roles.
	Role string `yaml:"role"`
	// A boot of a CPE also reconnects its Agent, as a device's own restart would.
	CycleOnBoot bool `yaml:"cycle_on_boot"`
	// What is shown to, and demanded of, it or its broker, for wss, mqtts and stomps. A Controller's certificate names its Endpoint ID or, where it
	// names none, the host.
	TLS ClientTLS `yaml:"tls"`
	// A Controller reached over WebSocket. {} or none of the three: it only dials in.
	WebSocket *WebSocket `yaml:"websocket"`
	// In place of websocket: a Controller behind an MQTT broker.
	MQTT *MQTT `yaml:"mqtt"`
	// In place of websocket: a Controller behind a STOMP server. Heart-beats come every minute.
	STOMP *STOMP `yaml:"stomp"`
}

// ClientTLS is what is shown to, and demanded of, a Controller or broker.
type ClientTLS struct {
	// Who signs its certificate; else the CAs of the system. Of a Controller that only dials in: whose certificates prove that it is this one.
	CAFile string `yaml:"ca_file"`
	// The certificate that is shown, in place of the Agent's own.
	CertFile string `yaml:"cert_file" reload:"set"`
	// The private key of that certificate.
	KeyFile string `yaml:"key_file" reload:"set"`
	// The name that its certificate has, where it is not that of the URL.
	ServerName string `yaml:"server_name"`
}

// WebSocket is a Controller reached over WebSocket; without URL it is never dialled.
type WebSocket struct {
	// ws: or wss:; {endpoint_id} in its path is the Agent's, and eid= is added to the query.
	URL string `yaml:"url"`
}

// MQTT is a Controller reached through an MQTT broker.
type MQTT struct {
	// URL of the broker: mqtt:, mqtts:, or ws: and wss: for MQTT over WebSocket.
	Broker string `yaml:"broker"`
	// The version of MQTT.
	Version string `yaml:"version" oneof:"5,3.1.1"`
	// The account; {endpoint_id} in it is the Agent's.
	Username string `yaml:"username"`
	// Its password.
	Password Secret `yaml:"password" reload:""`
	// A file with that password.
	PasswordFile string `yaml:"password_file" reload:""`
	// per_agent: each Agent has one connection with each broker and account, whose ClientID is its Endpoint ID. Let each subscribe to its own topic only,
	// such as "pattern read usp/agent/%c" in Mosquitto's acl_file, and publish to the Controllers'. shared: all Agents share four connections, each with
	// a subscription to its topic, and come and go by Connect and Disconnect Records: the broker then cannot tell them apart, nor publish a Will for one.
	Connection string `yaml:"connection" oneof:"per_agent,shared"`
	// Where an Agent listens unless the broker gives it a topic.
	AgentTopic string `yaml:"agent_topic"`
	// Where the Controller listens.
	ControllerTopic string `yaml:"controller_topic"`
}

// STOMP is a Controller reached through a STOMP broker.
type STOMP struct {
	// URL of the server: stomp: or stomps:.
	Broker string `yaml:"broker"`
	// The account; {endpoint_id} in it is the Agent's.
	Username string `yaml:"username"`
	// Its password.
	Password Secret `yaml:"password" reload:""`
	// A file with that password.
	PasswordFile string `yaml:"password_file" reload:""`
	// The virtual host that is asked for.
	VHost string `yaml:"vhost"`
	// per_agent: a connection for each Agent. shared: all Agents share four connections, each with a subscription of its own, so the account must be let
	// subscribe to all their destinations; an ERROR of the server then ends the connection of all of them.
	Connection string `yaml:"connection" oneof:"per_agent,shared"`
	// Where an Agent listens unless the server says.
	AgentDestination string `yaml:"agent_destination"`
	// Where the Controller listens.
	ControllerDestination string `yaml:"controller_destination"`
}

// Identity is the CA that signs a certificate for each Agent.
type Identity struct {
	// The CA's certificate.
	CACertFile string `yaml:"ca_cert_file" reload:"set"`
	// Its private key, ECDSA or RSA.
	CAKeyFile string `yaml:"ca_key_file" reload:"set"`
}

// WebSocketServer is where Controllers connect to the Agents.
type WebSocketServer struct {
	// The address, at /agent/<Endpoint ID, path-escaped>; "" turns it off.
	Listen Address `yaml:"listen"`
	// Its certificate, and the CA of Controllers' certificates, which name their Endpoint ID.
	TLS MutualTLS `yaml:"tls"`
	// Believe the Endpoint ID of who dials in from another host.
	TrustEndpointID bool `yaml:"trust_endpoint_id"`
}

// Cache says how old a value may be that answers a Get.
type Cache struct {
	// A Get is answered from the cache while a value is younger.
	MaxAge Duration `yaml:"max_age" reload:""`
	// Other ages for what a path covers: the rule with the most literal segments wins, then the later one.
	Rules []Rule `yaml:"rules" reload:""`
	// How old the values of an unreachable CPE may be and still be answered.
	ServeStale Duration `yaml:"serve_stale"`
}

// Rule is the age of what one path covers: a path ending in "." what is below it, another one parameter.
type Rule struct {
	// A path that ends in "." covers what is below it, another one parameter; * is one or more whole segments.
	Path string `yaml:"path"`
	// The age; 0s is always live. It has to be given.
	MaxAge Duration `yaml:"max_age"`
}

// Operations bounds asynchronous commands.
type Operations struct {
	// A command of a CPE fails after this without a word from the CPE.
	ExpireAfter Duration `yaml:"expire_after"`
}

// Notifications says how subscriptions are served.
type Notifications struct {
	// How often is read what is subscribed and the CPE does not report by itself; spread over the CPE, and left out where the CPE informs more often.
	// 0s: only when a CPE informs.
	PollInterval Duration `yaml:"poll_interval"`
	// Rows of Subscription. that one Controller may have at one Agent.
	MaxSubscriptions int `yaml:"max_subscriptions"`
}

// Telemetry says where traces go.
type Telemetry struct {
	// URL of a receiver of OTLP over HTTP, such as http://collector:4318: each USP request becomes a trace, with the time in the queue, the CWMP session
	// and its RPCs; paths, never values. Without a path /v1/traces follows. Headers and a CA are taken from OTEL_EXPORTER_OTLP_HEADERS and
	// OTEL_EXPORTER_OTLP_CERTIFICATE. "" turns it off.
	OTLPEndpoint string `yaml:"otlp_endpoint"`
}

// Transfers is the relay for downloads and uploads.
type Transfers struct {
	// The address of the relay, plain HTTP, for CPE alone; none: there is none.
	Listen Address `yaml:"listen"`
	// What CPE put before the path, such as http://acs.example.com:7548, at most 158 characters; empty: the address of transfers.listen, if it names one.
	PublicURL string `yaml:"public_url"`
	// Networks of your own that the relay may fetch from and send to, besides public addresses; never isthmus itself. Redirects and names are judged by
	// the address that is dialled.
	Allow []Prefix `yaml:"allow"`
	// The largest file; eight times that is the most that files in data_dir/transfers take.
	MaxSize Size `yaml:"max_size"`
}

// Admin is the administration address.
type Admin struct {
	// The address; "" turns it off. One that is not loopback needs admin.tls, and a token or client certificates.
	Listen Address `yaml:"listen"`
	// A file with a bearer token; a person at a browser logs in with it.
	TokenFile string `yaml:"token_file" reload:"set"`
	Token     Secret `yaml:"-"` // what TokenFile holds
	// /metrics may be read without token or client certificate.
	MetricsPublic bool `yaml:"metrics_public"`
	// Its certificate, and the CA of client certificates, each of which lets in as the token does.
	TLS AdminTLS `yaml:"tls"`
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
