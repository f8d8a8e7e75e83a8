package legacy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

func bothMaps() map[string]*Map { return map[string]*Map{"TR-098": TR098(), "Device:1": Device1()} }

// rules are all that a Map goes by.
func rules(m *Map) (all []*rule) {
	for _, target := range m.targets {
		all = append(all, m.sources[target]...)
	}
	return all
}

// TestStrict: a table with a row that cannot be right does not load.
func TestStrict(t *testing.T) {
	const ssid, channel = igd + "LANDevice.{i}.WLANConfiguration.{i}.SSID", "Device.WiFi.SSID.{i}.SSID"
	const good = ssid + "\t" + channel + "\tsame-value\t\tx=a\trw\t\n"
	for want, rows := range map[string]string{
		"":                              good,
		"becomes " + channel + " twice": good + good,
		"is not below":                  strings.Replace(good, igd, "Device.", 1),
		"is not in Device:2":            strings.Replace(good, channel, "Device.WiFi.SSID.{i}.Sssid", 1),
		"is of another kind":            strings.Replace(good, channel, "Device.WiFi.SSID.{i}.", 1),
		"which reads":                   igd + "X.{i}.A\tDevice.PPP.Interface.{i}.ConnectionTrigger\tenum-map\ta=OnDemand;a=Manual\tx=a\trw\t\n",
		"can be written":                igd + "X.{i}.A\tDevice.PPP.Interface.{i}.ConnectionTrigger\tenum-map\ta=b\tx=a\trw\t\n",
		"kind \"sane-value\"":           strings.Replace(good, "same", "sane", 1),
		"direction \"wr\"":              strings.Replace(good, "rw", "wr", 1),
		"cells, want":                   "x\n",
	} {
		err := parseTable("t.tsv", "tr098\ttr181\t"+strings.Join(columns, "\t")+"\n"+rows, newMap(igd).take)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "t.tsv:")) {
			t.Errorf("%q: %v, want %q", rows, err, want)
		}
	}
}

// TestValuesThereAndBack: what can be written is read as it was written.
func TestValuesThereAndBack(t *testing.T) {
	for name, m := range bothMaps() {
		for _, r := range rules(m) {
			if !r.writes || r.conv.back == nil {
				continue
			}
			values := []string{"-1", "100", "", "AB01", "Device.QoS.Policer.3", "Device.QoS.Queue.4", "Device.QoS.App.5", "true", "false"}
			if p, ok := datamodel.LookupParam(r.target); ok {
				values = append(values, p.Enum...)
			}
			kept := 0
			for _, v := range values {
				own, ok := r.conv.back(v)
				if !ok {
					continue
				}
				if kept++; r.conv.to(own) != v {
					t.Errorf("%s: %s of %s is %q in %s, which is %q", name, v, r.target, own, r.source, r.conv.to(own))
				}
			}
			if kept == 0 {
				t.Errorf("%s: nothing can be written to %s", name, r.target)
			}
		}
	}
}

// TestNamesThereAndBack: the CPE's own row behind a row that it stands for is that row.
func TestNamesThereAndBack(t *testing.T) {
	for name, m := range bothMaps() {
		for _, r := range rules(m) {
			if !r.object || !r.reads || r.radio || !strings.HasSuffix(r.source, "{i}.") || !strings.HasSuffix(r.target, "{i}.") {
				continue
			}
			nums := make([]uint32, maxNums)
			for i := range nums {
				nums[i] = uint32(i + 2)
			}
			own := fill(r.from, nums)
			for _, row := range m.Rows(own) {
				if back := m.Row(row); back != own && agent.GenericPath(row) == r.target && !strings.Contains(row, ".IPv4Address.1.") {
					t.Errorf("%s: %s stands for %s, which is %q", name, own, row, back)
				}
			}
			if !slices.ContainsFunc(m.Rows(own), func(row string) bool { return agent.GenericPath(row) == r.target }) {
				t.Errorf("%s: %s does not stand for a row of %s", name, own, r.target)
			}
		}
	}
}

// TestStem: names of interfaces tell which radio they are of.
func TestStem(t *testing.T) {
	for name, want := range map[string]string{"wl0": "wl0", "wl0.1": "wl0", "wl1": "wl1", "ath0": "ath0", "ath01": "ath0", "ath1": "ath1", "ra0": "ra", "ra1": "ra",
		"rai0": "rai", "wlan0-1": "wlan0", "SSID1": "", "": "", "Home": ""} {
		if got := stem(name); got != want {
			t.Errorf("%q is of %q, want %q", name, got, want)
		}
	}
}

// TestZone: TR-098 has time zones as offsets, POSIX counts to the other side.
func TestZone(t *testing.T) {
	for v, want := range map[string]string{"+01:00": "<+0100>-01:00", "-05:30": "<-0530>+05:30", "": "", "CET-1": "CET-1"} {
		if got := offsetToPOSIX(v); got != want {
			t.Errorf("%q is %q, want %q", v, got, want)
		}
	}
}

// tr is a tree to be shown.
type tr struct {
	name, text string
	num        uint32
	kids       []*tr
}

func (n *tr) Segment() string { return n.name }
func (n *tr) Number() uint32  { return n.num }
func (n *tr) Param() bool     { return n.kids == nil }
func (n *tr) Text() string    { return n.text }
func (n *tr) Settable() bool  { return true }
func (n *tr) Each(f func(Node)) {
	for _, k := range n.kids {
		f(k)
	}
}

func (n *tr) Child(segment string) Node {
	for _, k := range n.kids {
		if k.name == segment {
			return k
		}
	}
	return nil
}

func (n *tr) put(path, text string) {
	for seg := range strings.SplitSeq(path, ".") {
		k, _ := n.Child(seg).(*tr)
		if k == nil {
			num, _ := number32(seg)
			k = &tr{name: seg, num: num}
			n.kids = append(n.kids, k)
		}
		n = k
	}
	n.text = text
}

// FuzzProject: whatever a CPE says, what is shown has paths of Device:2, and can be asked for and written to.
func FuzzProject(f *testing.F) {
	f.Add("LANDevice.1.WLANConfiguration.1.Name=wl0\nLANDevice.1.WLANConfiguration.1.BeaconType=11i")
	f.Add("WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.ConnectionType=IP_Routed\nLayer3Forwarding.DefaultConnectionService=x")
	f.Add("WANDevice.4294967295.WANConnectionDevice.99.WANIPConnection.1.PortMapping.9999.PortMappingEnabled=1\nLAN.IPAddress=1")
	f.Fuzz(func(t *testing.T, text string) {
		for name, m := range bothMaps() {
			root := &tr{name: "root", kids: []*tr{}}
			for line := range strings.Lines(text) {
				path, value, ok := strings.Cut(strings.TrimSpace(line), "=")
				if ok && path != "" && !strings.Contains("."+path+".", "..") && strings.Count(path, ".") < 20 {
					root.put(path, value)
				}
			}
			var shown []string
			m.Project(root, func(path, value string, _ bool) {
				if !strings.HasPrefix(path, "Device.") || strings.Contains(path, "..") || strings.Contains(path, rootName) {
					t.Errorf("%s: %q = %q", name, path, value)
				}
				shown = append(shown, path)
			})
			for _, path := range shown[:min(len(shown), 64)] {
				_ = m.Needs(path, strings.HasSuffix(path, "."))
				if strings.HasSuffix(path, ".") {
					_ = m.Row(path)
					_ = m.Table(root, path, func(string) string { return path })
				} else if !strings.Contains(path, "{i}") {
					_, _ = m.Write(root, path, "1")
				}
			}
		}
	})
}

const rootName = "InternetGatewayDevice"

func ExampleMap_Rows() {
	fmt.Println(TR098().Rows("InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1.PortMapping.7."))
	fmt.Println(TR098().Row("Device.IP.Interface.20101."))
	// Output:
	// [Device.NAT.PortMapping.101510007.]
	// InternetGatewayDevice.WANDevice.2.WANConnectionDevice.1.WANIPConnection.1.
}
