package cpe

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"isthmus/cwmp"
)

const mapping = "Device.NAT.PortMapping."

func set(key string, triples ...string) *cwmp.SetParameterValues {
	m := &cwmp.SetParameterValues{ParameterKey: key}
	for v := range slices.Chunk(triples, 3) {
		m.ParameterList = append(m.ParameterList, cwmp.ParameterValueStruct{Name: v[0], Type: v[1], Value: v[2]})
	}
	return m
}

func TestGetRPCMethods(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	list := ask[*cwmp.GetRPCMethodsResponse](a, c, &cwmp.GetRPCMethods{}).MethodList
	if !slices.Equal(list, methods) {
		t.Errorf("methods %v", list)
	}
	wantFault(a, c, &cwmp.GetOptions{}, cwmp.FaultMethodNotSupported)
}

func TestGetParameterNames(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	names := func(path string, next bool) []string {
		t.Helper()
		var list []string
		for _, p := range ask[*cwmp.GetParameterNamesResponse](a, c, &cwmp.GetParameterNames{ParameterPath: path, NextLevel: next}).ParameterList {
			list = append(list, p.Name)
			if p.Writable {
				list[len(list)-1] += " w"
			}
		}
		return list
	}
	for _, test := range []struct {
		path string
		next bool
		want []string
	}{
		{"", true, []string{"Device."}},
		{"Device.NAT.", true, []string{"Device.NAT.InterfaceSettingNumberOfEntries", "Device.NAT.PortMappingNumberOfEntries", "Device.NAT.InterfaceSetting. w", "Device.NAT.PortMapping. w"}},
		{mapping, true, []string{mapping + "1. w"}},
		{info + "ProvisioningCode", false, []string{info + "ProvisioningCode w"}},
		{"Device.DeviceInfo.MemoryStatus.", false, []string{"Device.DeviceInfo.MemoryStatus.", "Device.DeviceInfo.MemoryStatus.Total", "Device.DeviceInfo.MemoryStatus.Free"}},
	} {
		if diff := cmp.Diff(test.want, names(test.path, test.next)); diff != "" {
			t.Errorf("%q next level %t (-want +got):\n%s", test.path, test.next, diff)
		}
	}
	if whole := names("", false); whole[0] != "Device." || len(whole) < 200 {
		t.Errorf("the whole tree has %d names and begins with %s", len(whole), whole[0])
	}
	wantFault(a, c, &cwmp.GetParameterNames{ParameterPath: info + "UpTime", NextLevel: true}, cwmp.FaultInvalidArguments)
	for _, path := range []string{"Device", "Device.Nothing.", info + "UpTime.", "Device.NAT.PortMapping.9."} {
		wantFault(a, c, &cwmp.GetParameterNames{ParameterPath: path}, cwmp.FaultInvalidParameterName)
	}
}

func TestGetParameterValues(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	get := func(names ...string) []cwmp.ParameterValueStruct {
		t.Helper()
		return ask[*cwmp.GetParameterValuesResponse](a, c, &cwmp.GetParameterValues{ParameterNames: names}).ParameterList
	}
	want := []cwmp.ParameterValueStruct{
		{Name: "Device.WiFi.SSID.1.SSID", Value: "Home", Type: "string"},
		{Name: "Device.DeviceInfo.MemoryStatus.Total", Value: "262144", Type: "unsignedInt"},
		{Name: "Device.DeviceInfo.MemoryStatus.Free", Value: "131072", Type: "unsignedInt"},
	}
	if diff := cmp.Diff(want, get("Device.WiFi.SSID.1.SSID", "Device.DeviceInfo.MemoryStatus.")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := get(""); len(all) < 120 {
		t.Errorf("%d parameters in all", len(all))
	}
	const key = "Device.WiFi.AccessPoint.1.Security.KeyPassphrase"
	if v := get(key)[0].Value; v != "" || c.Value(key) == "" {
		t.Errorf("the passphrase reads %q", v)
	}
	wantFault(a, c, &cwmp.GetParameterValues{ParameterNames: []string{info + "UpTime", "Device.No"}}, cwmp.FaultInvalidParameterName)
}

func TestSetParameterValuesIsAtomic(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	f := ask[*cwmp.Fault](a, c, set("k1",
		info+"ProvisioningCode", "string", "new",
		"Device.None", "string", "x",
		info+"ProvisioningCode2", "string", "x",
		"Device.WiFi.Radio.1.Channel", "string", "1",
		"Device.WiFi.Radio.2.Channel", "unsignedInt", "999",
		"Device.WiFi.Radio.1.Enable", "boolean", "maybe",
		info+"UpTime", "unsignedInt", "1",
	))
	var got []cwmp.FaultCode
	for _, p := range f.Params {
		got = append(got, p.Code)
	}
	if want := []cwmp.FaultCode{9005, 9005, 9006, 9007, 9007, 9008}; f.Code != 9003 || !slices.Equal(got, want) {
		t.Errorf("fault %d with %v, want 9003 with %v", f.Code, got, want)
	}
	if c.Value(info+"ProvisioningCode") != "" || c.Value(server+"ParameterKey") != "" {
		t.Error("a failed SetParameterValues changed something")
	}
	ask[*cwmp.SetParameterValuesResponse](a, c, set("k2", info+"ProvisioningCode", "string", "new", "Device.WiFi.Radio.1.Enable", "boolean", "0"))
	if c.Value(info+"ProvisioningCode") != "new" || c.Value("Device.WiFi.Radio.1.Enable") != "false" || c.Value(server+"ParameterKey") != "k2" {
		t.Error("a SetParameterValues changed nothing")
	}
	wantFault(a, c, set("", info+"ProvisioningCode", "string", "1", info+"ProvisioningCode", "string", "2"), cwmp.FaultInvalidArguments)
}

func TestAttributes(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	attributes := func(name string, n int) *cwmp.SetParameterAttributes {
		return &cwmp.SetParameterAttributes{ParameterList: []cwmp.SetParameterAttributesStruct{{
			Name: name, NotificationChange: true, Notification: n, AccessListChange: true, AccessList: []string{"Subscriber"},
		}}}
	}
	ask[*cwmp.SetParameterAttributesResponse](a, c, attributes(info, 1))
	r := ask[*cwmp.GetParameterAttributesResponse](a, c, &cwmp.GetParameterAttributes{ParameterNames: []string{info + "ModelName", info + "SoftwareVersion"}})
	want := []cwmp.ParameterAttributeStruct{
		{Name: info + "ModelName", Notification: 1, AccessList: []string{"Subscriber"}},
		{Name: info + "SoftwareVersion", Notification: 2, AccessList: []string{"Subscriber"}},
	}
	if diff := cmp.Diff(want, r.ParameterList); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantFault(a, c, attributes(info+"SoftwareVersion", 0), cwmp.FaultNotificationRejected)
	wantFault(a, c, attributes(info+"ModelName", 7), cwmp.FaultInvalidArguments)
	wantFault(a, c, attributes("Device.No.", 1), cwmp.FaultInvalidParameterName)
	if n := Device2().find(info + "ModelName").notification; n != 0 {
		t.Errorf("the shared tree has notification %d", n)
	}
}

func TestAddAndDeleteObject(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL})
	add := &cwmp.AddObject{ObjectName: mapping, ParameterKey: "k"}
	for _, want := range []int{2, 3} {
		if r := ask[*cwmp.AddObjectResponse](a, c, add); r.InstanceNumber != want {
			t.Errorf("instance %d, want %d", r.InstanceNumber, want)
		}
	}
	ask[*cwmp.DeleteObjectResponse](a, c, &cwmp.DeleteObject{ObjectName: mapping + "3."})
	if r := ask[*cwmp.AddObjectResponse](a, c, add); r.InstanceNumber != 4 {
		t.Errorf("instance %d, want 4: numbers are not used again", r.InstanceNumber)
	}
	if n := c.Value("Device.NAT.PortMappingNumberOfEntries"); n != "3" {
		t.Errorf("PortMappingNumberOfEntries %s", n)
	}
	if v := c.Value(mapping + "4.Protocol"); v != "TCP" {
		t.Errorf("default Protocol %q", v)
	}
	if !c.Exists("Device.NAT.PortMapping.2.") || c.Exists(mapping+"3.") || Device2().find(mapping+"2.") != nil {
		t.Error("rows are not what they should be")
	}
	pool := ask[*cwmp.AddObjectResponse](a, c, &cwmp.AddObject{ObjectName: "Device.DHCPv4.Server.Pool."}).InstanceNumber
	nested := "Device.DHCPv4.Server.Pool." + itoa(pool) + ".StaticAddress."
	if r := ask[*cwmp.AddObjectResponse](a, c, &cwmp.AddObject{ObjectName: nested}); r.InstanceNumber != 1 {
		t.Errorf("first row of a new table is %d", r.InstanceNumber)
	}
	for _, path := range []string{"Device.Hosts.Host.", "Device.NAT.", "Device.NAT.PortMapping", info + "UpTime", ""} {
		wantFault(a, c, &cwmp.AddObject{ObjectName: path}, cwmp.FaultInvalidParameterName)
	}
	for _, path := range []string{"Device.Hosts.Host.1.", mapping, mapping + "99.", "Device.", ""} {
		wantFault(a, c, &cwmp.DeleteObject{ObjectName: path}, cwmp.FaultInvalidParameterName)
	}
}

func TestFaults(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, Faults: Faults{
		MaxGPV: 2, RPCFault: map[string]cwmp.FaultCode{"Reboot": 9001},
		SetFault: map[string]cwmp.FaultCode{info + "ProvisioningCode": 9002}, StatusOne: true,
		NoGPVPartial: true, NoGPNDeep: true, EmptyAnswer: map[string]bool{"GetRPCMethods": true},
	}})
	values := func(names ...string) cwmp.RPC { return &cwmp.GetParameterValues{ParameterNames: names} }
	wantFault(a, c, values(info+"UpTime", info+"ModelName", info+"UpTime"), cwmp.FaultResourcesExceeded)
	wantFault(a, c, values(info), cwmp.FaultInvalidParameterName)
	wantFault(a, c, &cwmp.Reboot{}, cwmp.FaultRequestDenied)
	wantFault(a, c, &cwmp.GetParameterNames{ParameterPath: "Device."}, cwmp.FaultInternalError)
	if f := ask[*cwmp.Fault](a, c, set("", info+"ProvisioningCode", "string", "1")); len(f.Params) != 1 || f.Params[0].Code != 9002 {
		t.Errorf("SetFault gave %v", f)
	}
	if r := ask[*cwmp.AddObjectResponse](a, c, &cwmp.AddObject{ObjectName: mapping}); r.Status != 1 {
		t.Error("StatusOne gave 0")
	}
	if answer := a.talk(c, &cwmp.GetRPCMethods{})[0]; answer != nil {
		t.Errorf("EmptyAnswer gave %v", answer)
	}
	call, err := c.WaitCall(timeout(t), "GetRPCMethods", 1)
	if err != nil || call.Response != nil {
		t.Errorf("call %v, %v", call, err)
	}
	if n := len(c.Calls("GetParameterValues")); n != 2 {
		t.Errorf("%d calls of GetParameterValues on record", n)
	}
}

func TestIGD(t *testing.T) {
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, Tree: IGD()})
	idle(t, c)
	const wan = "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1."
	if got := valueIn(a.inform(0).ParameterList, wan+"ExternalIPAddress"); got != "192.0.2.10" {
		t.Errorf("ExternalIPAddress in the Inform: %q", got)
	}
	ask[*cwmp.AddObjectResponse](a, c, &cwmp.AddObject{ObjectName: wan + "PortMapping."})
	if n := c.Value(wan + "PortMappingNumberOfEntries"); n != "2" {
		t.Errorf("PortMappingNumberOfEntries %s", n)
	}
}

func TestSummaryHidesSecrets(t *testing.T) {
	got := summary(set("", "Device.WiFi.AccessPoint.1.Security.KeyPassphrase", "string", "hunter2", info+"ProvisioningCode", "string", "shown"))
	if strings.Contains(got, "hunter2") || !strings.Contains(got, "shown") {
		t.Errorf("summary %q", got)
	}
}
