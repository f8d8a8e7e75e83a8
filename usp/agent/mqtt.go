package agent

import (
	"slices"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// mqttRoot is a subtree that the Agent serves itself: its own connections with brokers, not the device's.
const (
	mqttRoot        = "Device.MQTT."
	mqttClientTable = mqttRoot + "Client."
	ownMTPTable     = ownRoot + "MTP."
	mqttMTP         = "MQTT"
	mqttName        = "MQTT." // of the object below a row of an MTP
	forceReconnect  = "ForceReconnect()"
	// maxBrokerSubscriptions bounds the rows of Subscription. of one Client.
	maxBrokerSubscriptions = 32
	// maxTopic is the length in bytes that MQTT has for a topic.
	maxTopic = 65535
)

// Keys of a Client's row that are no parameters.
const (
	brokerPath = ".url"   // of the URL, where MQTT is spoken over WebSocket
	topicKey   = ".topic" // where the configuration has Agents listen
	mtpKey     = ".mtp"   // the Agent's MTP that the configuration made with it
	// assignedKey is the Client Identifier that the broker has chosen: where ClientID is that, it is the one in use.
	assignedKey = ".assigned"
)

// defaultBrokerPath is what brokers commonly have, since Device:2 has no parameter for it.
const defaultBrokerPath = "/mqtt"

// MQTTConfig is what the configuration says of an MQTT broker besides its address. In AgentTopic and Username "{endpoint_id}" stands for the Agent's
// Endpoint ID.
type MQTTConfig struct {
	Version            string // "5.0", which "" stands for, or "3.1.1"
	WebSocket          bool   // MQTT over WebSocket
	Username, Password string
	AgentTopic         string // where the Agent listens, if the broker does not say
	ControllerTopic    string // where the Controller listens
}

var mqttTables = []*table{
	{ObjectDef: ObjectDef{Path: mqttRoot}, columns: []column{counts("Client")}},
	{ObjectDef: ObjectDef{Path: mqttRoot + "Capabilities."}, columns: []column{
		computed("ProtocolVersionsSupported", TypeString, func(*view, string) string { return "3.1.1,5.0" }),
		computed("TransportProtocolSupported", TypeString, func(*view, string) string { return "TCP/IP,TLS,WebSocket,WebSocketTLS" }),
		computed("MaxNumberOfClientSubscriptions", TypeUnsignedInt, func(*view, string) string { return itoa(maxBrokerSubscriptions) }),
	}},
	{ObjectDef: ObjectDef{Path: mqttClientTable + "{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"Name"}}, Commands: []CommandDef{{Name: forceReconnect}}},
		limit: maxBrokerRows, count: "ClientNumberOfEntries", columns: []column{
			alias(),
			text("Name", "", 64),
			flag("Enable"),
			oneOf(quiet(computed("Status", TypeString, func(v *view, row string) string { return statusNames[v.wayState(row).Status] })),
				"Disabled", "Connecting", "Connected", "Error_Misconfigured", "Error_BrokerUnreachable", "Error"),
			oneOf(text("ProtocolVersion", "5.0", 0), "3.1.1", "5.0"),
			text("BrokerAddress", "", 256),
			number("BrokerPort", "1883", 1, 65535),
			oneOf(text("TransportProtocol", "TCP/IP", 0), "TCP/IP", "TLS", "WebSocket", "WebSocketTLS"),
			enabled("CleanSession"),
			enabled("CleanStart"),
			number("KeepAliveTime", "60", 0, 65535),
			shownAs(checked(text("ClientID", "", maxTopic), noNull), clientID),
			expanded(checked(text("Username", "", 256), noNull)),
			brokerPassword(),
			// The data model has a meaning for it with MQTT 3.1 alone, and demands it where there is a version before 5.0.
			number("MessageRetryTime", "5", 1, maxUint32),
			number("ConnectRetryTime", "5", 1, 65535),
			number("ConnectRetryIntervalMultiplier", "2000", 1000, 65535),
			number("ConnectRetryMaxInterval", "30720", 1, maxUint32),
			quiet(computed("ResponseInformation", TypeString, func(v *view, row string) string { return v.wayState(row).ResponseInformation })),
			counts("Subscription"),
		}},
	mqttStats,
	{ObjectDef: ObjectDef{Path: mqttClientTable + "{i}.Subscription.{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"Topic"}}},
		limit: maxBrokerSubscriptions, count: "SubscriptionNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			oneOf(quiet(computed("Status", TypeString, subscriptionStatus)), "Unsubscribed", "Subscribed", "Subscribing", "Unsubscribing", "Error"),
			checked(text("Topic", "", maxTopic), checkFilter),
			number("QoS", "1", 0, 1),
		}},
	{ObjectDef: ObjectDef{Path: ownMTPTable + "{i}.MQTT."}, protocol: mqttMTP, columns: []column{
		reference("Reference", mqttClientTable),
		expanded(checked(text("ResponseTopicConfigured", "", maxTopic), checkTopic)),
		quiet(computed("ResponseTopicDiscovered", TypeString, func(v *view, path string) string {
			return v.wayState(v.rows.values[path]["Reference"] + ".").Listens
		})),
		number("PublishQoS", "1", 0, 1),
	}},
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}.MTP.{i}.MQTT."}, protocol: mqttMTP, columns: []column{
		reference("AgentMTPReference", ownMTPTable),
		checked(text("Topic", "", maxTopic), checkTopic),
		flag("PublishRetainResponse"),
		flag("PublishRetainNotify"),
	}},
}

// statusNames are the values of Status of a Client.
var statusNames = map[mtp.Status]string{mtp.Disabled: "Disabled", mtp.Connecting: "Connecting", mtp.Connected: "Connected",
	mtp.Misconfigured: "Error_Misconfigured", mtp.Unreachable: "Error_BrokerUnreachable", mtp.Failed: "Error"}

// checkFilter refuses what is no topic filter (MQTT 5.0, section 4.7.1).
func checkFilter(s string) error {
	levels := strings.Split(s, "/")
	for i, l := range levels {
		if strings.ContainsAny(l, "+#") && len(l) > 1 || l == "#" && i < len(levels)-1 || strings.ContainsAny(l, "\x00\n") {
			return usp.Errorf(usp.InvalidValue, "%q is no topic filter", s)
		}
	}
	return nil
}

// checkTopic refuses what cannot be published to (MQTT 5.0, section 4.7).
func checkTopic(s string) error {
	if strings.ContainsAny(s, "+#\x00") {
		return usp.Errorf(usp.InvalidValue, "%q is no topic name", s)
	}
	return nil
}

// noNull refuses what neither a packet (MQTT 5.0, section 1.5.4) nor a frame can have. It does not quote what may be a password.
func noNull(s string) error {
	if strings.ContainsRune(s, 0) {
		return usp.Errorf(usp.InvalidValue, "there is a null character in it")
	}
	return nil
}

// shownAs has a parameter that is kept read otherwise.
func shownAs(c column, calc func(v *view, path string) string) column { c.calc = calc; return c }

// expanded is a parameter of which the configuration has a template.
func expanded(c column) column {
	return shownAs(c, func(v *view, path string) string { return v.own(v.rows.values[path][c.Name]) })
}

// brokerPassword is what an Agent logs in with at a broker.
func brokerPassword() column {
	c := shownAs(checked(text("Password", "", 256), noNull), func(*view, string) string { return "" })
	c.Secured, c.hidden = true, ownPasswordKey
	return c
}

// own puts the Agent's Endpoint ID into a text of the configuration.
func (v *view) own(s string) string {
	return strings.ReplaceAll(s, "{endpoint_id}", string(v.agent.id.ID))
}

// wayState is what the Dialer knows of the connection of a Client, or of a Connection of STOMP.
func (v *view) wayState(row string) mtp.State {
	d, behind := v.agent.fleet.opts.Dialer, v.agent.behind(row)
	if d == nil || behind == "" {
		return mtp.State{}
	}
	return d.State(v.agent.id.ID, behind)
}

func clientID(v *view, row string) string {
	if s := v.wayState(row); s.ClientID != "" {
		return s.ClientID
	}
	return v.own(v.rows.values[row]["ClientID"])
}

func subscriptionStatus(v *view, row string) string {
	client := brokerRow(row)
	switch s := v.wayState(client); {
	case s.Status == mtp.Connected && slices.Contains(s.Subscribed, v.rows.values[row]["Topic"]):
		return "Subscribed"
	case s.Status == mtp.Connecting && v.rows.values[row]["Enable"] == "true":
		return "Subscribing"
	}
	return "Unsubscribed"
}

// mqttClient is the row of the Client that the row of a Controller's MTP leads to, "" if to none.
func (rs *rowSet) mqttClient(row string) string {
	if rs.values[row]["Protocol"] != mqttMTP {
		return ""
	}
	own := rs.values[row+mqttName]["AgentMTPReference"]
	client := rs.values[own+"."+mqttName]["Reference"] + "."
	if rs.values[client] == nil || rs.get(own+".", "Protocol") != mqttMTP {
		return ""
	}
	return client
}

// mqttTarget is what a Controller's MTP row, the Agent's and a Client's say together: nothing unless all of them are enabled.
func (rs *rowSet) mqttTarget(row string, to mtp.Target) mtp.Target {
	client, own := rs.mqttClient(row), rs.get(row+mqttName, "AgentMTPReference")+"."
	if client == "" || !rs.is(client, "Enable") || !rs.is(own, "Enable") {
		return to
	}
	to = rs.mqttBroker(client, to)
	m := &to.MQTT
	m.Subscriptions, m.ResponseTopic, m.QoS = rs.subscribed(client), rs.get(own+mqttName, "ResponseTopicConfigured"), byte(rs.number(own+mqttName, "PublishQoS"))
	m.Topic, m.RetainResponse, m.RetainNotification = rs.get(row+mqttName, "Topic"), rs.is(row+mqttName, "PublishRetainResponse"), rs.is(row+mqttName, "PublishRetainNotify")
	return to
}

// mqttBroker is what the row of a Client says.
func (rs *rowSet) mqttBroker(client string, to mtp.Target) mtp.Target {
	values, transport := rs.values[client], rs.get(client, "TransportProtocol")
	to.Host, to.Port, to.Encrypted = rs.get(client, "BrokerAddress"), int(rs.number(client, "BrokerPort")), strings.HasSuffix(transport, "TLS")
	to.Added = values[atKey] != at(transport, to.Host, rs.get(client, "BrokerPort"))
	webSocket := strings.HasPrefix(transport, webSocket)
	switch {
	case webSocket && to.Added:
		to.Path = defaultBrokerPath
	case webSocket:
		to.Path = values[brokerPath]
	}
	clean := "CleanStart"
	if rs.get(client, "ProtocolVersion") == "3.1.1" {
		clean = "CleanSession"
	}
	to.KeepAlive = time.Duration(rs.number(client, "KeepAliveTime")) * time.Second
	to.Retry = usp.Retry{Minimum: time.Duration(rs.number(client, "ConnectRetryTime")) * time.Second, Multiplier: uint32(rs.number(client, "ConnectRetryIntervalMultiplier")),
		Cap: time.Duration(rs.number(client, "ConnectRetryMaxInterval")) * time.Second}
	to.MQTT = mtp.MQTT{Client: client, Version: rs.get(client, "ProtocolVersion"), WebSocket: webSocket,
		ClientID: values["ClientID"], Username: values["Username"], Password: rs.password(client, to.Added), CleanStart: rs.is(client, clean)}
	return to
}

// behind is the first Controller that is reached over a Client, or over a Connection of STOMP: not one that has another way which comes first.
func (a *Agent) behind(row string) usp.EndpointID {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, to := range a.wanted() {
		if to.MQTT.Client == row || to.STOMP.Connection == row {
			return to.Controller
		}
	}
	return ""
}

// subscribed are the enabled rows of a Client's Subscription.
func (rs *rowSet) subscribed(client string) string {
	var lines strings.Builder
	for _, s := range rs.instances(client + "Subscription.") {
		if rs.is(s, "Enable") && rs.get(s, "Topic") != "" {
			lines.WriteString(rs.get(s, "QoS") + " " + rs.get(s, "Topic") + "\n")
		}
	}
	return lines.String()
}

// addClient makes the rows of a Controller's broker, unless there are the same already, and gives the Agent's MTP there.
func (f *Fleet) addClient(controller usp.EndpointID, m *MTPConfig) string {
	q := m.MQTT
	version := q.Version
	if version == "" {
		version = "5.0"
	}
	transport := "TCP/IP"
	switch {
	case q.WebSocket && m.EnableEncryption:
		transport = "WebSocketTLS"
	case q.WebSocket:
		transport = webSocket
	case m.EnableEncryption:
		transport = "TLS"
	}
	values := map[string]string{"ProtocolVersion": version, "BrokerAddress": m.Host, "BrokerPort": itoa(m.Port), "TransportProtocol": transport, "Username": q.Username,
		passwordKey: q.Password, brokerPath: m.Path, topicKey: q.AgentTopic, atKey: at(transport, m.Host, itoa(m.Port)), "Enable": "true"}
	same := 0 // Clients at this broker, whose Client Identifiers have to differ
	for _, row := range f.base.instances(mqttClientTable) {
		if there := f.base.values[row]; there["BrokerAddress"] == m.Host && there["BrokerPort"] == values["BrokerPort"] {
			same++
			if !slices.ContainsFunc(sortedKeys(values), func(k string) bool { return there[k] != values[k] }) {
				f.alsoFor(controller, row, there[mtpKey]+".")
				return there[mtpKey]
			}
		}
	}
	n, own := itoa(len(f.base.index[mqttClientTable])+1), ownMTPTable+itoa(len(f.base.index[ownMTPTable])+1)
	client := mqttClientTable + n
	values["ClientID"], values["Alias"], values["Name"], values[mtpKey] = "{endpoint_id}", "cpe-"+n, "cpe-"+n, own
	values[forKey] = string(controller)
	if same > 0 {
		values["ClientID"] += "-" + itoa(same+1)
	}
	f.base.put(client+".", values)
	f.base.put(own+".", map[string]string{"Alias": "cpe-" + strings.TrimPrefix(own, ownMTPTable), "Enable": "true", "Protocol": mqttMTP, forKey: string(controller)})
	f.base.put(own+"."+mqttName, map[string]string{"Reference": client, "ResponseTopicConfigured": q.AgentTopic})
	return own
}

// alsoFor notes that rows were made for one Controller more.
func (f *Fleet) alsoFor(controller usp.EndpointID, rows ...string) {
	for _, row := range rows {
		f.base.put(row, map[string]string{forKey: f.base.values[row][forKey] + " " + string(controller)})
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Learnt implements mtp.Learner: a Client Identifier that a broker has assigned is kept (R-MQTT.9).
func (o outward) Learnt(controller usp.EndpointID, s mtp.State) {
	if !s.Assigned || !o.enter() {
		return
	}
	a := o.Agent
	go func() {
		defer a.leave()
		err := a.update(a.life(), "", func(t *tx) error {
			for _, m := range t.rows.instances(t.rows.controller(controller) + "MTP.") {
				if client := t.rows.mqttClient(m); client != "" {
					t.put(client, "ClientID", s.ClientID)
					t.put(client, assignedKey, s.ClientID)
				}
			}
			return nil
		})
		if err != nil && a.life().Err() == nil {
			a.fleet.log.Warn("a Client Identifier could not be kept", "device", a.id.ID, "err", err)
		}
	}()
}
