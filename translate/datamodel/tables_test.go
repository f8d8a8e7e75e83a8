package datamodel

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"isthmus/usp/agent"
)

func TestPackedTablesAreCurrent(t *testing.T) {
	files, err := filepath.Glob("gz/*.tsv.gz")
	if err != nil || len(files) != 4 {
		t.Fatalf("embedded tables: %q, %v; want 4", files, err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".gz")
		want, err := os.ReadFile(filepath.Join("tables", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := unpack(name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from tables/%s: run go generate", f, name)
		}
	}
}

func TestTablesLoad(t *testing.T) {
	s, err := loadSchema(unpack)
	if err != nil {
		t.Fatal(err)
	}
	// 6722 and 822 of the USP variant, 933 and 98 of the CWMP variant alone.
	if len(s.params) != 7655 || len(s.objects) != 920 {
		t.Errorf("%d parameters, %d objects; want 7655, 920", len(s.params), len(s.objects))
	}
	commands, events := 0, 0
	for _, cs := range s.commands {
		for _, c := range cs {
			commands++
			if c.Class == "" {
				t.Errorf("%s has no row in commands-to-cwmp.tsv", c.Name)
			}
		}
	}
	for _, es := range s.events {
		for _, e := range es {
			events++
			if e.Class == "" {
				t.Errorf("%s has no row in events-to-cwmp.tsv", e.Name)
			}
		}
	}
	if commands != 179 || events != 53 {
		t.Errorf("%d commands, %d events; want 179, 53", commands, events)
	}
}

func TestLookup(t *testing.T) {
	radio, ok := LookupObject("Device.WiFi.Radio.{i}.")
	if !ok || !radio.Multi || radio.Writable || radio.Count != "RadioNumberOfEntries" || len(radio.Keys) != 2 || !radio.Keys[0].NonFunctional {
		t.Errorf("Radio: %+v, %v", radio, ok)
	}
	mapping, _ := LookupObject("Device.NAT.PortMapping.{i}.")
	if !mapping.Writable || mapping.Enable != "Enable" || strings.Join(mapping.Keys[1].Params, ",") != "RemoteHost,ExternalPort,Protocol" || mapping.Keys[1].NonFunctional {
		t.Errorf("PortMapping: %+v", mapping)
	}
	for _, c := range []struct {
		path string
		ok   func(p Param) bool
	}{
		{"Device.WiFi.Radio.{i}.Channel", func(p Param) bool { return p.Type == agent.TypeUnsignedInt && p.Writable && !p.Quiet }},
		{"Device.WiFi.Radio.{i}.SupportedStandards", func(p Param) bool { return p.List && p.Type == agent.TypeString && len(p.Enum) > 3 }},
		{"Device.WiFi.Radio.{i}.Stats.BytesSent", func(p Param) bool { return p.Quiet && p.CanDeny && p.Type == agent.TypeUnsignedLong }},
		{"Device.DeviceInfo.UpTime", func(p Param) bool { return p.Quiet }},
		{"Device.Time.CurrentLocalTime", func(p Param) bool { return p.Quiet }},
		{"Device.NAT.PortMapping.{i}.LeaseDuration", func(p Param) bool { return p.Quiet && p.Writable }},
		{"Device.DHCPv4.Server.Pool.{i}.LeaseTime", func(p Param) bool { return !p.Quiet && p.Writable }},
		{"Device.NAT.PortMapping.{i}.Interface", func(p Param) bool { return p.Reference == StrongReference }},
		{"Device.NAT.PortMapping.{i}.Alias", func(p Param) bool { return p.WriteOnce && p.Writable }},
		{"Device.WiFi.AccessPoint.{i}.Security.KeyPassphrase", func(p Param) bool { return p.Secured }},
		{"Device.DSL.Line.{i}.Stats.Reset", func(p Param) bool { return p.Trigger }}, // of the CWMP variant
		{"Device.Ethernet.RMONStats.{i}.Status", func(p Param) bool { return !p.Quiet }},
	} {
		if p, ok := LookupParam(c.path); !ok || !c.ok(p) {
			t.Errorf("%s: %+v, %v", c.path, p, ok)
		}
	}
	if p, ok := LookupParam("Device.X_VENDOR_Thing"); ok {
		t.Errorf("found %+v", p)
	}
	if o, ok := LookupObject("Device.WiFi.Radio."); ok {
		t.Errorf("found %+v", o)
	}
	root := Commands("Device.")
	i := 0
	for i < len(root) && root[i].Name != "Reboot()" {
		i++
	}
	if i == len(root) || root[i].Async || root[i].Class != "rpc" || root[i].Target != "Reboot" || strings.Join(root[i].In, ",") != "Cause,Reason" {
		t.Errorf("commands of Device.: %+v", root)
	}
	if e := Events("Device."); len(e) == 0 || e[0].Name != "Boot!" || e[0].Class != "event-code" {
		t.Errorf("events of Device.: %+v", e)
	}
}

// TestStrictLoader changes one thing at a time in a small set of tables.
func TestStrictLoader(t *testing.T) {
	good := map[string]string{
		"device2-usp.tsv": strings.ReplaceAll(ModelHeader, " ", "\t") + "\n" +
			"Device.\tobject\tfixed\t\tsingle\t\t2.12\tcurrent\t\n" +
			"Device.A\tparam\trw\tstring\tmax=3\t\t2.12\tcurrent\tx|y\n" +
			"Device.Do()\tcommand\tsync\t\t\t\t2.12\tcurrent\t\n" +
			"Device.Do()/in/X\tin\tmandatory\tstring\t\t\t2.12\tcurrent\t\n" +
			"Device.Boot!\tevent\t-\t\t\t\t2.12\tcurrent\t\n",
		"device2-cwmp-only.tsv": strings.ReplaceAll(ModelHeader, " ", "\t") + "\n",
		"commands-to-cwmp.tsv":  strings.ReplaceAll(commandsHeader, " ", "\t") + "\nDevice.Do()\tsync\tcurrent\trpc\tDo\t\t\t\t-\t\t\t\thigh\t\n",
		"events-to-cwmp.tsv":    strings.ReplaceAll(eventsHeader, " ", "\t") + "\nDevice.Boot!\tcurrent\tevent-code\tInform\t\thigh\t\n",
	}
	load := func(file, old, new string) error {
		_, err := loadSchema(func(name string) (string, error) {
			if name == file {
				return strings.Replace(good[name], old, new, 1), nil
			}
			return good[name], nil
		})
		return err
	}
	if err := load("", "", ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, old, new, want string }{
		{"device2-usp.tsv", "keys", "key", "device2-usp.tsv:1: columns"},
		{"device2-usp.tsv", "\tx|y", "", "device2-usp.tsv:3: 8 cells"},
		{"device2-usp.tsv", "param", "parameter", `device2-usp.tsv:3: Device.A: kind "parameter"`},
		{"device2-usp.tsv", "string", "text", `device2-usp.tsv:3: Device.A: type "text"`},
		{"device2-usp.tsv", "rw", "wr", `device2-usp.tsv:3: Device.A: access "wr"`},
		{"device2-usp.tsv", "max=3", "maximum=3", `device2-usp.tsv:3: Device.A: flag "maximum=3"`},
		{"device2-usp.tsv", "single", "multi", `device2-usp.tsv:2: Device.: flag "multi"`},
		{"device2-usp.tsv", "2.12\tcurrent", "2.12\tnew", `device2-usp.tsv:2: Device.: status "new"`},
		{"device2-usp.tsv", "Device.Do()\t", "Device.A\tparam\trw\tstring\t\t\t2.12\tcurrent\t\nDevice.Do()\t", "device2-usp.tsv:4: Device.A: second row"},
		{"device2-usp.tsv", "Device.A\t", "Device.B.A\t", "device2-usp.tsv:3: Device.B.A: object is missing"},
		{"device2-usp.tsv", "mandatory", "needed", `device2-usp.tsv:5: Device.Do()/in/X: access "needed"`},
		{"device2-usp.tsv", "Do()/in/X", "Go()/in/X", "device2-usp.tsv:5: Device.Go()/in/X: command is missing"},
		{"commands-to-cwmp.tsv", "rpc\t", "call\t", `commands-to-cwmp.tsv:2: Device.Do(): class "call"`},
		{"commands-to-cwmp.tsv", "Device.Do()", "Device.Go()", "commands-to-cwmp.tsv:2: Device.Go(): command is missing"},
		{"events-to-cwmp.tsv", "event-code", "code", `events-to-cwmp.tsv:2: Device.Boot!: class "code"`},
		{"events-to-cwmp.tsv", "event-code\tInform", "value-change\tB", `events-to-cwmp.tsv:2: Device.Boot!: parameter "B" is missing`},
		{"events-to-cwmp.tsv", "event-code\tInform\t", "value-change\tA=x\tY=A", `events-to-cwmp.tsv:2: Device.Boot!: argument "Y=A"`},
		{"events-to-cwmp.tsv", good["events-to-cwmp.tsv"], "", "events-to-cwmp.tsv: empty"},
	} {
		if err := load(c.file, c.old, c.new); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q for %q: %v, want %s", c.new, c.old, err, c.want)
		}
	}
}

// TestTablesAreSmall holds the tables to their share of a process that serves thousands of CPE: 12 MB with those of package legacy.
func TestTablesAreSmall(t *testing.T) {
	const limit = 4 << 20
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	start := time.Now()
	s, err := loadSchema(unpack)
	took := time.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	size := heap() - before
	runtime.KeepAlive(s)
	t.Logf("resident %d KB, loaded in %v", size>>10, took)
	if size > limit {
		t.Errorf("the tables take %d bytes, more than %d", size, limit)
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := loadSchema(unpack); err != nil {
			b.Fatal(err)
		}
	}
}

// What the tables say of input arguments.
func TestArgumentsOfCommands(t *testing.T) {
	c, _ := LookupCommand("Device.SoftwareModules.InstallDU()")
	if a := c.Args["Resources.AllocatedCPUPercent"]; a == nil || *a.Default != "-1" || len(a.Ranges) != 1 || a.Ranges[0] != (agent.Range{Min: -1, Max: 100}) {
		t.Errorf("%+v", a)
	}
	if a := c.Args["Username"]; a == nil || *a.Default != "" || a.MaxLength != 256 || a.Type != agent.TypeString {
		t.Errorf("%+v", a)
	}
	c, _ = LookupCommand("Device.SoftwareModules.ExecutionUnit.{i}.SetRequestedState()")
	if a := c.Args["RequestedState"]; a == nil || strings.Join(a.Enum, " ") != "Idle Active" || a.Default != nil {
		t.Errorf("%+v", a)
	}
}
