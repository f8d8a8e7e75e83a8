package legacy

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"isthmus/usp"
)

// joint are the Device:2 parameters, by their generic paths, that no rule alone can write: what projection.rest shows, the other way round.
var joint = map[string]func(m *Map, root Node, path, value string) ([]Write, error){
	"Device.Firewall.Enable":                                        (*Map).writeFirewall,
	"Device.DHCPv4.Client.{i}.Enable":                               (*Map).writeDHCP,
	"Device.DHCPv4.Server.Pool.{i}.Interface":                       (*Map).keepsPool,
	"Device.Time.Client.{i}.Servers":                                (*Map).writeServers,
	"Device.DHCPv4.Server.Enable":                                   fansOut(serverParam),
	"Device.DNS.Client.Enable":                                      fansOut(resolverParams),
	"Device.DNS.Client.Server.{i}.DNSServer":                        (*Map).writeResolver,
	"Device.IP.Interface.{i}.AutoIPEnable":                          (*Map).writeAutoIP,
	"Device.WiFi.AccessPoint.{i}.AllowedMACAddress":                 (*Map).writeAllowed,
	"Device.WiFi.AccessPoint.{i}.WPS.PIN":                           (*Map).writePIN,
	"Device.WiFi.AccessPoint.{i}.Security.WEPKey":                   (*Map).writeWEPKey,
	"Device.WiFi.AccessPoint.{i}.Security.EncryptionMode":           (*Map).writeCiphers,
	"Device.PPP.Interface.{i}.IPCP.PassthroughEnable":               (*Map).writePassthrough,
	"Device.DHCPv4.Client.{i}.PassthroughEnable":                    (*Map).writePassthrough,
	"Device.QoS.Classification.{i}.Interface":                       (*Map).writeQueueInterface,
	"Device.QoS.Classification.{i}.AllInterfaces":                   (*Map).writeQueueInterface,
	"Device.QoS.Queue.{i}.Interface":                                (*Map).writeQueueInterface,
	"Device.QoS.Queue.{i}.AllInterfaces":                            (*Map).writeQueueInterface,
	"Device.QoS.Shaper.{i}.ShapingRate":                             (*Map).writeShaper,
	"Device.QoS.Shaper.{i}.ShapingBurstSize":                        (*Map).writeShaper,
	"Device.Bridging.Filter.{i}.Bridge":                             (*Map).writeBridge,
	"Device.Bridging.Filter.{i}.Interface":                          (*Map).writeAvailable,
	"Device.Bridging.Bridge.{i}.Port.{i}.LowerLayers":               (*Map).writeAvailable,
	"Device.Routing.Router.{i}.IPv4Forwarding.{i}.Interface":        (*Map).writeDefaultRoute,
	"Device.Routing.Router.{i}.IPv4Forwarding.{i}.GatewayIPAddress": (*Map).writeDefaultRoute,
}

// joint1 are those of Device:1.
var joint1 = map[string]func(m *Map, root Node, path, value string) ([]Write, error){
	"Device.Firewall.Enable":                                        (*Map).writeFirewall,
	"Device.Time.Client.{i}.Servers":                                (*Map).writeServers,
	"Device.DHCPv4.Client.{i}.Enable":                               (*Map).writeDHCP,
	"Device.DNS.Client.Server.{i}.DNSServer":                        (*Map).writeOneResolver,
	"Device.Routing.Router.{i}.IPv4Forwarding.{i}.GatewayIPAddress": (*Map).writeOneGateway,
}

// noReference is no name of a CPE.
const noReference = "\x00"

// errRule sends a write on to the rules.
var errRule = usp.Errorf(usp.InternalError, "a rule writes this")

func invalid(path, value string) error {
	return usp.Errorf(usp.InvalidValue, "%s: a CPE of this data model has no %q", path, value)
}

func readOnly(path string) error {
	return usp.Errorf(usp.NonWritableParameter, "%s cannot be written on this CPE", path)
}

// number is the instance number that comes after a table's path.
func numberAfter(path, table string) (n uint32) {
	rest, _ := strings.CutPrefix(path, table)
	seg, _, _ := strings.Cut(rest, ".")
	n, _ = number32(seg)
	return n
}

// set writes an own parameter that is there.
func (m *Map) set(root Node, path, below, value string) ([]Write, error) {
	if k := child(root, strings.Split(below, ".")...); k == nil || !k.Settable() {
		return nil, readOnly(path)
	}
	return []Write{{Path: m.root + below, Value: value}}, nil
}

// joins marks writes of a list of which an item changes.
func joins(writes []Write, err error) ([]Write, error) {
	for i := range writes {
		writes[i].Joins = true
	}
	return writes, err
}

// fansOut writes a value to all parameters that it is the OR of.
func fansOut(generic []string) func(m *Map, root Node, path, value string) ([]Write, error) {
	return func(m *Map, root Node, path, value string) (writes []Write, err error) {
		for _, g := range generic {
			for _, l := range all(root, g) {
				if !l.n.Settable() {
					return nil, readOnly(path)
				}
				writes = append(writes, Write{Path: m.root + l.path, Value: value})
			}
		}
		if len(writes) == 0 {
			return nil, readOnly(path)
		}
		return writes, nil
	}
}

// writeServers parts a list of NTP servers; what is left of the CPE's parameters becomes empty.
func (m *Map) writeServers(root Node, path, value string) (writes []Write, err error) {
	items := list(value)
	for i := range maxServers {
		name, v := "Time.NTPServer"+strconv.Itoa(i+1), ""
		if i < len(items) {
			v = items[i]
		}
		switch k := child(root, strings.Split(name, ".")...); {
		case k != nil && k.Settable():
			writes = append(writes, Write{Path: m.root + name, Value: v})
		case v != "":
			return nil, usp.Errorf(usp.InvalidValue, "%s: the CPE has room for %d servers", path, i)
		}
	}
	if len(items) > maxServers {
		return nil, usp.Errorf(usp.InvalidValue, "%s: the CPE has room for %d servers", path, maxServers)
	}
	if len(writes) == 0 {
		return nil, readOnly(path)
	}
	return writes, nil
}

// list are the items of a list of USP that are not empty.
func list(value string) (items []string) {
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// connectionOf is the own path below the root of the connection with a number, with its final dot.
func connectionOf(number uint32) (below string, ok bool) {
	var n [maxNums]uint32
	for _, kind := range [][2]string{{"wanip(a,b,c)", "WANIPConnection"}, {"wanppp(a,b,c)", "WANPPPConnection"}} {
		if numbers[kind[0]].back(number, n[:]) {
			return "WANDevice." + itoa(n[0]) + ".WANConnectionDevice." + itoa(n[1]) + "." + kind[1] + "." + itoa(n[2]) + ".", true
		}
	}
	return "", false
}

// writeResolver replaces one item of the list of DNS servers that a connection has.
func (m *Map) writeResolver(root Node, path, value string) ([]Write, error) {
	n := numberAfter(path, "Device.DNS.Client.Server.")
	below, ok := connectionOf(n / 10)
	if !ok {
		return nil, readOnly(path)
	}
	items := strings.Split(text(root, strings.Split(below+"DNSServers", ".")...), ",")
	k := int(n%10) - 1
	if k < 0 || k >= len(items) || strings.Contains(value, ",") {
		return nil, readOnly(path)
	}
	items[k] = value
	return joins(m.set(root, path, below+"DNSServers", strings.Join(items, ",")))
}

func (m *Map) writeAutoIP(root Node, path, value string) ([]Write, error) {
	kind := "Static"
	if isTrue(value) {
		kind = "AutoIP"
	}
	below := "LANDevice." + itoa(numberAfter(path, "Device.IP.Interface.")) + ".LANHostConfigManagement.IPInterface.1.IPInterfaceAddressingType"
	if k := child(root, strings.Split(below, ".")...); k != nil && isTrue(value) == (k.Text() == "AutoIP") {
		kind = k.Text() // DHCP is no AutoIP either
	}
	return m.set(root, path, below, kind)
}

// wlanOf is the own path below the root of the WLANConfiguration that is an access point, with its final dot, and its node.
func wlanOf(root Node, path string) (below string, lan uint32, w Node) {
	var n [maxNums]uint32
	if !numbers["port(a,b)"].back(numberAfter(path, "Device.WiFi.AccessPoint."), n[:]) {
		return "", 0, nil
	}
	return "LANDevice." + itoa(n[0]) + ".WLANConfiguration." + itoa(n[1]) + ".", n[0],
		child(root, "LANDevice", itoa(n[0]), "WLANConfiguration", itoa(n[1]))
}

func (m *Map) writeAllowed(root Node, path, value string) ([]Write, error) {
	_, lan, w := wlanOf(root, path)
	if w == nil {
		return nil, readOnly(path)
	}
	return m.set(root, path, "LANDevice."+itoa(lan)+".LANHostConfigManagement.AllowedMACAddresses", value)
}

func (m *Map) writePIN(root Node, path, value string) ([]Write, error) {
	below, _, w := wlanOf(root, path)
	if w == nil {
		return nil, readOnly(path)
	}
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return nil, usp.Errorf(usp.InvalidValue, "%s: not a number", path)
	}
	return m.set(root, path, below+"WPS.DevicePassword", strconv.FormatUint(n, 10))
}

// The lengths of a WEP key in digits.
const (
	wep64  = 10
	wep128 = 26
)

func (m *Map) writeWEPKey(root Node, path, value string) ([]Write, error) {
	below, _, w := wlanOf(root, path)
	if w == nil || wepKey(w) == nil {
		return nil, readOnly(path)
	}
	if _, err := hex.DecodeString(value); err != nil || len(value) != wep64 && len(value) != wep128 {
		return nil, usp.Errorf(usp.InvalidValue, "%s: not %d or %d hexadecimal digits", path, wep64, wep128)
	}
	index := text(w, "WEPKeyIndex")
	if _, ok := number32(index); !ok {
		index = "1"
	}
	return m.set(root, path, below+"WEPKey."+index+".WEPKey", value)
}

// writeCiphers sets the ciphers of the mode in force, of both kinds where it mixes them.
func (m *Map) writeCiphers(root Node, path, value string) (writes []Write, err error) {
	below, _, w := wlanOf(root, path)
	if w == nil || cipher(w) == nil {
		return nil, readOnly(path)
	}
	items := list(value)
	slices.Sort(items)
	slices.Reverse(items) // TKIP before AES, as in TR-098
	own, ok := ciphers.back(strings.Join(items, ","))
	if !ok || len(items) == 0 {
		return nil, invalid(path, value)
	}
	names := []string{"WPAEncryptionModes"}
	switch mode := securityMode(w); {
	case strings.HasPrefix(mode, "WPA-WPA2-"):
		names = append(names, "IEEE11iEncryptionModes")
	case strings.HasPrefix(mode, "WPA2-"):
		names[0] = "IEEE11iEncryptionModes"
	}
	for _, name := range names {
		if k := child(w, name); k != nil && k.Settable() {
			writes = append(writes, Write{Path: m.root + below + name, Value: own})
		}
	}
	if len(writes) == 0 {
		return nil, readOnly(path)
	}
	return writes, nil
}

// writePassthrough changes UseAllocatedWAN of the LANDevice whose associated connection it is.
func (m *Map) writePassthrough(root Node, path, value string) ([]Write, error) {
	number := max(numberAfter(path, "Device.PPP.Interface."), numberAfter(path, "Device.DHCPv4.Client."))
	for _, l := range all(root, "LANDevice.{i}.LANHostConfigManagement") {
		if m.refer(text(l.n, "AssociatedConnection")) != "Device.IP.Interface."+itoa(number) {
			continue
		}
		is := text(l.n, "UseAllocatedWAN")
		own := "Normal"
		switch {
		case isTrue(value) && is != own && is != "":
			own = is // as UseAllocatedSubnet it is, too
		case isTrue(value):
			own = "Passthrough"
		}
		return m.set(root, path, l.path+".UseAllocatedWAN", own)
	}
	return nil, readOnly(path)
}

// writeQueueInterface sets the interface of a QoS row, which TR-098 leaves empty for all of them.
func (m *Map) writeQueueInterface(root Node, path, value string) ([]Write, error) {
	below := "QueueManagement.Queue." + itoa(numberAfter(path, "Device.QoS.Queue.")) + ".QueueInterface"
	if n := numberAfter(path, "Device.QoS.Classification."); n != 0 {
		below = "QueueManagement.Classification." + itoa(n) + ".ClassInterface"
	}
	if strings.HasSuffix(path, ".AllInterfaces") {
		if !isTrue(value) {
			return nil, nil // Interface says which
		}
		return m.set(root, path, below, "")
	}
	if value == "" {
		return nil, nil // AllInterfaces says what that means
	}
	own := m.ownReference(root, value)
	if own == noReference {
		return nil, usp.Errorf(usp.InvalidValue, "%s: no such object at this CPE", path)
	}
	return m.set(root, path, below, own)
}

func (m *Map) writeShaper(root Node, path, value string) ([]Write, error) {
	name := path[strings.LastIndexByte(path, '.')+1:]
	n := numberAfter(path, "Device.QoS.Shaper.")
	if below, ok := connectionOf(n); ok {
		return m.set(root, path, below+name, value)
	}
	return m.set(root, path, "WANDevice."+itoa(n)+".WANEthernetInterfaceConfig."+name, value)
}

// noBridge is the key of none.
const noBridge = "-1"

func (m *Map) writeBridge(root Node, path, value string) ([]Write, error) {
	below := "Layer2Bridging.Filter." + itoa(numberAfter(path, "Device.Bridging.Filter.")) + ".FilterBridgeReference"
	if value == "" {
		return m.set(root, path, below, noBridge)
	}
	for _, l := range all(root, "Layer2Bridging.Bridge.{i}") {
		if key := text(l.n, "BridgeKey"); key != "" && l.nums[0] <= maxBridge && bridgePath(l) == strings.TrimSuffix(value, ".") {
			return m.set(root, path, below, key)
		}
	}
	return nil, usp.Errorf(usp.InvalidValue, "%s: no such object at this CPE", path)
}

// writeAvailable sets an interface by the key that the CPE has for it.
func (m *Map) writeAvailable(root Node, path, value string) ([]Write, error) {
	below := "Layer2Bridging.Filter." + itoa(numberAfter(path, "Device.Bridging.Filter.")) + ".FilterInterface"
	if n := numberAfter(path, "Device.Bridging.Bridge."); n > bridgeOffset {
		port := path[len("Device.Bridging.Bridge."+itoa(n)+".Port."):]
		port, _, _ = strings.Cut(port, ".")
		below = "Layer2Bridging.Bridge." + itoa(n-bridgeOffset) + ".Port." + port + ".PortInterface"
	} else if n != 0 {
		return nil, readOnly(path)
	}
	if value == "" {
		return m.set(root, path, below, "")
	}
	for _, l := range all(root, "Layer2Bridging.AvailableInterface.{i}") {
		if ref := text(l.n, "InterfaceReference"); ref != "" && m.available(root, ref) == strings.TrimSuffix(value, ".") {
			return m.set(root, path, below, text(l.n, "AvailableInterfaceKey"))
		}
	}
	return nil, usp.Errorf(usp.InvalidValue, "%s: the CPE offers no such interface to a bridge", path)
}

// writeDefaultRoute moves the default route to another connection, or sets its gateway; the other rows are those of the CPE.
func (m *Map) writeDefaultRoute(root Node, path, value string) ([]Write, error) {
	name, ok := strings.CutPrefix(path, defaultRoutePath)
	service := "Layer3Forwarding." + defaultConnection
	switch {
	case !ok:
		return nil, errRule
	case name == "Interface":
		own := m.ownReference(root, value)
		if own == noReference || !strings.Contains(own, "Connection.") {
			return nil, usp.Errorf(usp.InvalidValue, "%s: no connection of this CPE", path)
		}
		return m.set(root, path, service, own)
	}
	conn, ok := strings.CutPrefix(strings.TrimSuffix(text(root, "Layer3Forwarding", defaultConnection), "."), m.root)
	if !ok {
		return nil, readOnly(path)
	}
	return m.set(root, path, conn+".DefaultGateway", value)
}
