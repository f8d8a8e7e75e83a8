package agent

import (
	"slices"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// stompRoot is a subtree that the Agent serves itself: its own connections with servers, not the device's.
const (
	stompRoot            = "Device.STOMP."
	stompConnectionTable = stompRoot + "Connection."
	stompMTP             = "STOMP"
	stompName            = "STOMP." // of the object below a row of an MTP
)

// STOMPConfig is what the configuration says of a STOMP server besides its address. In AgentDestination and Username "{endpoint_id}" stands for the
// Agent's Endpoint ID.
type STOMPConfig struct {
	Username, Password    string
	VirtualHost           string
	AgentDestination      string        // where the Agent listens, if the server does not say
	ControllerDestination string        // where the Controller listens
	Heartbeat             time.Duration // both ways; 0: none
}

var stompTables = []*table{
	{ObjectDef: ObjectDef{Path: stompRoot}, columns: []column{counts("Connection")}},
	{ObjectDef: ObjectDef{Path: stompConnectionTable + "{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}, {"Host", "Username", "VirtualHost"}}},
		limit: maxBrokerRows, count: "ConnectionNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			oneOf(quiet(computed("Status", TypeString, func(v *view, row string) string { return stompStatus[v.wayState(row).Status] })),
				"Enabled", "Disabled", "Unknown", "Connecting", "ServerNotPresent", "Error_Misconfigured", "Error"),
			quiet(computed("LastChangeDate", TypeDateTime, func(v *view, row string) string {
				if at := v.wayState(row).Since; !at.IsZero() {
					return at.UTC().Format(time.RFC3339)
				}
				return unknownTime
			})),
			text("Host", "", 256),
			number("Port", "61613", 1, 65535),
			expanded(checked(text("Username", "", 256), noNull)),
			brokerPassword(),
			checked(text("VirtualHost", "", 256), noNull),
			flag("EnableHeartbeats"),
			checked(number("OutgoingHeartbeat", "0", 0, maxHeartbeat), checkHeartbeat),
			checked(number("IncomingHeartbeat", "0", 0, maxHeartbeat), checkHeartbeat),
			number("ServerRetryInitialInterval", "60", 1, 65535),
			number("ServerRetryIntervalMultiplier", "2000", 1000, 65535),
			number("ServerRetryMaxInterval", "30720", 1, maxUint32),
			enabled("EnableEncryption"),
		}},
	{ObjectDef: ObjectDef{Path: ownMTPTable + "{i}.STOMP."}, protocol: stompMTP, columns: []column{
		reference("Reference", stompConnectionTable),
		expanded(checked(text("Destination", "", maxTopic), checkDestination)),
		quiet(computed("DestinationFromServer", TypeString, func(v *view, path string) string {
			return v.wayState(v.rows.values[path]["Reference"] + ".").ResponseInformation
		})),
	}},
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}.MTP.{i}.STOMP."}, protocol: stompMTP, columns: []column{
		reference("Reference", stompConnectionTable),
		checked(text("Destination", "", maxTopic), checkDestination),
	}},
}

// Heart-beats are a second to a day apart, in milliseconds.
const (
	minHeartbeat = 1000
	maxHeartbeat = 86_400_000
)

// checkHeartbeat refuses what would have a fleet do nothing but send heart-beats.
func checkHeartbeat(value string) error {
	if n := number32(value); n > 0 && n < minHeartbeat {
		return usp.Errorf(usp.InvalidValue, "heart-beats are %d ms apart at least, or 0 for none", minHeartbeat)
	}
	return nil
}

// stompStatus are the values of Status of a Connection.
var stompStatus = map[mtp.Status]string{mtp.Disabled: "Disabled", mtp.Connecting: "Connecting", mtp.Connected: "Enabled",
	mtp.Misconfigured: "Error_Misconfigured", mtp.Unreachable: "ServerNotPresent", mtp.Failed: "Error"}

// checkDestination refuses what would end a frame early.
func checkDestination(s string) error {
	if strings.ContainsRune(s, 0) {
		return usp.Errorf(usp.InvalidValue, "%q is no destination", s)
	}
	return nil
}

// stompConnection is the row of the Connection that the row of a Controller's MTP leads to, "" if to none.
func (rs *rowSet) stompConnection(row string) string {
	if rs.values[row]["Protocol"] != stompMTP {
		return ""
	}
	connection := rs.values[row+stompName]["Reference"] + "."
	if rs.values[connection] == nil {
		return ""
	}
	return connection
}

// ownSTOMP is the Agent's MTP at a Connection: the first that is enabled, "" if none is.
func (rs *rowSet) ownSTOMP(connection string) string {
	for _, own := range rs.instances(ownMTPTable) {
		if rs.get(own, "Protocol") == stompMTP && rs.is(own, "Enable") && rs.get(own+stompName, "Reference")+"." == connection {
			return own
		}
	}
	return ""
}

// stompTarget is what a Controller's MTP row, the Agent's and a Connection's say together: nothing unless all of them are enabled.
func (rs *rowSet) stompTarget(row string, to mtp.Target) mtp.Target {
	c := rs.stompConnection(row)
	own := rs.ownSTOMP(c)
	if own == "" || !rs.is(c, "Enable") {
		return to
	}
	to = rs.stompBroker(c, to)
	to.STOMP.OwnDestination, to.STOMP.Destination = rs.get(own+stompName, "Destination"), rs.get(row+stompName, "Destination")
	return to
}

// stompBroker is what the row of a Connection says.
func (rs *rowSet) stompBroker(c string, to mtp.Target) mtp.Target {
	values := rs.values[c]
	to.Added = values[atKey] != stompAt(rs.get(c, "Host"), rs.get(c, "Port"), rs.get(c, "EnableEncryption"))
	to.Host, to.Port, to.Encrypted = rs.get(c, "Host"), int(rs.number(c, "Port")), rs.is(c, "EnableEncryption")
	to.Retry = usp.Retry{Minimum: time.Duration(rs.number(c, "ServerRetryInitialInterval")) * time.Second, Multiplier: uint32(rs.number(c, "ServerRetryIntervalMultiplier")),
		Cap: time.Duration(rs.number(c, "ServerRetryMaxInterval")) * time.Second, FromZero: true}
	to.STOMP = mtp.STOMP{Connection: c, Username: values["Username"], Password: rs.password(c, to.Added), VirtualHost: values["VirtualHost"]}
	if rs.is(c, "EnableHeartbeats") {
		to.STOMP.Outgoing = time.Duration(rs.number(c, "OutgoingHeartbeat")) * time.Millisecond
		to.STOMP.Incoming = time.Duration(rs.number(c, "IncomingHeartbeat")) * time.Millisecond
	}
	return to
}

// stompAt is at of a server.
func stompAt(host, port, encrypted string) string { return at("TLS "+encrypted, host, port) }

// addConnection makes the rows of a Controller's server, unless there are the same already, and gives the Connection.
func (f *Fleet) addConnection(controller usp.EndpointID, m *MTPConfig) string {
	s := m.STOMP
	values := map[string]string{"Host": m.Host, "Port": itoa(m.Port), "Username": s.Username, "VirtualHost": s.VirtualHost, "EnableEncryption": formatBool(m.EnableEncryption),
		passwordKey: s.Password, topicKey: s.AgentDestination, atKey: stompAt(m.Host, itoa(m.Port), formatBool(m.EnableEncryption)), "Enable": "true"}
	if s.Heartbeat > 0 {
		values["EnableHeartbeats"] = "true"
		values["OutgoingHeartbeat"] = itoa(s.Heartbeat.Milliseconds())
		values["IncomingHeartbeat"] = values["OutgoingHeartbeat"]
	}
	for _, row := range f.base.instances(stompConnectionTable) {
		there := f.base.values[row]
		if !slices.ContainsFunc(sortedKeys(values), func(k string) bool { return there[k] != values[k] }) {
			f.alsoFor(controller, row, there[mtpKey]+".")
			return strings.TrimSuffix(row, ".")
		}
	}
	n := itoa(len(f.base.index[stompConnectionTable]) + 1)
	connection, own := stompConnectionTable+n, itoa(len(f.base.index[ownMTPTable])+1)
	values["Alias"], values[forKey], values[mtpKey] = "cpe-"+n, string(controller), ownMTPTable+own
	f.base.put(connection+".", values)
	f.base.put(ownMTPTable+own+".", map[string]string{"Alias": "cpe-" + own, "Enable": "true", "Protocol": stompMTP, forKey: string(controller)})
	f.base.put(ownMTPTable+own+"."+stompName, map[string]string{"Reference": connection, "Destination": s.AgentDestination})
	return connection
}
