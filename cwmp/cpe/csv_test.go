package cpe

import (
	"errors"
	"os"
	"strings"
	"testing"

	"isthmus/cwmp"
)

const csvHeader = "Parameter,Object,Writable,Value,Value type\n"

func TestLoadCSVDump(t *testing.T) {
	const dump = "../../../shared/dumps/huawei-bm632w-tr098.csv"
	f, err := os.Open(dump)
	if err != nil {
		t.Skipf("SKIPPED: the dump of a real device is not there: %v", err)
	}
	defer f.Close()
	tree, err := LoadCSV(f)
	if err != nil {
		t.Fatal(err)
	}
	var parameters, objects int
	walk("", tree.root, func(path string, n *node) {
		if n.parameter() {
			parameters++
		} else if path != "" {
			objects++
		}
	})
	if parameters != 792 || objects != 210 || tree.DeviceID.OUI != "202BC1" {
		t.Errorf("%d parameters, %d objects, %+v", parameters, objects, tree.DeviceID)
	}
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, Tree: tree})
	const table = "InternetGatewayDevice.LANDevice.1.LANHostConfigManagement.DHCPConditionalServingPool."
	if r := ask[*cwmp.AddObjectResponse](a, c, &cwmp.AddObject{ObjectName: table}); r.InstanceNumber != 5 {
		t.Errorf("instance %d, want 5", r.InstanceNumber)
	}
	if a.inform(0).DeviceId != tree.DeviceID {
		t.Errorf("identity %+v", a.inform(0).DeviceId)
	}
}

func TestLoadCSVErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "is empty"},
		{"hello\n", "line 1 does not name the columns: want Parameter,Object,Writable,Value,Value type"},
		{"Parameter,Object,Writable,Value,Type\n", "line 1, column 5"},
		{csvHeader, "no parameters"},
		{csvHeader + "Device.A,maybe,true,1,xsd:int\n", `line 2, column "Object"`},
		{csvHeader + "Device.A,false,true,1,xsd:int\nDevice.B,false,,1,xsd:int\n", `line 3, column "Writable"`},
		{csvHeader + "Device.A,false,true,1,xsd:integer\n", `line 2, column "Value type"`},
		{csvHeader + "Other.A,false,true,1,xsd:int\n", `line 2, column "Parameter"`},
		{csvHeader + "Device..A,false,true,1,xsd:int\n", "not a path"},
		{csvHeader + "Device.A,false,true,1,xsd:int\nDevice.A.B,false,true,1,xsd:int\n", `line 3, column "Parameter"`},
		{csvHeader + "Device.A,false,true\n", "line 2"},
	} {
		if _, err := LoadCSV(strings.NewReader(test.text)); !errors.Is(err, ErrDump) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.text, err, test.want)
		}
	}
}

func FuzzLoadCSV(f *testing.F) {
	f.Add(csvHeader + "Device.T,true,true,,\nDevice.T.1.A,false,true,1,xsd:int\n")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := LoadCSV(strings.NewReader(text))
		if err != nil {
			return
		}
		walk("", tree.root, func(path string, n *node) {
			if n.table && n.template != nil {
				if next, i := tree.add(path); next.find(path+itoa(i)+".") == nil && !n.template.parameter() {
					t.Errorf("row %d of %q is not there", i, path)
				}
			}
		})
	})
}
