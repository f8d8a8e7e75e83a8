package agent

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strings"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

// brokerTables are those that say how brokers are used; whoever refers to rows of another comes after it. The configuration's rows are in every Agent,
// where Controllers may change and add to them. An Agent that has its own of any keeps which number each of the configuration's has.
var brokerTables = [...]string{mqttClientTable, stompConnectionTable, ownMTPTable}

// maxBrokerRows bounds each of brokerTables.
const maxBrokerRows = 8

// Keys of a row of brokerTables that are no parameters.
const (
	forKey         = ".for"         // the Controllers that the configuration made it for, separated by blanks: what it is known by whatever their order
	atKey          = ".at"          // where the configuration has the broker
	passwordKey    = ".password"    // the configuration's
	ownPasswordKey = ".ownPassword" // that a Controller has set, which counts instead
)

// brokerReferences are the parameters that refer to brokerTables.
var brokerReferences = [...]string{"Reference", "AgentMTPReference"}

// brokerRow gives the row of one of brokerTables that a path is in, "" if it is in none.
func brokerRow(path string) string {
	for _, table := range brokerTables {
		rest, ok := strings.CutPrefix(path, table)
		if n, _, _ := strings.Cut(rest, "."); ok && n != "" {
			return table + n + "."
		}
	}
	return ""
}

// counterpart is the row of brokerTables that was made for the same Controllers as one of another rowSet, "" if there is none.
func (rs *rowSet) counterpart(row string, of *rowSet) string {
	controllers := strings.Fields(of.values[row][forKey])
	table, _ := splitRow(row)
	for _, p := range rs.instances(table) {
		if slices.ContainsFunc(strings.Fields(rs.values[p][forKey]), func(c string) bool { return slices.Contains(controllers, c) }) {
			return p
		}
	}
	return ""
}

// asHere gives values of the configuration with the numbers that brokers have here.
func (rs *rowSet) asHere(base *rowSet, values map[string]string) map[string]string {
	for _, name := range brokerReferences {
		to := values[name]
		if here := strings.TrimSuffix(rs.counterpart(to+".", base), "."); to != "" && here != to {
			values = maps.Clone(values)
			values[name] = here
		}
	}
	return values
}

// configured is what the configuration says of an object that is about brokers, nil if nothing.
func (rs *rowSet) configured(path string, base *rowSet) map[string]string {
	row, from := brokerRow(path), ""
	switch {
	case row != "":
		from = base.counterpart(row, rs)
	case mtpOf(path) != "":
		if row = controllerOf(path); rs.values[row][fleetMark] != "" {
			from = base.controller(usp.EndpointID(rs.values[row]["EndpointID"]))
		}
	}
	if from == "" {
		return nil
	}
	return rs.asHere(base, base.values[from+strings.TrimPrefix(path, row)])
}

// placeBrokers gives the configuration's brokers their rows: the numbers that were kept, else new ones. What is kept of one that the
// configuration does not have any more is taken out of kept.
func placeBrokers(rs, base *rowSet, kept map[string]map[string]string) {
	were, highest := newRowSet(), map[string]uint32{}
	for path, values := range kept {
		table, n := splitRow(path)
		highest[table] = max(highest[table], n, number32(values[lastKey]))
		if values[forKey] != "" {
			were.put(path, values)
		}
	}
	for _, table := range brokerTables {
		fresh := highest[table] == 0
		for _, from := range base.instances(table) {
			to := were.counterpart(from, base)
			switch {
			case to != "":
				were.remove(to)
				delete(kept[to], forKey) // the configuration says that
			case fresh:
				to = from
			default:
				highest[table]++
				to = table + itoa(highest[table]) + "."
			}
			for path, values := range base.values {
				if rest, ok := strings.CutPrefix(path, from); ok {
					rs.put(to+rest, rs.asHere(base, values))
				}
			}
			if _, n := splitRow(to); to != from {
				rs.rename(to, "cpe-"+itoa(n))
			}
		}
		if n := highest[table]; n > rs.last[table] {
			rs.last[table] = n
		}
	}
	for path := range kept {
		if were.values[brokerRow(path)] != nil {
			delete(kept, path)
		}
	}
}

// rename gives a row of the configuration the names that go with its number.
func (rs *rowSet) rename(row, name string) {
	names := map[string]string{"Alias": name}
	if tableOf(row).column("Name") != nil {
		names["Name"] = name
	}
	rs.put(row, names)
}

// leads says that a path has a part in how Controllers are reached.
func leads(path string) bool { return brokerRow(path) != "" || mtpOf(path) != "" }

// bindBrokers has the numbers of the configuration's brokers kept when something is that goes by them.
func (t *tx) bindBrokers() {
	if !slices.ContainsFunc(slices.Collect(maps.Keys(t.changed)), leads) {
		return
	}
	for _, table := range brokerTables {
		for _, row := range t.rows.instances(table) {
			if t.rows.values[row][forKey] != "" {
				t.changed[row] = true
			}
		}
	}
}

// at says where a broker is, and whether that is protected, in words that can be compared.
func at(transport, host, port string) string { return transport + " " + net.JoinHostPort(host, port) }

// password is what an Agent logs in with at the broker of a row. That of the configuration goes nowhere but where the configuration says.
func (rs *rowSet) password(row string, added bool) mtp.Secret {
	if p := rs.values[row][ownPasswordKey]; p != "" || added {
		return mtp.Secret(p)
	}
	return mtp.Secret(rs.values[row][passwordKey])
}

// checkBroker says what is wrong with a row of brokerTables that a Controller has made or changed.
func (t *tx) checkBroker(row string) (bad usp.ParamError, ok bool) {
	var to mtp.Target
	name, at := "", row
	table, _ := splitRow(row)
	if table == ownMTPTable {
		protocol := t.rows.get(row, "Protocol")
		if protocol == webSocket && t.rows.values[row][forKey] == "" {
			return usp.ParamError{Path: row + "Protocol", Code: usp.InvalidValue, Msg: "only the configuration says where Controllers dial in"}, false
		}
		name = protocol + ".Reference"
		at = t.rows.get(row+protocol+".", "Reference") + "."
		table, _ = splitRow(at)
		for _, other := range t.rows.instances(ownMTPTable) {
			if other != row && t.exists(at) && t.rows.get(other, "Protocol") == protocol && t.rows.get(other+protocol+".", "Reference")+"." == at {
				return usp.ParamError{Path: row + name, Code: usp.InvalidValue, Msg: other + " has this connection already, which listens at one place"}, false
			}
		}
	}
	switch {
	case !t.exists(row) || !t.exists(at):
		return bad, true
	case table == mqttClientTable:
		to = t.rows.mqttBroker(at, mtp.Target{Protocol: mqttMTP})
		name = cmp.Or(name, "BrokerAddress")
	case table == stompConnectionTable:
		to = t.rows.stompBroker(at, mtp.Target{Protocol: stompMTP})
		name = cmp.Or(name, "Host")
	}
	if d := t.agent.fleet.opts.Dialer; d != nil && to.Added && to.Host != "" {
		if err := d.Check(to); err != nil {
			e := usp.AsError(err)
			return usp.ParamError{Path: row + name, Code: e.Code, Msg: e.Msg}, false
		}
	}
	return bad, true
}

// configuredBroker is the error of changing what the configuration says of a row of brokerTables and what nothing can be in the place of.
func (rs *rowSet) configuredBroker(row, name string) *usp.Error {
	values := rs.values[row]
	table, _ := splitRow(row)
	if table == ownMTPTable && values[forKey] != "" && (name == "Protocol" || values["Protocol"] == webSocket) {
		return usp.Errorf(usp.NonWritableParameter, "the configuration has this MTP")
	}
	return nil
}

// removeBroker deletes a row of brokerTables and what refers to it.
func (t *tx) removeBroker(row string) error {
	if t.rows.values[row][forKey] != "" {
		return usp.Errorf(usp.DeleteFailure, "the configuration has %s", row)
	}
	start := t.mark()
	t.clearReferences(row)
	t.drop(row)
	if err := t.cutOff(); err != nil {
		t.back(start)
		return &usp.Error{Code: usp.DeleteFailure, Msg: err.Msg}
	}
	return nil
}

// cutOff is the error of a Controller of the configuration that has it that it would not be dialled any more: nobody could undo that at this Agent but the
// operator. That what it leads to does not answer is not known before.
func (t *tx) cutOff() *usp.Error {
	row := t.rows.controller(t.from)
	if row == "" || t.rows.values[row][fleetMark] == "" || targetOf(t.from, t.before.targets()).Host == "" || targetOf(t.from, t.rows.targets()).Host != "" {
		return nil
	}
	return usp.Errorf(usp.RequestDenied, "the configuration names this Controller, which the Agent would not connect with any more: another one may do that, not it itself")
}
