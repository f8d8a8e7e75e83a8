package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"isthmus/cwmp/xmpp"
	"isthmus/translate/relay"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/profile"
)

// placeholder stands for an Agent's Endpoint ID in URLs.
const placeholder = "{endpoint_id}"

// maxSecretFile bounds a file that holds a password or token.
const maxSecretFile = 64 << 10

// minPoll is the least time between two polls of a CPE: each may be a session of its own.
const minPoll = 10 * time.Second

// check looks at what no single key can tell.
func (l *loader) check(c *Config) {
	l.positive("cwmp.max_devices", c.CWMP.MaxDevices)
	l.positive("notifications.max_subscriptions", c.Notifications.MaxSubscriptions)
	l.positiveDuration("cwmp.connection_request.timeout", c.CWMP.ConnectionRequest.Timeout)
	l.positiveDuration("cwmp.session.timeout", c.CWMP.Session.Timeout)
	l.positiveDuration("usp.request_timeout", c.USP.RequestTimeout)
	l.positiveDuration("operations.expire_after", c.Operations.ExpireAfter)
	if d := time.Duration(c.Notifications.PollInterval); d != 0 && d < minPoll {
		l.add("notifications.poll_interval", "%s is too often: write at least %s, or 0s to compare only when a CPE informs", d, minPoll)
	}
	if c.DataDir == "" {
		l.add("data_dir", "is empty: name the directory of the store")
	}
	l.checkListeners(c)
	l.checkAuth(&c.CWMP)
	l.checkQuirks(&c.CWMP)
	l.checkDataModels(&c.CWMP)
	if d := time.Duration(c.CWMP.Provision.PeriodicInformInterval); d%time.Second != 0 || d > math.MaxUint32*time.Second {
		l.add("cwmp.provision.periodic_inform_interval", "%s is no PeriodicInformInterval: write whole seconds, at most %d, or 0s to leave it as it is", d, uint32(math.MaxUint32))
	}
	l.secretFile("cwmp.connection_request.password", &c.CWMP.ConnectionRequest.Password, c.CWMP.ConnectionRequest.PasswordFile)
	if c.CWMP.ConnectionRequest.Password != "" && c.CWMP.ConnectionRequest.Username == "" {
		l.add("cwmp.connection_request.password", "has no cwmp.connection_request.username: set both")
	}
	l.checkXMPP(&c.CWMP.ConnectionRequest.XMPP)
	l.checkAdmin(&c.Admin)
	l.checkTransfers(&c.Transfers)
	l.checkTelemetry(&c.Telemetry)
	l.checkIdentity(&c.USP.Identity)
	l.checkRoles(c.USP.Roles)
	first := map[string]int{}
	for i := range c.USP.Controllers {
		k := &c.USP.Controllers[i]
		key := fmt.Sprintf("usp.controllers[%d]", i)
		l.checkController(key, k, c.USP.Roles)
		if j, twice := first[k.EndpointID]; twice && k.EndpointID != "" {
			l.add(key+".endpoint_id", "%s is usp.controllers[%d] already: list a Controller once", k.EndpointID, j)
			continue
		}
		first[k.EndpointID] = i
	}
	l.checkConnections(c.USP.Controllers)
	for i := range c.Cache.Rules {
		l.checkRule(fmt.Sprintf("cache.rules[%d]", i), &c.Cache.Rules[i])
	}
}

func (l *loader) checkTelemetry(t *Telemetry) {
	if t.OTLPEndpoint == "" {
		return
	}
	const key = "telemetry.otlp_endpoint"
	u, err := url.Parse(t.OTLPEndpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		l.add(key, "is no URL of a receiver of OTLP over HTTP: write it as http://collector:4318")
	case u.User != nil:
		l.add(key, "has a user name: give the receiver a header by the environment variable OTEL_EXPORTER_OTLP_HEADERS")
	}
}

func (l *loader) positive(key string, n int) {
	if n < 1 {
		l.add(key, "must be 1 or more")
	}
}

func (l *loader) positiveDuration(key string, d Duration) {
	if d <= 0 {
		l.add(key, "must be more than 0s")
	}
}

func (l *loader) checkListeners(c *Config) {
	if c.CWMP.Listen == "" && c.CWMP.TLS.Listen == "" && c.CWMP.LegacyTLS.Listen == "" {
		l.add("cwmp.listen", "is empty, and so is cwmp.tls.listen: no CPE could connect; set one of them")
	}
	l.serverTLS("cwmp.tls", &c.CWMP.TLS.ServerTLS)
	if c.CWMP.TLS.Listen != "" && c.CWMP.TLS.CertFile == "" {
		l.add("cwmp.tls.listen", "needs cwmp.tls.cert_file and cwmp.tls.key_file")
	}
	l.certificates("cwmp.tls.client_ca_file", c.CWMP.TLS.ClientCAFile)
	l.serverTLS("cwmp.legacy_tls", &c.CWMP.LegacyTLS.ServerTLS)
	if c.CWMP.LegacyTLS.Listen != "" && c.CWMP.LegacyTLS.CertFile == "" {
		l.add("cwmp.legacy_tls.listen", "needs cwmp.legacy_tls.cert_file and cwmp.legacy_tls.key_file")
	}
	l.serverTLS("usp.websocket_server.tls", &c.USP.WebSocketServer.TLS.ServerTLS)
	l.certificates("usp.added_controllers.ca_file", c.USP.AddedControllers.CAFile)
	l.certificates("usp.websocket_server.tls.client_ca_file", c.USP.WebSocketServer.TLS.ClientCAFile)
	if t := &c.USP.WebSocketServer.TLS; t.ClientCAFile != "" && t.CertFile == "" {
		l.add("usp.websocket_server.tls.client_ca_file", "needs cert_file and key_file beside it")
	}
	taken := map[Address]string{}
	for _, a := range []struct {
		key    string
		listen Address
	}{
		{"cwmp.listen", c.CWMP.Listen},
		{"cwmp.tls.listen", c.CWMP.TLS.Listen},
		{"cwmp.legacy_tls.listen", c.CWMP.LegacyTLS.Listen},
		{"usp.websocket_server.listen", c.USP.WebSocketServer.Listen},
		{"admin.listen", c.Admin.Listen},
		{"transfers.listen", c.Transfers.Listen},
	} {
		if a.listen == "" || strings.HasSuffix(string(a.listen), ":0") {
			continue
		}
		if other, ok := taken[a.listen]; ok {
			if !l.isSet(a.key) {
				a.key, other = other, a.key
			}
			l.add(a.key, "%s is the address of %s too: choose another port", a.listen, other)
			continue
		}
		taken[a.listen] = a.key
	}
}

func (l *loader) checkXMPP(x *XMPP) {
	const key = "cwmp.connection_request.xmpp"
	l.secretFile(key+".password", &x.Password, x.PasswordFile)
	l.certificates(key+".ca_file", x.CAFile)
	local, _, _, err := xmpp.SplitJID(x.JID)
	switch {
	case x.JID == "" && (x.Server != "" || x.Password != ""):
		l.add(key+".jid", "is missing: write the account that sends Connection Requests, such as acs@xmpp.example.com")
	case x.JID == "":
		return
	case err != nil || local == "":
		l.add(key+".jid", "%q is no account: write it as acs@xmpp.example.com", x.JID)
	case x.Password == "":
		l.add(key+".password", "is missing: set it, or password_file")
	}
	if strings.ContainsAny(x.Server, "/ @") {
		l.add(key+".server", "%q is no server: write host or host:port, or leave it out for the JID's domain", x.Server)
	}
	for i, d := range x.Domains {
		if local, domain, _, err := xmpp.SplitJID(d); err != nil || local != "" || domain != d {
			l.add(fmt.Sprintf("%s.domains[%d]", key, i), "%q is no domain: write it as cpe.example.com", d)
		}
	}
}

func (l *loader) checkAdmin(a *Admin) {
	l.serverTLS("admin.tls", &a.TLS.ServerTLS)
	l.secretFile("admin.token", &a.Token, a.TokenFile)
	l.certificates("admin.tls.client_ca_file", a.TLS.ClientCAFile)
	if a.TLS.ClientCAFile != "" && a.TLS.CertFile == "" {
		l.add("admin.tls.client_ca_file", "is not used without a certificate: set admin.tls.cert_file and key_file")
	}
	if a.Listen == "" || a.Listen.Loopback() {
		return
	}
	if a.TokenFile == "" && a.TLS.ClientCAFile == "" || a.TLS.CertFile == "" {
		l.add("admin.listen", "%s can be reached from outside: set admin.tls, and admin.token_file or admin.tls.client_ca_file, or listen on 127.0.0.1", a.Listen)
	}
}

func (l *loader) checkTransfers(t *Transfers) {
	if t.PublicURL == "" {
		host, _, _ := net.SplitHostPort(string(t.Listen))
		if ip := net.ParseIP(host); t.Listen != "" && (host == "" || ip != nil && ip.IsUnspecified()) {
			l.add("transfers.public_url", "is missing: %s does not say where CPE find it; write it as http://acs.example.com:7548", t.Listen)
		}
		return
	}
	u, err := url.Parse(t.PublicURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		l.add("transfers.public_url", "%q is no URL that CPE can be given: write it as http://acs.example.com:7548", t.PublicURL)
	case len(t.PublicURL) > relay.MaxPublicURL:
		l.add("transfers.public_url", "is longer than %d characters: CWMP has %d for a URL", relay.MaxPublicURL, relay.MaxURL)
	case t.Listen == "":
		l.add("transfers.public_url", "is set without transfers.listen: set both")
	}
}

// secretFile reads the file form of a secret into the plain one.
func (l *loader) secretFile(key string, secret *Secret, file string) {
	if file == "" {
		return
	}
	if *secret != "" {
		l.add(key+"_file", "is set beside %s: keep one of them", key)
		return
	}
	st, err := os.Stat(file)
	if err == nil && st.Size() > maxSecretFile {
		err = errors.New("it is too large for a secret")
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		l.add(key+"_file", "cannot be read: %v", err)
		return
	}
	if *secret = Secret(strings.TrimRight(string(text), "\r\n")); *secret == "" {
		l.add(key+"_file", "%s is empty: put the secret on its first line", file)
	}
}

func (l *loader) serverTLS(key string, t *ServerTLS) { l.keyPair(key, t.CertFile, t.KeyFile) }

func (l *loader) keyPair(key, cert, private string) {
	switch {
	case cert == "" && private == "":
	case private == "":
		l.add(key+".cert_file", "has no %s.key_file: set both", key)
	case cert == "":
		l.add(key+".key_file", "has no %s.cert_file: set both", key)
	default:
		if _, err := tls.LoadX509KeyPair(cert, private); err != nil {
			l.add(key+".cert_file", "does not load together with key_file: %v", err)
		}
	}
}

// ownController is the Endpoint ID under which isthmus itself asks its Agents.
const ownController = "self::isthmus"

func (l *loader) checkController(key string, c *Controller, roles map[string][]Permission) {
	if c.EndpointID == "" {
		l.add(key+".endpoint_id", "is missing: write the Controller's Endpoint ID, such as proto::controller")
	} else if _, err := usp.ParseEndpointID(c.EndpointID); err != nil && !anyName(c.Profile) {
		l.add(key+".endpoint_id", "%v", err)
	} else if c.EndpointID == ownController {
		l.add(key+".endpoint_id", "%s is isthmus's own, for requests through the admin address: choose another", ownController)
	}
	mtps := 0
	for _, set := range []bool{c.WebSocket != nil, c.MQTT != nil, c.STOMP != nil} {
		if set {
			mtps++
		}
	}
	if mtps > 1 {
		l.add(key, "has more than one MTP: keep one of websocket, mqtt and stomp")
	}
	l.checkProfile(key+".profile", c)
	if _, ok := roles[c.Role]; !ok && c.Role != agent.FullAccess && c.Role != agent.Untrusted {
		l.add(key+".role", "%q is no role: write %s, or add it to usp.roles", c.Role, agent.FullAccess)
	}
	if c.WebSocket != nil && c.WebSocket.URL != "" {
		l.webSocketURL(key+".websocket.url", c)
	}
	if c.MQTT != nil {
		l.checkMQTT(key+".mqtt", c)
	}
	if c.STOMP != nil {
		l.checkSTOMP(key+".stomp", c)
	}
	l.keyPair(key+".tls", c.TLS.CertFile, c.TLS.KeyFile)
	l.certificates(key+".tls.ca_file", c.TLS.CAFile)
}

// anyName says whether Controllers with a profile may call themselves by what is no Endpoint ID.
func anyName(name string) bool {
	p := profile.Find(name)
	return p != nil && p.AnyName
}

// checkProfile refuses a profile that is meant for other MTPs.
func (l *loader) checkProfile(key string, c *Controller) {
	p, protocol := profile.Find(c.Profile), ""
	switch {
	case c.WebSocket != nil:
		protocol = "WebSocket"
	case c.MQTT != nil:
		protocol = "MQTT"
	case c.STOMP != nil:
		protocol = "STOMP"
	}
	if p != nil && protocol != "" && !p.Fits(protocol) {
		l.add(key, "%s is for %s, and this Controller has %s: choose another, or strict", p.Name, strings.Join(p.Protocols, " and "), protocol)
	}
}

// certificates checks a file of CA certificates, and keeps what it has for Changes.
func (l *loader) certificates(key, file string) {
	if file == "" {
		return
	}
	pem, err := os.ReadFile(file)
	if l.caFiles == nil {
		l.caFiles = map[string][sha256.Size]byte{}
	}
	l.caFiles[key] = sha256.Sum256(pem)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		err = fmt.Errorf("%s has no certificate in PEM", file)
	}
	if err != nil {
		l.add(key, "cannot be used: %v", err)
	}
}

func (l *loader) webSocketURL(key string, c *Controller) {
	// The placeholder's braces are no URL characters; an Endpoint ID in its place is.
	u, err := url.Parse(strings.ReplaceAll(c.WebSocket.URL, placeholder, "id"))
	switch {
	case err != nil:
		l.add(key, "is no URL: write ws://host:port/path or wss://host:port/path")
	case u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "":
		l.add(key, "must be ws://host:port/path or wss://host:port/path")
	case u.User != nil:
		l.add(key, "has a user name: this MTP knows none, remove it")
	case u.Fragment != "":
		l.add(key, "has a fragment (#…): remove it")
	case u.Scheme == "ws" && c.TLS != ClientTLS{}:
		l.add(key, "is not encrypted, but tls is set: write wss:// or remove tls")
	default:
		if before, _, found := strings.Cut(c.WebSocket.URL, placeholder); found && (strings.Contains(before, "?") || strings.Count(before, "/") < 3) {
			l.add(key, "has %s outside its path: move it there (eid is added to the query anyway)", placeholder)
		}
		if port := u.Port(); port != "" {
			if _, err := net.LookupPort("tcp", port); err != nil {
				l.add(key, "has no valid port: %s", port)
			}
		}
	}
}

func (l *loader) checkRule(key string, r *Rule) {
	if r.MaxAge == unset {
		l.add(key+".max_age", "is missing: write a duration, 0s for always live")
	}
	segments := strings.Split(strings.TrimSuffix(r.Path, "."), ".")
	if segments[0] != "Device" {
		l.add(key+".path", "must be a Device:2 path, such as Device.DeviceInfo. or Device.*.Stats.")
		return
	}
	for _, s := range segments {
		if s != "*" && (s == "" || strings.ContainsAny(s, "* \t{}[]()!")) {
			l.add(key+".path", "has the segment %q: a segment is a name, an instance number or *", s)
			return
		}
	}
	if len(segments) == 1 && !strings.HasSuffix(r.Path, ".") {
		l.add(key+".path", "names no parameter: write Device. for everything")
	}
}
