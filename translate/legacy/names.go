package legacy

import (
	"slices"
	"strings"

	"isthmus/usp/agent"
)

// Need is what a query of Device:2 rests on, in the CPE's own names, with "*" where any instance counts.
type Need struct {
	Path string // a parameter; an object, whose own parameters count; with Rows a table, whose rows do
	Rows bool
	Deep bool // the object with all below it
}

// Tables whose rows hang on more than a rule says.
const (
	interfaceStack = "Device.InterfaceStack."
	radioTable     = "Device.WiFi.Radio."
	bridging       = "Device.Bridging."
)

// Needs says which names of the CPE a path of Device:2 depends on, which may have "*" for instance numbers; rows asks for rows alone.
func (m *Map) Needs(path string, rows bool) []Need {
	if own, ok := m.service(path); ok {
		return []Need{{Path: own, Rows: rows, Deep: true}}
	}
	generic := agent.GenericPath(path)
	if strings.Contains(path, "*") {
		generic = strings.ReplaceAll(generic, "*", "{i}")
	}
	var needs []Need
	add := func(n Need) {
		if !slices.Contains(needs, n) {
			needs = append(needs, n)
		}
	}
	if generic == "Device." || strings.HasPrefix(interfaceStack, generic) || strings.HasPrefix(generic, interfaceStack) {
		return []Need{{Path: m.root, Rows: rows}}
	}
	segs := strings.Split(path, ".")
	param := !strings.HasSuffix(generic, ".")
	for _, target := range m.below(generic) {
		for _, r := range m.sources[target] {
			own := r.pattern(segs)
			switch {
			case own == "":
			case rows:
				if table, ok := strings.CutSuffix(r.from[len(r.from)-1], "."); r.object && ok && table == "" && strings.HasSuffix(target, "{i}.") {
					add(Need{Path: own[:strings.LastIndexByte(own[:len(own)-1], '.')+1], Rows: true})
				}
			case param && !r.object:
				add(Need{Path: own})
			default:
				add(Need{Path: own[:strings.LastIndexByte(own, '.')+1]})
			}
		}
	}
	if strings.HasPrefix(generic, radioTable) || strings.HasPrefix(radioTable, generic) || strings.HasSuffix(generic, "LowerLayers") {
		add(Need{Path: m.root + "LANDevice.*.WLANConfiguration.*."}) // any may be of the radio
	}
	if m.root != "Device." && (strings.HasPrefix(generic, bridging) || strings.HasPrefix(bridging, generic)) {
		add(Need{Path: m.root + "Layer2Bridging.AvailableInterface.*."}) // ports and filters name interfaces by their keys
		add(Need{Path: m.root + "Layer2Bridging.Bridge.*."})
	}
	return needs
}

// below are the targets that a generic path stands for: itself, what is below an object, and the tables that a column of code is of.
func (m *Map) below(generic string) []string {
	i, _ := slices.BinarySearch(m.targets, generic)
	j := i
	for j < len(m.targets) && strings.HasPrefix(m.targets[j], generic) && (strings.HasSuffix(generic, ".") || m.targets[j] == generic) {
		j++
	}
	if up := strings.TrimSuffix(generic, "."); i == j && strings.Count(up, ".") > 1 {
		return m.below(up[:strings.LastIndexByte(up, '.')+1]) // code's: it rests on what is above
	}
	return m.targets[i:j]
}

// pattern is the rule's own path for the instance numbers of a path's segments, "" where these are not of the rule.
func (r *rule) pattern(segs []string) string {
	var nums [maxNums]uint32
	if r.numbers != nil && !r.radio {
		to := strings.Split(r.target, ".")
		for at, i := 0, 0; at < len(segs) && at < len(to); at++ {
			if to[at] != "{i}" {
				continue
			}
			if x, ok := number32(segs[at]); ok && !r.numbers[i].back(x, nums[:]) {
				return ""
			}
			i++
		}
	}
	var b strings.Builder
	for i, part := range r.from {
		if i > 0 {
			if nums[i-1] == 0 {
				b.WriteByte('*')
			} else {
				b.WriteString(itoa(nums[i-1]))
			}
		}
		b.WriteString(part)
	}
	return b.String()
}

func number32(s string) (n uint32, ok bool) {
	if s == "" || len(s) > 10 || s[0] == '0' {
		return 0, false
	}
	var sum uint64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		sum = 10*sum + uint64(s[i]-'0')
	}
	return uint32(sum), sum < 1<<32
}

// find walks the tree of names along an own path.
func (m *Map) find(own string) (s *step, nums [maxNums]uint32) {
	s = m.trie
	depth := 0
	for rest := strings.TrimSuffix(own, "."); rest != "" && s != nil; {
		var seg string
		seg, rest, _ = strings.Cut(rest, ".")
		if n, ok := number32(seg); ok {
			if depth == maxNums {
				return nil, nums
			}
			nums[depth] = n
			depth++
			s = s.row
			continue
		}
		s = s.kids[seg]
	}
	return s, nums
}

// inputs are parameters that no rule shows, though others could not be shown without them.
var inputs = map[string]string{
	"InternetGatewayDevice.Layer2Bridging.AvailableInterface.{i}.AvailableInterfaceKey": "Device.Bridging.Filter.*.Interface",
	"InternetGatewayDevice.Layer2Bridging.AvailableInterface.{i}.InterfaceReference":    "Device.Bridging.Filter.*.Interface",
	"InternetGatewayDevice.Layer2Bridging.Bridge.{i}.BridgeKey":                         "Device.Bridging.Filter.*.Bridge",
}

// Params gives the Device:2 parameters that depend on a parameter of the CPE, with "*" for instance numbers that are no function of its own; what is of a
// radio is of the one with the number of its member.
func (m *Map) Params(own string) (params []string) {
	if path, ok := m.shownService(own); ok {
		return []string{path}
	}
	s, nums := m.find(own)
	if s == nil {
		s = &step{}
	}
	for _, r := range s.rules {
		if r.object || strings.HasSuffix(r.target, countSuffix) {
			continue
		}
		if path, ok := r.place(nums[:]); ok {
			params = append(params, path)
		} else if !r.functional() {
			params = append(params, strings.ReplaceAll(r.target, "{i}", "*"))
		}
	}
	if len(params) == 0 && m.root != "Device." {
		if shown, ok := inputs[agent.GenericPath(own)]; ok {
			params = append(params, shown)
		}
	}
	return params
}

// Rows gives the Device:2 rows that a row of the CPE stands for.
func (m *Map) Rows(own string) (rows []string) {
	if path, ok := m.shownService(own); ok {
		return []string{path}
	}
	s, nums := m.find(own)
	if s == nil {
		return nil
	}
	for _, r := range s.rules {
		if !r.object || !r.reads || r.radio || !strings.HasSuffix(r.target, "{i}.") {
			continue
		}
		if path, ok := r.place(nums[:]); ok && !slices.Contains(rows, path) {
			rows = append(rows, path)
		}
	}
	return rows
}

// Row gives the CPE's own row or object behind a Device:2 row, "" where there is none.
func (m *Map) Row(row string) string {
	if own, ok := m.service(row); ok {
		return own
	}
	segs := strings.Split(row, ".")
	for _, r := range m.sources[agent.GenericPath(row)] {
		if !r.object || !r.reads || !r.functional() {
			continue
		}
		if own := r.pattern(segs); own != "" && !strings.Contains(own, "*") {
			return own
		}
	}
	return ""
}

// Made says whether the rows of a table of Device:2, by its generic row, are made and deleted one for one with those of the CPE.
func (m *Map) Made(genericRow string) bool {
	if strings.HasPrefix(genericRow, services) {
		return true
	}
	return slices.ContainsFunc(m.sources[genericRow], func(r *rule) bool { return r.addable && r.reads })
}

// Type is the type of a parameter of the CPE, unknown where no rule tells.
func (m *Map) Type(own string) agent.ValueType { return m.types[agent.GenericPath(own)] }

const defaultConnection = "DefaultConnectionService"

// Table gives the table of the CPE in which a row of a Device:2 table is made that is to have these values, "" where nobody can make one.
func (m *Map) Table(root Node, table string, value func(name string) string) string {
	generic := agent.GenericPath(table) + "{i}."
	if generic == "Device.NAT.PortMapping.{i}." && m.root != "Device." {
		conn := m.Row(strings.TrimSuffix(value("Interface"), ".") + ".")
		if value("Interface") == "" {
			conn = strings.TrimSuffix(text(root, "Layer3Forwarding", defaultConnection), ".") + "."
			if conn == "." {
				conn = soleConnection(m.root, root)
			}
		}
		if !strings.Contains(conn, "PPPConnection.") && !strings.Contains(conn, "IPConnection.") {
			return ""
		}
		return conn + "PortMapping."
	}
	if generic == "Device.DHCPv4.Server.Pool.{i}." && m.root != "Device." {
		return m.poolTable(root, value("Interface"))
	}
	if generic == "Device.DHCPv4.Relay.Forwarding.{i}." && m.root != "Device." {
		return m.poolTable(root, "") // Device:2 does not say for which interface
	}
	if own, ok := m.service(table); ok {
		return own
	}
	segs := strings.Split(table, ".")
	for _, r := range m.sources[generic] {
		if !r.addable || !r.reads || !r.functional() {
			continue
		}
		own := r.pattern(segs[:len(segs)-1])
		if parent, ok := strings.CutSuffix(own, "*."); ok && !strings.Contains(parent, "*") {
			return parent
		}
	}
	return ""
}

// soleConnection is the one connection of a CPE that has one.
func soleConnection(name string, root Node) string {
	var found []string
	each := func(n Node, f func(Node)) {
		if n != nil {
			n.Each(func(k Node) {
				if k.Number() != 0 {
					f(k)
				}
			})
		}
	}
	each(root.Child("WANDevice"), func(w Node) {
		each(w.Child("WANConnectionDevice"), func(d Node) {
			for _, kind := range []string{"WANIPConnection", "WANPPPConnection"} {
				each(d.Child(kind), func(c Node) {
					found = append(found, name+"WANDevice."+w.Segment()+".WANConnectionDevice."+d.Segment()+"."+kind+"."+c.Segment()+".")
				})
			}
		})
	})
	if len(found) != 1 {
		return ""
	}
	return found[0]
}
