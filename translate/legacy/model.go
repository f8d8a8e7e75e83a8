// Package legacy shows a CPE of an older data model, InternetGatewayDevice:1 (TR-098) or Device:1 (TR-181 Issue 1), as a Device:2 one.
//
// The tables say which name becomes which and how (tables/*.tsv, see FORMAT.md); what hangs on several parameters at once, the radios and
// the security of Wi-Fi, the layers of the interfaces, is code. A Map is read-only and shared by all CPE of its data model.
package legacy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// TR098 maps InternetGatewayDevice:1.
var TR098 = sync.OnceValue(func() *Map { return mustLoad("InternetGatewayDevice.", tr098Table) })

// Device1 maps Device:1.
var Device1 = sync.OnceValue(func() *Map { return mustLoad("Device.", device1Table) })

// Map is the mapping of one data model.
type Map struct {
	root    string
	trie    *step
	sources map[string][]*rule // by generic Device:2 path
	targets []string           // its keys, sorted
	types   map[string]agent.ValueType
	vendor  bool // there are rules of a maker's
	version uint32
}

// Version differs between Maps that have different rules: what was derived with another is derived again.
func (m *Map) Version() uint32 { return m.version }

// rule is a row of a table: a name of the older data model and one of its places in Device:2.
type rule struct {
	source, target string   // generic
	from, to       []string // the same, cut where the instance numbers go: one part more than there are of them
	numbers        []number // nil: no function of the source's
	conv           conversion
	typ            agent.ValueType // of the target
	reads, writes  bool            // by this rule alone
	object         bool
	addable        bool // rows are made one for one
	radio          bool // it is said for the radio by its primary member
	only           condition
	reference      bool
	chosen         bool // of a test that a CPE has in several rows: an argument says which
	vendor         bool // it is a maker's
}

// step is a name of the older data model, in a tree of them.
type step struct {
	kids map[string]*step
	row  *step // what its rows have
	// tables are those of kids that rows can be made in, sorted.
	tables []string
	rules  []*rule
	mark   mark
}

// mark says what more than its rules a step means.
type mark uint8

const (
	plain mark = iota
	lanDevice
	lanPort
	wlan
	wanDevice
	ipConnection
	pppConnection
	host
	pool
	ipMapping
	pppMapping
	address
)

// marks are the steps that more hangs on than rules say.
var marks = map[string]mark{
	"InternetGatewayDevice.LANDevice.{i}.":                                         lanDevice,
	"InternetGatewayDevice.LANDevice.{i}.LANEthernetInterfaceConfig.{i}.":          lanPort,
	"InternetGatewayDevice.LANDevice.{i}.WLANConfiguration.{i}.":                   wlan,
	"InternetGatewayDevice.LANDevice.{i}.Hosts.Host.{i}.":                          host,
	"InternetGatewayDevice.LANDevice.{i}.LANHostConfigManagement.IPInterface.{i}.": address,
	conditionalPool:                        pool,
	"InternetGatewayDevice.WANDevice.{i}.": wanDevice,
	"InternetGatewayDevice.WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.":                  ipConnection,
	"InternetGatewayDevice.WANDevice.{i}.WANConnectionDevice.{i}.WANPPPConnection.{i}.":                 pppConnection,
	"InternetGatewayDevice.WANDevice.{i}.WANConnectionDevice.{i}.WANIPConnection.{i}.PortMapping.{i}.":  ipMapping,
	"InternetGatewayDevice.WANDevice.{i}.WANConnectionDevice.{i}.WANPPPConnection.{i}.PortMapping.{i}.": pppMapping,
}

// unread are targets, and targets of sources, that no rule alone decides: code does, or nothing, which is then said in README.
var unread = []string{
	"Device.DeviceInfo.ActiveFirmwareImage", "Device.DeviceInfo.BootFirmwareImage",
	"Device.DeviceInfo.FriendlyName",
	"Device.DNS.Client.Server.", "Device.QoS.Shaper.", "Device.WiFi.Radio.{i}.OperatingStandards",
	"Device.WiFi.AccessPoint.{i}.Security.EncryptionMode", "Device.CWMPManagementServer.",
	"Device.DHCPv4.Server.Enable", "Device.DHCPv4.Server.Pool.{i}.Interface", "Device.WiFi.Radio.{i}.Status",
	"Device.WiFi.Radio.{i}.Stats.", "Device.DHCPv4.Client.{i}.Status", "Device.IP.Interface.{i}.AutoIPEnable",
	"Device.IP.Interface.{i}.LastChange",
}

// unreadSources are those whose rules hold only where another source is absent, or that stand for no object of their own.
var unreadSources = []string{
	"InternetGatewayDevice.WANDevice.{i}.WANCommonInterfaceConfig.", "InternetGatewayDevice.LANInterfaces.",
	"InternetGatewayDevice.Time.LocalTimeZone",
}

// containers are rows that stand for others: they are made by nobody, though the CPE may let them be.
var containers = []string{"LANDevice.{i}.", "WANDevice.{i}.", "WANConnectionDevice.{i}.", "WANIPConnection.{i}.", "WANPPPConnection.{i}.", "WLANConfiguration.{i}."}

// firmwareImage is a table that whoever takes firmware is shown with.
const firmwareImage = "Device.DeviceInfo.FirmwareImage."

const countSuffix = "NumberOfEntries"

func mustLoad(root, table string) *Map {
	m, err := load(root, table)
	if err != nil {
		panic("legacy: embedded tables: " + err.Error()) // they are part of the program
	}
	return m
}

func load(root, table string) (*Map, error) {
	m := newMap(root)
	if err := readTable(table, m.take); err != nil {
		return nil, err
	}
	for target := range m.sources {
		m.targets = append(m.targets, target)
	}
	slices.Sort(m.targets)
	m.trie.findTables()
	return m, nil
}

func newMap(root string) *Map {
	return &Map{root: root, trie: &step{}, sources: map[string][]*rule{}, types: map[string]agent.ValueType{}, version: Version}
}

// take takes a row of a table. The error says why it must not be there.
func (m *Map) take(c Rule) error {
	if c.Own == "" || c.Target == "" || c.Kind == "none" || strings.HasPrefix(c.Target, firmwareImage) {
		return nil
	}
	return m.add(c.Own, c.Target, c.Kind, c.Transform, c.Instance, c.Direction)
}

func (m *Map) add(source, target, kind, transform, instance, direction string) error {
	command := kind == "command" || strings.Contains(target, "()")
	if command {
		if target = commandTarget(target); target == "" {
			return nil
		}
	}
	r := &rule{source: source, target: target, from: strings.Split(source, "{i}"), to: strings.Split(target, "{i}"),
		object: strings.HasSuffix(source, "."), radio: strings.Contains(instance, "radio(")}
	if p, ok := datamodel.LookupParam(target); ok {
		if r.typ = p.Type; p.List || strings.HasSuffix(target, "CurrentLocalTime") {
			r.typ = agent.TypeString
		}
		if _, known := m.types[source]; kind == "same-value" && !known {
			m.types[source] = r.typ
		}
	} else if !command && strings.HasSuffix(target, ".") != r.object {
		return fmt.Errorf("%s becomes %s, which is of another kind", source, target)
	}
	if len(r.to)-1 > maxNums || len(r.from)-1 > maxNums {
		return fmt.Errorf("%s has too many tables", target)
	}
	r.only = conditionOf(source, target)
	numbers, functional := parseNumbers(instance, len(r.to)-1)
	r.numbers = numbers
	if r.chosen = command && len(r.to) == 1 && len(r.from) > 1; r.chosen {
		r.numbers, functional = nil, true
	}
	if !strings.HasPrefix(source, m.root) {
		return fmt.Errorf("%s is not below %s", source, m.root)
	}
	if slices.ContainsFunc(m.sources[target], func(o *rule) bool { return o.source == source }) {
		return fmt.Errorf("%s becomes %s twice", source, target)
	}
	m.sources[target] = append(m.sources[target], r)
	at := m.step(source)
	at.rules = append(at.rules, r)
	if !functional || strings.HasSuffix(target, countSuffix) || hasPrefix(unread, target) || hasPrefix(unreadSources, source) {
		return nil
	}
	switch known := false; {
	case r.object:
		r.reads = kind == "object"
		r.addable = direction == "rw" && strings.HasSuffix(source, "{i}.") && !slices.ContainsFunc(containers, func(c string) bool { return strings.HasSuffix(source, c) })
	case kind == "enum-map":
		r.reads, r.conv = true, enumMap(transform)
	case transform == "ref", strings.HasPrefix(transform, "ref;"):
		r.reads, r.reference = transform == "ref", true
	case command:
		r.reads = true
	case strings.HasPrefix(transform, "key to ref"):
		r.reads, r.conv = true, keyToRef("Device.QoS."+strings.TrimPrefix(target[strings.LastIndexByte(target, '.')+1:], "Default")+".")
	case kind == "same-value":
		p, _ := datamodel.LookupParam(target)
		r.reads, r.reference = true, p.Reference != datamodel.NoReference
	case kind == "transform", kind == "split":
		r.conv, known = conversions[transform]
		r.reads = known
	}
	r.writes = r.reads && (strings.Contains(direction, "w") || strings.HasSuffix(target, diagnosticsState)) && (r.conv.to == nil || r.conv.back != nil || joint[target] != nil)
	return r.sound()
}

// sound says what is wrong with a rule that is read: its place is not in Device:2 as CWMP has it, or what is written there does not read as it was
// written.
func (r *rule) sound() error {
	p, param := datamodel.LookupParam(r.target)
	_, object := datamodel.LookupObject(r.target)
	diagnostics := strings.Contains(r.target, "Diagnostics") // CWMP has parameters in place of these commands
	switch {
	case !r.reads:
		return nil
	case !param && !object && !diagnostics && !datamodel.Served(r.target):
		return fmt.Errorf("%s becomes %s, which is not in Device:2", r.source, r.target)
	case param && r.object || object && !r.object:
		return fmt.Errorf("%s becomes %s, which is of another kind", r.source, r.target)
	case !r.writes || r.conv.back == nil || len(p.Enum) == 0:
		return nil
	}
	kept := false
	for _, v := range p.Enum {
		own, ok := r.conv.back(v)
		if !ok {
			continue
		}
		if kept = true; r.conv.to(own) != v {
			return fmt.Errorf("%s: %q of %s is %q, which reads %q", r.source, v, r.target, own, r.conv.to(own))
		}
	}
	if !kept {
		return fmt.Errorf("%s: nothing that %s may be can be written", r.source, r.target)
	}
	return nil
}

func hasPrefix(list []string, path string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return strings.HasPrefix(path, p) })
}

const diagnosticsState = ".DiagnosticsState"

// commandTarget is the parameter of CWMP's Device:2 behind a command, or behind one of its arguments: they are mapped like any other.
func commandTarget(target string) string {
	object, arg, _ := strings.Cut(target, "()")
	_, arg, isArg := strings.Cut(strings.TrimPrefix(arg, "/"), "/")
	switch {
	case !isArg && !strings.Contains(object, "Diagnostics"):
		return object
	case !isArg:
		return object + "."
	case !strings.Contains(object, "Diagnostics"):
		return object[:strings.LastIndexByte(object, '.')+1] + arg
	case arg == "Status":
		return object + diagnosticsState
	}
	return object + "." + arg
}

// findTables sets tables, here and below.
func (s *step) findTables() {
	if s == nil {
		return
	}
	s.row.findTables()
	for _, name := range slices.Sorted(maps.Keys(s.kids)) {
		k := s.kids[name]
		if k.findTables(); k.row != nil && slices.ContainsFunc(k.row.rules, func(r *rule) bool { return r.addable && r.reads }) {
			s.tables = append(s.tables, name)
		}
	}
}

// step finds a name in the tree, or makes it.
func (m *Map) step(source string) *step {
	s := m.trie
	path := ""
	for seg := range strings.SplitSeq(strings.TrimSuffix(source, "."), ".") {
		path += seg + "."
		if seg == "{i}" {
			if s.row == nil {
				s.row = &step{mark: marks[path]}
			}
			s = s.row
			continue
		}
		if s.kids == nil {
			s.kids = map[string]*step{}
		}
		if s.kids[seg] == nil {
			s.kids[seg] = &step{mark: marks[path]}
		}
		s = s.kids[seg]
	}
	return s
}

// fill puts numbers into a path that is cut where they go.
func fill(parts []string, nums []uint32) string {
	b := make([]byte, 0, 96)
	b = append(b, parts[0]...)
	for i, p := range parts[1:] {
		b = appendUint(b, nums[i])
		b = append(b, p...)
	}
	return string(b)
}
