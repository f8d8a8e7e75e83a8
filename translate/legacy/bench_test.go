package legacy

import (
	"runtime"
	"testing"
)

// maxResident is what the tables of both data models and of all makers may take for the process, whatever the fleet: 12 MB with those of package datamodel.
const maxResident = 8 << 20 // bytes

// TestTablesAreSmall: what the tables take, loaded afresh, is within the limit.
func TestTablesAreSmall(t *testing.T) {
	roots := []string{TR098().root, Device1().root} // what loading needs besides is there
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	maps := []*Map{mustLoad(roots[0], tr098Table), mustLoad(roots[1], device1Table)}
	for _, name := range Vendors() {
		v, err := LoadVendor(name)
		if err != nil {
			t.Fatal(err)
		}
		maps = append(maps, maps[0].With(v))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d kB", size>>10)
	if size > maxResident {
		t.Errorf("the tables take %d bytes, more than %d", size, maxResident)
	}
	runtime.KeepAlive(maps)
}

// BenchmarkLookup finds the places of a name, and the name of a place.
func BenchmarkLookup(b *testing.B) {
	m := TR098()
	const own = igd + "LANDevice.1.WLANConfiguration.3.SSID"
	b.Run("place", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(m.Params(own)) != 1 {
				b.Fatal("no place")
			}
		}
	})
	b.Run("row", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if m.Row("Device.NAT.PortMapping.101510007.") == "" {
				b.Fatal("no row")
			}
		}
	})
	b.Run("needs", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(m.Needs("Device.WiFi.SSID.*.SSID", false)) != 1 {
				b.Fatal("no need")
			}
		}
	})
}

// BenchmarkProject makes the whole of Device:2 of a CPE with all of TR-098, 1801 parameters.
func BenchmarkProject(b *testing.B) {
	m, root := TR098(), full(b, "igd1.tsv", otherWay)
	b.ReportAllocs()
	for b.Loop() {
		m.Project(root, func(string, string, bool) {})
	}
}
