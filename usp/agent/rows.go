package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"isthmus/usp"
)

// rowSet is one state of an Agent's own tables. It is never changed once it is published: whoever has one may read it without a lock.
type rowSet struct {
	// values are those that differ from a column's initial value, by the path of their object. A row exists if it is here.
	values map[string]map[string]string
	// index has the instance numbers of each table, ascending.
	index map[string][]uint32
	// last is the highest number that a table ever gave away (R-ARC.8).
	last map[string]uint32

	run string // of the fleet's: which run of the process it is of

	like    *rowSet // one with the same tables, whose grants hold here, too; nil: none is known
	once    sync.Once
	granted map[usp.EndpointID]grant // see grants
}

// Keys of a row that are no parameters: they say where a Controller's row comes from.
const (
	fleetMark   = ".fleet"   // the row belongs to a Controller of the configuration
	deletedMark = ".deleted" // … and was deleted by a Controller, in that run of the process; it is back in the next
	goneMark    = ".gone"    // … which is not in the configuration any more, since that time
	goneNow     = "now"      // … which is found out just now
	lastKey     = ".last"    // in the record of a table: the highest instance number ever given away
	bootKey     = ".boot"    // in the record of LocalAgent.: when the CPE booted
)

func itoa[T int | uint32 | int64 | uint64](n T) string { return strconv.FormatInt(int64(n), 10) }

func newRowSet() *rowSet {
	return &rowSet{values: map[string]map[string]string{}, index: map[string][]uint32{}, last: map[string]uint32{}}
}

func (rs *rowSet) clone() *rowSet {
	return &rowSet{values: maps.Clone(rs.values), index: maps.Clone(rs.index), last: maps.Clone(rs.last)}
}

// get gives the value of a kept parameter.
func (rs *rowSet) get(path, name string) string {
	if name == "Enable" && rs.values[path][goneMark] != "" {
		return "false"
	}
	if v, ok := rs.values[path][name]; ok {
		return v
	}
	if t := tableOf(path); t != nil {
		if c := t.column(name); c != nil {
			return c.initial
		}
	}
	return ""
}

func (rs *rowSet) is(path, name string) bool { return rs.get(path, name) == "true" }

// number reads a parameter that the type check let in as a number.
func (rs *rowSet) number(path, name string) uint64 {
	n, _ := strconv.ParseUint(rs.get(path, name), 10, 64)
	return n
}

// instances gives the paths of a table's rows.
func (rs *rowSet) instances(table string) []string {
	paths := make([]string, len(rs.index[table]))
	for i, n := range rs.index[table] {
		paths[i] = table + itoa(n) + "."
	}
	return paths
}

// put sets values of an object; it makes the row if need be, of values, which is not to change any more. Only for a rowSet that is not published.
func (rs *rowSet) put(path string, values map[string]string) {
	if row := maps.Clone(rs.values[path]); row != nil {
		maps.Copy(row, values)
		values = row
	}
	rs.values[path] = values
	table, n := splitRow(path)
	if n == 0 {
		return
	}
	if i, found := slices.BinarySearch(rs.index[table], n); !found {
		rs.index[table] = slices.Insert(slices.Clone(rs.index[table]), i, n)
	}
	rs.last[table] = max(rs.last[table], n)
}

// remove takes a row and everything below it away and returns the paths of the rows among them, children first.
func (rs *rowSet) remove(path string) []string {
	var rows []string
	for p := range rs.values {
		if strings.HasPrefix(p, path) {
			if _, n := splitRow(p); n != 0 {
				rows = append(rows, p)
			}
			delete(rs.values, p)
		}
	}
	for table := range rs.last {
		if strings.HasPrefix(table, path) {
			delete(rs.last, table)
		}
	}
	slices.SortFunc(rows, func(a, b string) int { return strings.Compare(b, a) })
	for _, p := range rows {
		table, n := splitRow(p)
		rs.index[table] = slices.DeleteFunc(slices.Clone(rs.index[table]), func(m uint32) bool { return m == n })
		if len(rs.index[table]) == 0 {
			delete(rs.index, table)
		}
	}
	return rows
}

// splitRow gives the table and the number of a row's path, number 0 if it is no row.
func splitRow(path string) (table string, n uint32) {
	p := strings.TrimSuffix(path, ".")
	i := strings.LastIndexByte(p, '.') + 1
	if p == path || !IsInstance(p[i:]) {
		return path, 0
	}
	num, err := strconv.ParseUint(p[i:], 10, 32)
	if err != nil {
		return path, 0
	}
	return path[:i], uint32(num)
}

// number32 reads a number that was kept, 0 if there is none.
func number32(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}

// controller finds the row of a Controller, "" if there is none.
func (rs *rowSet) controller(id usp.EndpointID) string {
	for _, p := range rs.instances(controllerTable) {
		if rs.values[p]["EndpointID"] == string(id) {
			return p
		}
	}
	return ""
}

// recordID names the record of an object.
func recordID(path string) string { return strings.TrimPrefix(path, "Device.") }

// record is what is kept of an object: of a Controller that the configuration names only what differs from it.
func (rs *rowSet) record(path string, base *rowSet) (Record, error) {
	values := rs.values[path]
	if table, n := splitRow(path); n == 0 && rs.last[table] != 0 {
		values = map[string]string{lastKey: itoa(rs.last[table])}
	}
	if values == nil {
		return Record{Kind: RowRecord, ID: recordID(path)}, nil
	}
	if strings.HasPrefix(path, roleTable) && follows(values) {
		values = map[string]string{"Name": values["Name"], fleetMark: values[fleetMark]}
	} else if from := base.controller(usp.EndpointID(values["EndpointID"])); from != "" && values[fleetMark] != "" {
		kept := map[string]string{"EndpointID": values["EndpointID"], fleetMark: values[fleetMark]}
		for k, v := range values {
			if base.values[from][k] != v && k != "AssignedRole" {
				kept[k] = v
			}
		}
		values = kept
	}
	if of := rs.configured(path, base); of != nil {
		kept := map[string]string{}
		for k, v := range values {
			if of[k] != v || k == forKey {
				kept[k] = v
			}
		}
		values = kept
	}
	data, err := json.Marshal(values)
	if err != nil {
		return Record{}, fmt.Errorf("encode row %s: %w", path, err)
	}
	return Record{Kind: RowRecord, ID: recordID(path), Data: data}, nil
}

// tombstone is what is kept of a Controller of the configuration that was deleted here.
func tombstone(id, run string) []byte {
	data, _ := json.Marshal(map[string]string{"EndpointID": id, fleetMark: "1", deletedMark: run}) // strings always encode
	return data
}

// overlay lays what was kept over the rows of the fleet.
func overlay(base *rowSet, records []Record) (*rowSet, error) {
	kept := make(map[string]map[string]string, len(records))
	for _, r := range records {
		if r.Kind != RowRecord {
			continue
		}
		values := map[string]string{}
		if err := json.Unmarshal(r.Data, &values); err != nil {
			return nil, fmt.Errorf("decode row %s: %w", r.ID, err)
		}
		kept["Device."+r.ID] = values
	}
	if base.places(kept) {
		return base.with(kept[ownRoot]), nil
	}
	rs := newRowSet()
	for path, values := range base.values {
		if !strings.HasPrefix(path, controllerTable) && !strings.HasPrefix(path, roleTable) && brokerRow(path) == "" {
			rs.put(path, values)
		}
	}
	placeBrokers(rs, base, kept)
	placeRoles(rs, base, kept)
	placeFleet(rs, base, kept)
	for path, values := range kept {
		switch {
		case values[lastKey] != "":
			n, err := strconv.ParseUint(values[lastKey], 10, 32)
			if err != nil {
				return nil, fmt.Errorf("decode counter of %s: %w", path, err)
			}
			rs.last[path] = max(rs.last[path], uint32(n))
		case values[derKey] != "" && base.values[path] != nil: // the configuration has it now
		case values[deletedMark] != "":
			if table, n := splitRow(path); n != 0 {
				rs.last[table] = max(rs.last[table], n)
			}
		case mtpOf(path) != "" && kept[controllerOf(path)][fleetMark] == "" && base.controller(usp.EndpointID(kept[controllerOf(path)]["EndpointID"])) != "":
			// The file says how the Controller is reached, whatever was added before it did.
		default:
			if table, _ := splitRow(path); table == controllerTable {
				if base.controller(usp.EndpointID(values["EndpointID"])) != "" {
					delete(values, goneMark)
					delete(values, "AssignedRole")
				} else if values[fleetMark] != "" && values[goneMark] == "" {
					values[goneMark] = goneNow
				}
			}
			rs.put(path, values)
		}
	}
	return rs, nil
}

// places says that what was kept comes to the fleet's own rows, with the numbers that they have there, and to values of LocalAgent. itself. That
// is what nearly every Agent has.
func (rs *rowSet) places(kept map[string]map[string]string) bool {
	controllers, roles := 0, untrustedRole
	for path, values := range kept {
		table, n := splitRow(path)
		key := ""
		switch table {
		case controllerTable:
			key = "EndpointID"
			controllers++
		case roleTable:
			key = "Name"
			roles++
		}
		bare := len(values) == 2 && values[fleetMark] != "" && values[key] != "" && values[key] == rs.values[path][key]
		if path != ownRoot && (key == "" || n == 0 || !bare) {
			return false
		}
	}
	return (controllers == 0 || controllers == len(rs.index[controllerTable])) && (roles == untrustedRole || roles == len(rs.index[roleTable]))
}

// with is the fleet's rows and values of LocalAgent. itself. It shares what it can.
func (rs *rowSet) with(own map[string]string) *rowSet {
	if len(own) == 0 {
		return rs
	}
	out := &rowSet{values: maps.Clone(rs.values), index: rs.index, last: rs.last, like: rs}
	out.put(ownRoot, own)
	return out
}

// placeFleet gives the Controllers of the configuration their rows: the number that was kept, else a new one.
func placeFleet(rs, base *rowSet, kept map[string]map[string]string) {
	place := make(map[string]string) // Endpoint ID → kept row; a live one counts more than a deleted one
	var highest uint32
	for path, values := range kept {
		table, n := splitRow(path)
		if table != controllerTable {
			if table == path && path == controllerTable {
				highest = max(highest, number32(values[lastKey]))
			}
			continue
		}
		highest = max(highest, n)
		deleted := values[deletedMark]
		if id := values["EndpointID"]; deleted == "" || deleted == base.run && place[id] == "" {
			place[id] = path
		}
	}
	for _, from := range base.instances(controllerTable) {
		to := place[base.values[from]["EndpointID"]]
		if to == "" {
			highest++
			to = controllerTable + itoa(highest) + "."
		} else if kept[to][deletedMark] != "" {
			continue
		}
		for path, values := range base.values {
			if rest, ok := strings.CutPrefix(path, from); ok {
				rs.put(to+rest, rs.asHere(base, values))
			}
		}
		rs.assign(to, base)
	}
}

// view is a rowSet as a Controller sees it.
type view struct {
	agent *Agent
	rows  *rowSet
	now   time.Time
	live  *LivenessInfo // once it was asked for
}

func (v *view) upTime() int64 {
	since := v.agent.fleet.started
	if s, err := strconv.ParseInt(v.rows.values[ownRoot][bootKey], 10, 64); err == nil {
		since = time.Unix(s, 0)
	}
	return max(0, int64(v.now.Sub(since).Seconds()))
}

// value gives any parameter, kept or computed.
func (v *view) value(path string, c *column) string {
	if c.calc != nil {
		return c.calc(v, path)
	}
	return v.rows.get(path, c.Name)
}
