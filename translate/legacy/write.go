package legacy

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"isthmus/usp"
	"isthmus/usp/agent"
)

// Write sets one of the CPE's own parameters.
type Write struct {
	Path, Value string
	// Follow are parameters that have to have the value in the end, and mostly get it by themselves: those of the others at a radio.
	Follow []string
	// Default gives way to another value that is asked for in the same message.
	Default bool
	// Joins is a list of which a write changes an item: it holds what was written before it in the same message, too.
	Joins bool
}

// Write turns the write of a Device:2 parameter into those of the CPE's own; none is that it has the value already. Errors are *usp.Error.
func (m *Map) Write(root Node, path, value string) ([]Write, error) {
	generic, segs := agent.GenericPath(path), strings.Split(path, ".")
	if own, ok := m.service(path); ok {
		return m.settable(root, own, value)
	}
	write := joint[generic]
	if m.root == "Device." {
		write = joint1[generic]
	}
	if write != nil {
		if w, err := write(m, root, path, value); !errors.Is(err, errRule) {
			return w, err
		}
	}
	switch {
	case m.root == "Device.":
	case strings.HasPrefix(generic, "Device.WiFi.AccessPoint.{i}.Security.") && !m.extends(root, generic, segs):
		return m.writeSecurity(root, path, value)
	case generic == "Device.NAT.PortMapping.{i}.Interface":
		return nil, m.keeps(path, value, m.interfaceOf(path))
	case generic == "Device.NAT.PortMapping.{i}.AllInterfaces":
		return nil, m.keeps(path, strconv.FormatBool(isTrue(value)), "false")
	case generic == "Device.Time.LocalTimeZone" && !isPOSIX(value):
		return nil, usp.Errorf(usp.InvalidValue, "%s: not a time zone of POSIX", path)
	case generic == "Device.Time.LocalTimeZone":
		return m.settable(root, m.root+"Time.LocalTimeZoneName", value)
	}
	for _, r := range m.sources[generic] {
		if !r.writes || r.object || !r.functional() {
			continue
		}
		own := r.write(segs)
		if own == "" || m.node(root, own) == nil && !m.blank(root, own) {
			continue
		}
		if r.reference {
			if value = m.ownReference(root, value); value == noReference {
				return nil, usp.Errorf(usp.InvalidValue, "%s: no such object at this CPE", path)
			}
		}
		if n := m.node(root, own); n != nil && r.conv.to != nil && r.conv.to(n.Text()) == value {
			return []Write{{Path: own, Value: n.Text()}}, nil // several values of the CPE may be this one
		}
		if r.conv.back != nil {
			v, ok := r.conv.back(value)
			if !ok && strings.HasSuffix(own, diagnosticsState) {
				v, ok = value, true // what starts and ends a test has the same words everywhere
			}
			if !ok {
				return nil, usp.Errorf(usp.InvalidValue, "%s: a CPE of this data model has no %q", path, value)
			}
			value = v
		}
		w := Write{Path: own, Value: value}
		if r.radio {
			w.Follow = m.others(root, own)
		}
		return []Write{w}, nil
	}
	return nil, usp.Errorf(usp.NonWritableParameter, "%s cannot be written on this CPE", path)
}

// write is the rule's own path of a parameter.
func (r *rule) write(segs []string) string {
	plain := *r
	plain.radio = false // the number of a radio is that of its primary member
	own := plain.pattern(segs)
	if strings.Contains(own, "*") {
		return ""
	}
	return own
}

// node finds an own parameter.
func (m *Map) node(root Node, own string) Node {
	rest, ok := strings.CutPrefix(own, m.root)
	if !ok {
		return nil
	}
	return child(root, strings.Split(rest, ".")...)
}

// blank says whether a parameter is of a row that has nothing yet: some CPE show what a new row has when it was first set.
func (m *Map) blank(root Node, own string) bool {
	row := m.node(root, own[:strings.LastIndexByte(own, '.')])
	if row == nil || row.Number() == 0 {
		return false
	}
	empty := true
	row.Each(func(Node) { empty = false })
	return empty
}

func (m *Map) settable(root Node, own, value string) ([]Write, error) {
	if n := m.node(root, own); n == nil || !n.Settable() {
		return nil, usp.Errorf(usp.NonWritableParameter, "the CPE has no such parameter that can be written")
	}
	return []Write{{Path: own, Value: value}}, nil
}

// keeps is the error of a change to what the place of a row decides.
func (m *Map) keeps(path, value, is string) error {
	if strings.TrimSuffix(value, ".") == is || value == "" {
		return nil
	}
	return usp.Errorf(usp.InvalidValue, "%s is %s as long as the row lasts", path, is)
}

// interfaceOf is the interface of a port mapping.
func (m *Map) interfaceOf(path string) string {
	own := m.Row(path[:strings.LastIndexByte(path, '.')+1])
	if own == "" {
		return ""
	}
	conn, _, _ := strings.Cut(own, "PortMapping.")
	return m.refer(conn)
}

// ownReference gives a list of references in the CPE's own names; noReference where one is to nothing.
func (m *Map) ownReference(root Node, list string) string {
	if list == "" {
		return ""
	}
	items := strings.Split(list, ",")
	for i, item := range items {
		own := m.Row(strings.TrimSuffix(strings.TrimSpace(item), ".") + ".")
		if lan, ok := strings.CutSuffix(own, "."); ok && strings.HasPrefix(own, m.root+"LANDevice.") && strings.Count(own, ".") == 3 &&
			m.node(root, lan+".LANHostConfigManagement.IPInterface.1.Enable") != nil {
			own = lan + ".LANHostConfigManagement.IPInterface.1."
		}
		if own == "" {
			return noReference
		}
		items[i] = strings.TrimSuffix(own, ".")
	}
	return strings.Join(items, ",")
}

// others are the same parameter of the other members of a radio.
func (m *Map) others(root Node, own string) (paths []string) {
	p := projection{m: m}
	p.groupRadios(root)
	_, nums := m.find(own)
	name := own[strings.LastIndexByte(own, '.')+1:]
	for _, w := range p.radio[p.group[port(nums[0], nums[1])]] {
		var back [maxNums]uint32
		if numbers["port(a,b)"].back(w.number, back[:]); w.number != port(nums[0], nums[1]) && w.n.Child(name) != nil {
			paths = append(paths, wlanPath(m.root, back[0], back[1])+name)
		}
	}
	return paths
}

func wlanPath(root string, a, b uint32) string {
	return root + "LANDevice." + itoa(a) + ".WLANConfiguration." + itoa(b) + "."
}

// basicEncryption says whether there is WEP; the like for WPA chooses ciphers.
const basicEncryption = "BasicEncryptionModes"

// writeSecurity sets what is a joint function of parameters of a WLANConfiguration.
func (m *Map) writeSecurity(root Node, path, value string) ([]Write, error) {
	number, ok := number32(strings.Split(path, ".")[3])
	var nums [maxNums]uint32
	if !ok || !numbers["port(a,b)"].back(number, nums[:]) {
		return nil, usp.Errorf(usp.NonWritableParameter, "%s is not there", path)
	}
	own := wlanPath(m.root, nums[0], nums[1])
	w := child(root, "LANDevice", itoa(nums[0]), "WLANConfiguration", itoa(nums[1]))
	if w == nil {
		return nil, usp.Errorf(usp.NonWritableParameter, "%s is not there", path)
	}
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "ModeEnabled":
		if !slices.Contains(modesSupported(w), value) {
			return nil, usp.Errorf(usp.InvalidValue, "%s: the CPE has no mode %q", path, value)
		}
		i := slices.IndexFunc(securities, func(s security) bool { return s.mode == value })
		var writes []Write
		for _, v := range securities[i].values {
			if k := w.Child(v[0]); k != nil && k.Settable() {
				writes = append(writes, Write{Path: own + v[0], Value: v[1], Default: strings.HasSuffix(v[0], "EncryptionModes") && v[0] != basicEncryption})
			}
		}
		return writes, nil
	case "KeyPassphrase":
		var writes []Write
		if k := child(w, "PreSharedKey", "1", "KeyPassphrase"); k != nil && k.Settable() {
			writes = append(writes, Write{Path: own + "PreSharedKey.1.KeyPassphrase", Value: value})
		}
		if k := w.Child("KeyPassphrase"); k != nil && k.Settable() {
			writes = append(writes, Write{Path: own + "KeyPassphrase", Value: value})
		}
		if len(writes) > 0 {
			return writes, nil
		}
	case "PreSharedKey":
		if k := child(w, "PreSharedKey", "1", "PreSharedKey"); k != nil && k.Settable() {
			return []Write{{Path: own + "PreSharedKey.1.PreSharedKey", Value: value}}, nil
		}
	}
	return nil, usp.Errorf(usp.NonWritableParameter, "%s cannot be written on this CPE", path)
}
