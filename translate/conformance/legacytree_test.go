package conformance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/agent"
)

const legacyWLAN = agent.LegacyRoot + "InternetGatewayDevice.LANDevice.1.WLANConfiguration."

// expert is a Controller at a TR-098 CPE, which has the CPE's tree as it is; or, with another role, does not.
func expert(t *testing.T, role string, tree *cpe.Tree) *eut {
	t.Helper()
	everything := agent.Permission{Order: 1, Targets: []string{"Device."}, Param: "rwxn", Obj: "rwxn", InstantiatedObj: "rwxn", CommandEvent: "rwxn"}
	legacy := everything
	legacy.Order, legacy.Targets = 2, []string{agent.LegacyRoot}
	return fresh(t, options{tree: tree, role: role, roles: []agent.Role{{Name: "expert", Permissions: []agent.Permission{everything, legacy}}}})
}

// TestLegacyTree: the CPE's own tree is read, written, told of and has its rows made and deleted in the CPE's own names, beside the Device:2 view of the same.
func TestLegacyTree(t *testing.T) {
	e := expert(t, "expert", cpe.HomeTR098())
	ssid := legacyWLAN + "1.SSID"
	shown := e.values("Device.")
	if shown[legacyWLAN+"1."]["SSID"] == "" {
		t.Fatalf("a Get of Device. lacks it: %v", slices.Sorted(maps.Keys(shown)))
	}
	for object := range shown {
		if strings.Contains(object, "InternetGatewayDevice") && !strings.HasPrefix(object, agent.LegacyRoot) || strings.Contains(object, "ManagementServer") {
			t.Errorf("%s is shown", object)
		}
	}
	model := e.model(all(), agent.LegacyRoot)[0]
	o := e.find(model, generic(legacyWLAN+"1."))
	if o == nil || len(o.GetSupportedParams()) == 0 {
		t.Fatal("the supported data model lacks it")
	}
	home := shown[legacyWLAN+"1."]["SSID"]
	if found := e.values(legacyWLAN + `[SSID=="` + home + `"].SSID`); found[legacyWLAN+"1."]["SSID"] != home {
		t.Errorf("a search finds %v", found)
	}

	e.subscribe("legacy", "ValueChange", ssid)
	e.subscribe("shown", "ValueChange", "Device.WiFi.SSID.1.SSID")
	e.watching("InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.SSID", 0)
	e.subscribe("root", "ValueChange", "Device.")
	e.change(ssid, "theirs")
	e.valueChanged("legacy", ssid, "theirs")
	e.valueChanged("shown", "Device.WiFi.SSID.1.SSID", "theirs")
	e.wantValue("Device.WiFi.SSID.1.SSID", "theirs")
	e.must(e.w.cpe.SetValue("InternetGatewayDevice.LANDevice.1.WLANConfiguration.1.SSID", "mine"))
	e.valueChanged("legacy", ssid, "mine")
	e.valueChanged("shown", "Device.WiFi.SSID.1.SSID", "mine")
	for _, n := range e.a.Notes() {
		if n.GetSubscriptionId() == "root" && agent.Legacy(n.GetValueChange().GetParamPath()) {
			t.Errorf("a Subscription to Device. is told %v", n)
		}
	}

	_, err := e.set(false, obj{legacyWLAN + "1.", []param{req("SSID", "a")}}, obj{"Device.WiFi.SSID.1.", []param{req("SSID", "b")}})
	if u := e.refused(err); u.Code != usp.InvalidArguments {
		t.Errorf("two values for one parameter: %v", u)
	}
	row, _ := e.added(agent.LegacyRoot+"InternetGatewayDevice.Layer3Forwarding.Forwarding.", req("DestIPAddress", "198.51.100.0"))
	e.wantValue(row+"DestIPAddress", "198.51.100.0")
	_, err = e.delete(false, row)
	e.must(err)
}

// TestNoLegacyTree: it is nowhere for a Controller whose role does not name it, not even one with full access, and not at a Device:2 CPE.
func TestNoLegacyTree(t *testing.T) {
	for name, c := range map[string]struct {
		role string
		tree *cpe.Tree
	}{"full access": {agent.FullAccess, cpe.HomeTR098()}, "Device:2": {"expert", cpe.HomeDevice2()}} {
		t.Run(name, func(t *testing.T) {
			e := expert(t, c.role, c.tree)
			if r := e.get(0, legacyWLAN+"1.SSID")[0]; r.GetErrCode() != uint32(usp.InvalidPath) {
				t.Error(r)
			}
			for object := range e.values("Device.") {
				if agent.Legacy(object) {
					t.Errorf("%s is shown", object)
				}
			}
			for _, o := range e.model(all(), "Device.")[0].GetSupportedObjs() {
				if agent.Legacy(o.GetSupportedObjPath()) {
					t.Errorf("%s is supported", o.GetSupportedObjPath())
				}
			}
			if _, err := e.set(false, obj{legacyWLAN + "1.", []param{req("SSID", "a")}}); err == nil {
				t.Error("it is written")
			}
		})
	}
}
