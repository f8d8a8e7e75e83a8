package agent

import (
	"cmp"
	"net/url"
	"strings"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// ownMTPs are the MTPs of the Agent itself. Where Controllers dial in is the same for all Agents of a process, and the configuration's to decide.
var ownMTPs = []*table{
	{ObjectDef: ObjectDef{Path: ownRoot + "MTP.{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}}}, limit: maxBrokerRows, count: "MTPNumberOfEntries", columns: []column{
		alias(),
		flag("Enable"),
		oneOf(quiet(computed("Status", TypeString, mtpStatus)), "Up", "Down", "Error"),
		oneOf(text("Protocol", mqttMTP, 0), webSocket, mqttMTP, stompMTP),
		shown(flag("EnableMDNS")),
	}},
	// It is there where Controllers can dial in.
	{ObjectDef: ObjectDef{Path: ownRoot + "MTP.{i}.WebSocket."}, optional: true, columns: []column{
		shown(list("Interfaces", 0)),
		shown(number("Port", "8443", 1, 65535)),
		computed("Path", TypeString, func(v *view, path string) string {
			return strings.ReplaceAll(v.rows.values[path][pathKey], "{endpoint_id}", url.PathEscape(string(v.agent.id.ID)))
		}),
		shown(enabled("EnableEncryption")),
		shown(number("KeepAliveInterval", keepAlive, 1, maxUint32)),
	}},
}

// pathKey is the template that the Path of the accepting side is made of.
const pathKey = ".path"

// addWebSocketMTP makes the row of the Agents' MTP over WebSocket.
func (f *Fleet) addWebSocketMTP() {
	row := ownMTPTable + "1."
	f.base.put(row, map[string]string{"Alias": "cpe-1", "Enable": "true", "Protocol": webSocket, forKey: webSocket})
	if s := f.opts.Server; s != nil {
		f.base.put(row+"WebSocket.", map[string]string{"Port": itoa(s.Port), pathKey: s.Path, "EnableEncryption": formatBool(s.EnableEncryption)})
	}
}

// mtpStatus is Up while a Controller is connected or can connect.
func mtpStatus(v *view, row string) string {
	values := v.rows.values[row]
	protocol := cmp.Or(values["Protocol"], mqttMTP)
	if v.exists(row + "WebSocket.") {
		return "Up"
	}
	if to := v.rows.values[row+protocol+"."]["Reference"]; protocol != webSocket && (values["Enable"] != "true" || v.wayState(to+".").Status != mtp.Connected) {
		return "Down"
	}
	a := v.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.links {
		if l.ch.Protocol() == protocol {
			return "Up"
		}
	}
	return "Down"
}

// configuredMTP is the error of touching how a Controller of the configuration is reached, but for where it is behind brokers.
func (rs *rowSet) configuredMTP(path string) *usp.Error {
	c := controllerOf(path)
	m := mtpOf(path)
	if c == "" || rs.values[c][fleetMark] == "" || !strings.HasPrefix(path, c+"MTP.") || m != "" && (path == m+mqttName || path == m+stompName) {
		return nil
	}
	return usp.Errorf(usp.NonWritableParameter, "the configuration says how this Controller is reached")
}

// lockedOut is the error of a Controller of the configuration that would do away with itself: nobody could undo that at this Agent but the operator.
func (t *tx) lockedOut(row string) *usp.Error {
	if t.rows.values[row][fleetMark] == "" || usp.EndpointID(t.rows.get(row, "EndpointID")) != t.from || t.from == "" {
		return nil
	}
	return usp.Errorf(usp.RequestDenied, "the configuration names this Controller: another one may disable or delete it, not it itself")
}
