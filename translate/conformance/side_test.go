package conformance_test

import "testing"

const (
	controllerTable   = "Device.LocalAgent.Controller."
	subscriptionTable = "Device.LocalAgent.Subscription."
)

// side is a place where a case can be run: a table whose rows can be made, and what the case does there.
type side struct {
	name, table string
	toggle      string   // a boolean that means nothing to the case
	number      string   // an unsigned number
	key         string   // a functional unique key, or the part that makes it unique
	keys        []string // what the map of unique keys must have
	wrong       []param  // what cannot be set
	unsupported string   // an object that the data model lacks
}

var (
	localAgent = side{name: "LocalAgent", table: subscriptionTable, toggle: "NotifRetry", number: "NotifExpiration", key: "ID",
		keys: []string{"Alias", "ID", "Recipient"}, unsupported: "Device.LocalAgent.InvalidObject.",
		wrong: []param{req("Enable", "InvalidValue"), req("NotifType", "Sometimes")}}
	// Some of what cannot be set the CPE alone knows.
	onCPE = side{name: "CPE", table: "Device.NAT.PortMapping.", toggle: "AllInterfaces", number: "LeaseDuration", key: "ExternalPort",
		keys: []string{"Alias", "ExternalPort", "Protocol", "RemoteHost"}, unsupported: "Device.NAT.InvalidObject.",
		wrong: []param{req("Enable", "InvalidValue"), req("Protocol", "SCTP"), req("ExternalPort", "70000")}}
)

// row is what a row of the table is made of; n makes its keys its own.
func (s side) row(n int, more ...param) []param {
	ps := []param{req("Enable", "true"), req(s.key, s.id(n))}
	if s.table == subscriptionTable {
		ps = append(ps, opt("NotifType", "ValueChange"), req("ReferenceList", "Device.LocalAgent.SoftwareVersion"))
	} else {
		ps = append(ps, req("InternalPort", "80"), opt("Description", "Conformance"))
	}
	out := ps[:0:0]
	for _, p := range ps {
		if !replaced(p, more) {
			out = append(out, p)
		}
	}
	return append(out, more...)
}

func replaced(p param, by []param) bool {
	for _, m := range by {
		if m.name == p.name {
			return true
		}
	}
	return false
}

// id is the value of the key of row n.
func (s side) id(n int) string {
	if s.table == subscriptionTable {
		return "case" + itoa(n)
	}
	return itoa(10000 + n)
}

// find is a path that finds row n by its key.
func (s side) find(n int) string {
	if s.table == subscriptionTable {
		return s.table + `[ID=="` + s.id(n) + `"].`
	}
	return s.table + `[RemoteHost==""&&ExternalPort==` + s.id(n) + `&&Protocol=="TCP"].`
}

// both runs a case on the Agent's own table and on the CPE's, each empty.
func both(t *testing.T, run func(e *eut, s side)) {
	for _, s := range []side{localAgent, onCPE} {
		t.Run(s.name, func(t *testing.T) {
			e := shared(t)
			e.clear(s.table)
			run(e, s)
		})
	}
}

// clear removes the rows of a table.
func (e *eut) clear(table string) {
	e.Helper()
	_, err := e.delete(false, table+"*.")
	e.must(err)
	e.wantRows(table)
}

// nested is a table in a row of another.
type nested struct {
	name, parents, parent string
	byKey                 string // finds the parent by its keys
	child                 string
	keys                  []string
}

func (n nested) table() string { return n.parent + n.child }

func (n nested) row(i int, enable string) []param {
	if n.name == "LocalAgent" {
		return []param{req("Enable", enable), req("ParameterName", []string{"Device.LocalAgent.SoftwareVersion", "Device.DeviceInfo.SerialNumber"}[i%2])}
	}
	return []param{req("Enable", enable), req("Chaddr", "00:D0:9E:00:01:0"+itoa(i)), req("Yiaddr", "192.168.1.20"+itoa(i))}
}

// bothNested runs a case on the nested tables of the Agent and of the CPE, each empty.
func bothNested(t *testing.T, run func(e *eut, n nested)) {
	t.Run("LocalAgent", func(t *testing.T) {
		e := shared(t)
		own := e.own()
		n := nested{name: "LocalAgent", parents: controllerTable, parent: own, child: "BootParameter.", keys: []string{"Alias", "ParameterName"},
			byKey: controllerTable + `[EndpointID=="` + string(controllerID) + `"&&Alias=="` + e.values(own + "Alias")[own]["Alias"] + `"].`}
		e.clear(n.table())
		run(e, n)
	})
	t.Run("CPE", func(t *testing.T) {
		e := shared(t)
		pools := "Device.DHCPv4.Server.Pool."
		n := nested{name: "CPE", parents: pools, parent: pools + "1.", byKey: pools + `[Alias=="cpe-1"].`, child: "StaticAddress.", keys: []string{"Alias", "Chaddr"}}
		e.clear(n.table())
		run(e, n)
	})
}
