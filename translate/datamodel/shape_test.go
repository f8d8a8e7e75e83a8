package datamodel

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestBuildShapeGeneralises(t *testing.T) {
	s := BuildShape([]Name{
		{Path: "Device.WiFi.SSID.", Writable: true},
		{Path: "Device.WiFi.SSID.1.", Writable: false},
		{Path: "Device.WiFi.SSID.1.SSID", Writable: false, Type: "xsd:string"},
		{Path: "Device.WiFi.SSID.27.", Writable: true},
		{Path: "Device.WiFi.SSID.27.SSID", Writable: true, Type: "xsd:string(32)"},
		{Path: "Device.WiFi.SSID.1.Vendor", Type: "xsd:int"},
		{Path: "Device.WiFi.SSID.27.Vendor", Type: "xsd:boolean"},
		{Path: "Device.WiFi.SSID.27.Other", Type: "xsd:"},
		{Path: "Device.WiFi..Bad"}, {Path: "DeviceID.Manufacturer"}, {Path: ""}, {Path: "."}, {Path: "Device"},
		{Path: "Device.\x00"}, {Path: "Device.\xff"}, {Path: "Device." + strings.Repeat("x", maxName)},
	})
	want := []Name{
		{"Device.", false, ""},
		{"Device.WiFi.", false, ""},
		{"Device.WiFi.SSID.", true, ""},
		{"Device.WiFi.SSID.{i}.", true, ""},
		{"Device.WiFi.SSID.{i}.Other", false, ""},
		{"Device.WiFi.SSID.{i}.SSID", true, "string"},
		{"Device.WiFi.SSID.{i}.Vendor", false, "string"},
	}
	var got []Name
	for _, n := range s.names {
		name, _ := s.Lookup(n)
		got = append(got, name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, ok := s.Lookup("Device.WiFi.SSID.{i}.BSSID"); ok {
		t.Error("found what was not reported")
	}
}

func TestShapeIsBounded(t *testing.T) {
	names := make([]Name, maxNames+100)
	for i := range names {
		names[i].Path = fmt.Sprintf("Device.P%d", i)
	}
	s := BuildShape(names)
	if len(s.names) != maxNames {
		t.Errorf("%d names, want %d", len(s.names), maxNames)
	}
	if d, err := DecodeShape(s.Encode()); err != nil || d.Hash() != s.Hash() {
		t.Errorf("decoding the largest shape: %v", err)
	}
}

func TestShapeHashIgnoresOrderAndRows(t *testing.T) {
	names := gateway()
	want := BuildShape(names)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i := range names {
		names[i].Path = strings.ReplaceAll(names[i].Path, ".1.", ".73.")
	}
	if got := BuildShape(names); got.Hash() != want.Hash() || string(got.Encode()) != string(want.Encode()) {
		t.Error("another order and other instance numbers give another shape")
	}
	names[0].Writable = !names[0].Writable
	if got := BuildShape(names); got.Hash() == want.Hash() {
		t.Error("another writability gives the same hash")
	}
	// The hash is a key on disk: it must never change.
	const fixed = "f8667d3a"
	if got := BuildShape([]Name{{Path: "Device.A.1.B", Writable: true, Type: "xsd:int"}}).Hash(); got[:8] != fixed {
		t.Errorf("hash %s, want %s…", got, fixed)
	}
}

func TestShapeMerge(t *testing.T) {
	s := BuildShape(gateway())
	if m := s.Merge(BuildShape(gateway()[:5])); m != s {
		t.Error("nothing new, but another shape")
	}
	more := BuildShape([]Name{{Path: "Device.NAT.PortMapping.3.Enable", Writable: true, Type: "boolean"}})
	m := s.Merge(more)
	if m == s || m.Hash() == s.Hash() || !m.has("Device.NAT.PortMapping.{i}.Enable") || s.has("Device.NAT.PortMapping.{i}.Enable") {
		t.Error("a new column is not merged into a new shape")
	}
	if other := more.Merge(s); other.Hash() != m.Hash() {
		t.Error("merging is not commutative")
	}
	if m.Merge(more) != m {
		t.Error("merging is not idempotent")
	}
}

func TestDecodeShapeRefuses(t *testing.T) {
	good := BuildShape(gateway()).Encode()
	unsorted := zstdEncoder().EncodeAll([]byte{2, 0, 7, 'D', 'e', 'v', 'i', 'c', 'e', '.', 0, 7, 1, '1', 0}, []byte{shapeVersion})
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"version":       append([]byte{9}, good[1:]...),
		"truncated":     good[:len(good)-7],
		"not canonical": unsorted,
		"no zstd":       []byte("\x01hello"),
	} {
		if _, err := DecodeShape(b); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v, want ErrShape", name, err)
		}
	}
}

func FuzzDecodeShape(f *testing.F) {
	f.Add(BuildShape(gateway()).payload())
	f.Add(BuildShape(nil).payload())
	f.Add([]byte{2, 0, 7, 'D', 'e', 'v', 'i', 'c', 'e', '.', 0, 7, 1, 'A', 9})
	f.Fuzz(func(t *testing.T, payload []byte) {
		// The frame is zstd's business: what is inside must not matter either.
		for _, b := range [][]byte{payload, zstdEncoder().EncodeAll(payload, []byte{shapeVersion})} {
			s, err := DecodeShape(b)
			if err != nil {
				continue
			}
			again, err := DecodeShape(s.Encode())
			if err != nil || again.Hash() != s.Hash() {
				t.Fatalf("decoding what was encoded: %v", err)
			}
			Model(s, nil)
		}
	})
}

// dump reads the parameter dump of a real TR-098 gateway, where present.
func dump(tb testing.TB) []Name {
	tb.Helper()
	text, err := os.ReadFile("../../../shared/dumps/huawei-bm632w-tr098.csv")
	if err != nil {
		tb.Skipf("no dump of a real gateway here: %v", err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		tb.Fatal(err)
	}
	var names []Name
	for _, r := range rows[1:] {
		path := r[0]
		if r[1] == "true" && !strings.HasSuffix(path, ".") {
			path += "."
		}
		names = append(names, Name{Path: path, Writable: r[2] == "true", Type: r[4]})
	}
	return names
}

func TestShapeOfRealGateway(t *testing.T) {
	names := dump(t)
	s := BuildShape(names)
	b := s.Encode()
	t.Logf("%d names, %d generic, %d bytes encoded", len(names), len(s.names), len(b))
	if len(s.names) < 300 || len(b) > 16<<10 {
		t.Errorf("%d generic names in %d bytes", len(s.names), len(b))
	}
	if s.Device2() {
		t.Error("InternetGatewayDevice taken for Device:2")
	}
	n, ok := s.Lookup("InternetGatewayDevice.LANDevice.{i}.WLANConfiguration.{i}.SSID")
	if !ok || !n.Writable || n.Type != "string" {
		t.Errorf("SSID: %+v, %v", n, ok)
	}
	if m := Model(s, nil); len(m.Objects()) != 2 || m.Object("Device.DeviceInfo.") == nil {
		t.Errorf("model has %d objects", len(m.Objects()))
	}
}

func TestShapeOfCapturedAnswer(t *testing.T) {
	b, err := os.ReadFile("../../../shared/captures/cwmp-sim-tr181/007-resp-GPN-whole-tree--then-GPN-invalid-path.txt")
	if err != nil {
		t.Skipf("no captures here: %v", err)
	}
	info := regexp.MustCompile(`<Name>([^<]+)</Name><Writable>([^<]+)</Writable>`)
	var names []Name
	for _, m := range info.FindAllStringSubmatch(string(b), -1) {
		names = append(names, Name{Path: m[1], Writable: m[2] == "true"})
	}
	if len(names) != 96 { // as its arrayType says
		t.Fatalf("%d names in the capture, want 96", len(names))
	}
	s := BuildShape(names)
	if !s.Device2() {
		t.Error("Device:2 not recognised")
	}
	m := Model(s, []string{"Reboot"})
	if o := m.Object("Device.DeviceInfo."); o == nil || o.Param("ProvisioningCode") == nil || !o.Param("ProvisioningCode").Writable {
		t.Errorf("DeviceInfo: %+v", o)
	}
	if o := m.Object("Device.ManagementServer."); o != nil {
		t.Errorf("ManagementServer is visible: %+v", o)
	}
}
