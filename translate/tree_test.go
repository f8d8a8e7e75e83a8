package translate

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"isthmus/usp/agent"
)

func sample() *tree {
	t := newTree()
	for _, p := range []string{"Device.DeviceInfo.SerialNumber", "Device.WiFi.SSID.1.SSID", "Device.WiFi.SSID.1.Stats.BytesSent", "Device.WiFi.SSID.2.SSID",
		"Device.WiFi.SSID.10.SSID", "Device.WiFi.RadioNumberOfEntries"} {
		t.set(p, "v:"+p, "string", 100)
	}
	t.put("Device.WiFi.").at = 90
	return t
}

func paths(t *tree, path string, depth int) []string {
	var out []string
	t.walk(path, depth, func(p string, _ *node) { out = append(out, p) })
	return out
}

func TestTreeWalk(t *testing.T) {
	tr := sample()
	for _, c := range []struct {
		path  string
		depth int
		want  []string
	}{
		{"Device.WiFi.SSID.*.SSID", 0, []string{"Device.WiFi.SSID.1.SSID", "Device.WiFi.SSID.2.SSID", "Device.WiFi.SSID.10.SSID"}},
		{"Device.WiFi.SSID.2.", 0, []string{"Device.WiFi.SSID.2.", "Device.WiFi.SSID.2.SSID"}},
		{"Device.WiFi.SSID.1.", 1, []string{"Device.WiFi.SSID.1.", "Device.WiFi.SSID.1.SSID"}},
		{"Device.WiFi.SSID.", 1, []string{"Device.WiFi.SSID.", "Device.WiFi.SSID.1.", "Device.WiFi.SSID.1.SSID", "Device.WiFi.SSID.2.",
			"Device.WiFi.SSID.2.SSID", "Device.WiFi.SSID.10.", "Device.WiFi.SSID.10.SSID"}},
		{"Device.WiFi.", 1, []string{"Device.WiFi.", "Device.WiFi.RadioNumberOfEntries"}},
		{"Device.WiFi.SSID.3.SSID", 0, nil},
		{"Device.WiFi", 0, nil},
		{"Device.DeviceInfo.SerialNumber.", 0, nil},
	} {
		if got := paths(tr, c.path, c.depth); !slices.Equal(got, c.want) {
			t.Errorf("walk(%s, %d) = %q, want %q", c.path, c.depth, got, c.want)
		}
	}
}

func TestTreeListed(t *testing.T) {
	tr := sample()
	created, deleted := tr.listed("Device.WiFi.SSID.", []listedName{
		{"Device.WiFi.SSID.", false}, {"Device.WiFi.SSID.2.", true}, {"Device.WiFi.SSID.2.SSID", true}, {"Device.WiFi.SSID.11.", true},
		{"Device.WiFi.SSID.11.SSID", true}, {"Device.WiFi.Radio.1.Channel", true}}, 200)
	if want := []string{"Device.WiFi.SSID.11."}; !slices.Equal(created, want) {
		t.Errorf("created %q, want %q", created, want)
	}
	if want := []string{"Device.WiFi.SSID.1.", "Device.WiFi.SSID.10."}; !slices.Equal(deleted, want) {
		t.Errorf("deleted %q, want %q", deleted, want)
	}
	if got := tr.listedAt("Device.WiFi.SSID.2."); got != 200 {
		t.Errorf("listed at %d, want 200", got)
	}
	if n := tr.get("Device.WiFi.SSID.2.SSID"); n == nil || n.value == "" || n.at != 100 {
		t.Errorf("a value that stays was lost: %+v", n)
	}
	if tr.get("Device.WiFi.Radio.1.Channel") != nil {
		t.Error("a name outside of what was listed was believed")
	}
	if c, d := tr.listed("Device.Hosts.", []listedName{{"Device.Hosts.Host.1.", false}}, 200); c != nil || d != nil {
		t.Errorf("a first listing is no news: %q %q", c, d)
	}
}

func TestTreeDoubt(t *testing.T) {
	tr := sample()
	tr.put("Device.").at = 95
	tr.put("Device.NAT.PortMapping.1.")
	tr.doubt("Device.WiFi.SSID.")
	for path, want := range map[string]int64{"Device.WiFi.SSID.": longAgo, "Device.WiFi.SSID.1.": longAgo, "Device.": longAgo, "Device.WiFi.": longAgo,
		"Device.NAT.PortMapping.": 95, "Device.DeviceInfo.": 95} {
		if got := tr.listedAt(path); got != want {
			t.Errorf("%s listed at %d, want %d", path, got, want)
		}
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	tr := sample()
	data := encodeTree(tr)
	back, err := decodeTree(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encodeTree(back), data) {
		t.Error("the tree is not what was encoded")
	}
	if n := back.get("Device.WiFi.SSID.10.SSID"); n == nil || n.num != 0 || n.value != "v:Device.WiFi.SSID.10.SSID" {
		t.Errorf("%+v", n)
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(encodeTree(sample()))
	f.Add([]byte{snapshotVersion})
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := decodeTree(data)
		if err != nil {
			return
		}
		if _, err := decodeTree(encodeTree(tr)); err != nil {
			t.Errorf("what was decoded does not decode again: %v", err)
		}
	})
}

func TestAgeRules(t *testing.T) {
	a := newAges(time.Minute, []AgeRule{{"Device.DeviceInfo.", 24 * time.Hour}, {"Device.*.Stats.", 0}, {"Device.WiFi.SSID.*.SSID", time.Second},
		{"Device.WiFi.SSID.", time.Hour}, {"Device.WiFi.SSID.", 2 * time.Hour}})
	for path, want := range map[string]time.Duration{
		"Device.DeviceInfo.UpTime":                 24 * time.Hour,
		"Device.WiFi.SSID.1.Stats.BytesSent":       2 * time.Hour, // three literal segments beat two
		"Device.Ethernet.Interface.1.Stats.Errors": 0,
		"Device.WiFi.SSID.1.SSID":                  time.Second,
		"Device.WiFi.SSID.1.Enable":                2 * time.Hour,
		"Device.Time.Enable":                       time.Minute,
		"Device.Stats.X":                           time.Minute, // "*" is at least one segment
	} {
		if got := a.of(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestIdentityRender(t *testing.T) {
	tr := sample()
	tr.set("Device.ManagementServer.URL", "http://acs", "string", 1)
	got := identity{}.Render(tr, agent.Query{Path: "Device."})
	for _, o := range got {
		if o.Path == "Device.ManagementServer." {
			t.Error("ManagementServer is shown")
		}
		if o.Path == "Device.WiFi.SSID." {
			t.Error("a table is shown as an object")
		}
	}
	rows := identity{}.Render(tr, agent.Query{Path: "Device.WiFi.SSID.", RowsOnly: true, Depth: 1})
	if len(rows) != 3 || rows[2].Path != "Device.WiFi.SSID.10." || len(rows[0].Params) != 0 {
		t.Errorf("rows: %+v", rows)
	}
}
