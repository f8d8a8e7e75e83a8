package translate

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/usppb"
)

// eachView runs a test behind the identity view and behind one that renames, splits, merges and renumbers: nothing above the view may
// tell them apart.
func eachView(t *testing.T, f func(t *testing.T, w *world, boot func(func(*cpe.Config)) (*cpe.CPE, usp.EndpointID))) {
	t.Run("identity", func(t *testing.T) {
		w := newWorld(t, nil)
		f(t, w, w.boot)
	})
	t.Run("mapped", func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.View = func(string) View { return mapped{} } })
		w.own = func(p string) string { return ownName(p)[0] }
		f(t, w, func(change func(*cpe.Config)) (*cpe.CPE, usp.EndpointID) {
			return w.boot(func(c *cpe.Config) {
				c.Tree = mappedTree(t)
				if change != nil {
					change(c)
				}
			})
		})
	})
}

// row is the Device:2 path of the PortMapping that the CPE calls 1.
func (w *world) row() string {
	if w.own(mappings+"1001.") == mappings+"1." {
		return mappings + "1001."
	}
	return mappings + "1."
}

// mappedTree is the simulated Device:2 gateway, called and cut as the mapped view expects.
func mappedTree(t *testing.T) *cpe.Tree {
	t.Helper()
	const dump = `Parameter,Object,Writable,Value,Value type
Device,true,false,,
Device.RootDataModelVersion,false,false,2.16,xsd:string
Device.DeviceInfo,true,false,,
Device.DeviceInfo.Manufacturer,false,false,Example,xsd:string
Device.DeviceInfo.ManufacturerOUI,false,false,00D09E,xsd:string
Device.DeviceInfo.ModelName,false,false,Example Gateway,xsd:string
Device.DeviceInfo.ProductClass,false,false,Gateway,xsd:string
Device.DeviceInfo.SerialNumber,false,false,S1,xsd:string
Device.DeviceInfo.HardwareVersion,false,false,1.0,xsd:string
Device.DeviceInfo.SoftwareVersion,false,false,1.0.0,xsd:string
Device.DeviceInfo.ProvisioningCode,false,true,,xsd:string
Device.ManagementServer,true,false,,
Device.ManagementServer.ParameterKey,false,false,,xsd:string
Device.ManagementServer.ConnectionRequestURL,false,false,,xsd:string
Device.ManagementServer.PeriodicInformInterval,false,true,3600,xsd:unsignedInt
Device.Time,true,false,,
Device.Time.X_TEST_Servers,false,true,ntp.example.net;,xsd:string
Device.Time.X_TEST_Zone,false,true,UTC,xsd:string
Device.Time.X_TEST_Offset,false,true,0,xsd:string
Device.NAT,true,false,,
Device.NAT.PortMappingNumberOfEntries,false,false,1,xsd:unsignedInt
Device.NAT.PortMapping,true,true,,
Device.NAT.PortMapping.1,true,true,,
Device.NAT.PortMapping.1.Enable,false,true,0,xsd:boolean
Device.NAT.PortMapping.1.Alias,false,true,cpe-1,xsd:string
Device.NAT.PortMapping.1.ExternalPort,false,true,8080,xsd:unsignedInt
Device.NAT.PortMapping.1.InternalPort,false,true,80,xsd:unsignedInt
Device.NAT.PortMapping.1.Protocol,false,true,TCP,xsd:string
Device.NAT.PortMapping.1.InternalClient,false,true,192.168.1.10,xsd:string
Device.NAT.PortMapping.1.Description,false,true,,xsd:string
Device.X_TEST_WLAN,true,false,,
Device.X_TEST_WLAN.SSIDNumberOfEntries,false,false,2,xsd:unsignedInt
Device.X_TEST_WLAN.SSID,true,false,,
Device.X_TEST_WLAN.SSID.1,true,false,,
Device.X_TEST_WLAN.SSID.1.Enable,false,true,1,xsd:boolean
Device.X_TEST_WLAN.SSID.1.SSID,false,true,Home,xsd:string
Device.X_TEST_WLAN.SSID.2,true,false,,
Device.X_TEST_WLAN.SSID.2.Enable,false,true,1,xsd:boolean
Device.X_TEST_WLAN.SSID.2.SSID,false,true,Guest,xsd:string
`
	tree, err := cpe.LoadCSV(strings.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

const ssid = "Device.WiFi.SSID.1.SSID"

func TestGet(t *testing.T) {
	eachView(t, func(t *testing.T, w *world, boot func(func(*cpe.Config)) (*cpe.CPE, usp.EndpointID)) {
		c, id := boot(nil)
		w.want(id, ssid, c.Value(w.own(ssid)))
		w.want(id, "Device.DeviceInfo.SerialNumber", "S1")
		got, err := w.get(id, "Device.WiFi.SSID.*.SSID")
		w.must(err)
		if len(got) != 2 {
			t.Errorf("wildcard: %v", got)
		}
		got, err = w.get(id, mappings)
		w.must(err)
		if got[w.row()+"Protocol"] != c.Value(mappings+"1.Protocol") {
			t.Errorf("object: %v", got)
		}
		if v := got[w.row()+"Enable"]; v != "true" && v != "false" {
			t.Errorf("a boolean in the CPE's form came through: %q", v)
		}
		got, err = w.get(id, mappings+`[Protocol=="TCP"].ExternalPort`)
		w.must(err)
		if len(got) != 1 {
			t.Errorf("search: %v", got)
		}
		for path, want := range map[string]usp.ErrorCode{
			"Device.WiFi.SSID.99.SSID":              usp.InvalidPath,
			"Device.Nothing.":                       usp.InvalidPath,
			"Device.ManagementServer.URL":           usp.InvalidPath,
			"Device.ManagementServer.ParameterKey":  usp.InvalidPath,
			"Device.WiFi.SSID.*.Nothing":            usp.InvalidPath,
			"Device.ManagementServer.":              usp.InvalidPath,
			"Device.DeviceInfo.NoSuchParameter":     usp.InvalidPath,
			"Device.InternetGatewayDevice.Anything": usp.InvalidPath,
		} {
			if _, err := w.get(id, path); code(err) != want {
				t.Errorf("Get %s: %v, want %d", path, err, want)
			}
		}
	})
}

func TestCachedGetOpensNoSession(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	n := c.Sessions()
	w.want(id, ssid, c.Value(ssid))
	if _, err := w.get(id, "Device.WiFi."); err != nil {
		t.Fatal(err)
	}
	if c.Sessions() != n {
		t.Errorf("%d sessions, want %d: a fresh value was read from the CPE", c.Sessions(), n)
	}
}

func TestLiveGetIsOneGetParameterValues(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = 0 })
	c, id := w.boot(nil)
	before := len(c.Calls("GetParameterValues"))
	got, err := w.get(id, ssid, "Device.Time.NTPServer1", "Device.WiFi.SSID.2.SSID")
	w.must(err)
	if len(got) != 3 {
		t.Errorf("%v", got)
	}
	if n := len(c.Calls("GetParameterValues")) - before; n != 1 {
		t.Errorf("%d GetParameterValues for one Get of known names, want 1", n)
	}
}

func TestSet(t *testing.T) {
	eachView(t, func(t *testing.T, w *world, boot func(func(*cpe.Config)) (*cpe.CPE, usp.EndpointID)) {
		c, id := boot(nil)
		resp, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "from the Controller", "Enable": "false"})
		w.must(err)
		inst := resp.GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0]
		if inst.GetUpdatedParams()["SSID"] != "from the Controller" || inst.GetUpdatedParams()["Enable"] != "false" {
			t.Errorf("updated_params %v", inst.GetUpdatedParams())
		}
		if v := c.Value(w.own(ssid)); v != "from the Controller" {
			t.Errorf("the CPE's SSID is %q", v)
		}
		w.want(id, ssid, "from the Controller")
		if n := len(c.Calls("SetParameterValues")); n != 1 {
			t.Errorf("%d SetParameterValues, want 1", n)
		}
		_, err = w.set(id, "Device.Time.", map[string]string{"NTPServer1": "a.example", "NTPServer2": "b.example", "LocalTimeZone": "CET-1"})
		w.must(err)
		w.want(id, "Device.Time.NTPServer1", "a.example")
		w.want(id, "Device.Time.NTPServer2", "b.example")
		w.want(id, "Device.Time.LocalTimeZone", "CET-1")
	})
}

func TestSetFaultNamesTheParameter(t *testing.T) {
	eachView(t, func(t *testing.T, w *world, boot func(func(*cpe.Config)) (*cpe.CPE, usp.EndpointID)) {
		c, id := boot(func(cfg *cpe.Config) {
			cfg.Faults.SetFault = map[string]cwmp.FaultCode{w.own(ssid): cwmp.FaultInvalidParameterValue}
		})
		before := c.Value(w.own("Device.WiFi.SSID.1.Enable"))
		_, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "refused", "Enable": "false"})
		ue := usp.AsError(err)
		if err == nil || len(ue.Params) == 0 || ue.Params[0].Path != ssid || ue.Params[0].Code != usp.InvalidValue {
			t.Fatalf("%+v", ue)
		}
		if v := c.Value(w.own("Device.WiFi.SSID.1.Enable")); v != before {
			t.Errorf("the CPE's Enable changed to %q", v)
		}
	})
}

func TestAddAndDelete(t *testing.T) {
	eachView(t, func(t *testing.T, w *world, boot func(func(*cpe.Config)) (*cpe.CPE, usp.EndpointID)) {
		c, id := boot(nil)
		w.subscribe(id, "rows", "ObjectCreation", mappings, nil)
		w.subscribe(id, "gone", "ObjectDeletion", mappings, nil)
		made, err := w.add(id, mappings, map[string]string{"ExternalPort": "4711", "InternalPort": "22", "Protocol": "TCP", "InternalClient": "192.168.1.20", "Enable": "true"})
		w.must(err)
		path := made.GetInstantiatedPath()
		own := w.own(path)
		if !c.Exists(own) || c.Value(own+"ExternalPort") != "4711" {
			t.Errorf("%s (%s) is not at the CPE as it was asked for", path, own)
		}
		w.want(id, path+"InternalClient", "192.168.1.20")
		w.want(id, "Device.NAT.PortMappingNumberOfEntries", "2")
		n := w.notified(1, func(n *usppb.Notify) bool { return n.GetObjCreation() != nil })
		if n.GetObjCreation().GetObjPath() != path {
			t.Errorf("ObjectCreation of %s, want %s", n.GetObjCreation().GetObjPath(), path)
		}
		resp, err := w.delete(id, path)
		w.must(err)
		if a := resp.GetDeletedObjResults()[0].GetOperStatus().GetOperSuccess().GetAffectedPaths(); len(a) != 1 || a[0] != path {
			t.Errorf("affected_paths %v", a)
		}
		if c.Exists(own) {
			t.Error("the row is still at the CPE")
		}
		w.want(id, "Device.NAT.PortMappingNumberOfEntries", "1")
		if got, err := w.get(id, mappings); err != nil || len(got) == 0 || got[path+"Protocol"] != "" {
			t.Errorf("%v %v", got, err)
		}
		n = w.notified(1, func(n *usppb.Notify) bool { return n.GetObjDeletion() != nil })
		if n.GetObjDeletion().GetObjPath() != path {
			t.Errorf("ObjectDeletion of %s, want %s", n.GetObjDeletion().GetObjPath(), path)
		}
	})
}

func TestAddIsUndoneWhenARequiredParameterFails_R_ADD_3(t *testing.T) {
	eachView(t, func(t *testing.T, w *world, boot func(func(*cpe.Config)) (*cpe.CPE, usp.EndpointID)) {
		c, id := boot(func(cfg *cpe.Config) {
			cfg.Faults.SetFault = map[string]cwmp.FaultCode{mappings + "2.InternalClient": cwmp.FaultInvalidParameterValue}
		})
		_, err := w.add(id, mappings, map[string]string{"ExternalPort": "1", "InternalClient": "nowhere"})
		ue := usp.AsError(err)
		if err == nil || len(ue.Params) != 1 || ue.Params[0].Path != mappings+"{i}.InternalClient" || ue.Params[0].Code != usp.InvalidValue {
			t.Fatalf("%+v, want 7012 for the full path", ue)
		}
		if c.Exists(mappings + "2.") {
			t.Error("a half-made row was left at the CPE")
		}
		if got, err := w.get(id, mappings+"*.ExternalPort"); err != nil || len(got) != 1 {
			t.Errorf("rows: %v %v", got, err)
		}
	})
}

func TestAddListsOptionalParametersThatFail_R_ADD_4(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Faults.SetFault = map[string]cwmp.FaultCode{mappings + "2.InternalClient": cwmp.FaultInvalidParameterValue}
	})
	made, err := w.add(id, mappings, map[string]string{"ExternalPort": "1", "InternalClient!": "nowhere"})
	w.must(err)
	if len(made.GetParamErrs()) != 1 || made.GetParamErrs()[0].GetParam() != "InternalClient" || made.GetParamErrs()[0].GetErrCode() != uint32(usp.InvalidValue) {
		t.Errorf("param_errs %v", made.GetParamErrs())
	}
	if c.Value(made.GetInstantiatedPath()+"ExternalPort") != "1" {
		t.Error("the parameter that did not fail was not set")
	}
}

func TestTP469_1_88_AliasOfACPERow(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	for alias, want := range map[string]usp.ErrorCode{"1abc": usp.InvalidValue, c.Value(mappings + "1.Alias"): usp.DuplicateUniqueKey} {
		_, err := w.add(id, mappings, map[string]string{"Alias!": alias})
		if ue := usp.AsError(err); err == nil || len(ue.Params) != 1 || ue.Params[0].Code != want || ue.Params[0].Path != mappings+"{i}.Alias" {
			t.Errorf("Alias %q: %+v, want %d", alias, ue, want)
		}
	}
	if n := len(c.Calls("AddObject")); n != 0 {
		t.Errorf("%d AddObject for rows that cannot be", n)
	}
}

// A session that is lost between AddObject and SetParameterValues leaves a row with defaults at the CPE. The journal has it deleted in
// the next session, also where the answer to AddObject was the one that was lost.
func TestAddLosesItsSession(t *testing.T) {
	for _, rpc := range []string{"AddObject", "SetParameterValues"} {
		t.Run(rpc, func(t *testing.T) {
			w := newWorld(t, nil)
			c, id := w.boot(nil)
			c.SetFaults(cpe.Faults{CloseOn: rpc})
			_, err := w.add(id, mappings, map[string]string{"ExternalPort": "4711"})
			if code(err) != usp.OutcomeUnknown {
				t.Fatalf("%v, want 7801", err)
			}
			c.Inform(cwmp.EventPeriodic)
			if _, err := c.WaitCall(w.in(deadline), "DeleteObject", 1); err != nil {
				t.Fatal("the half-made row was not deleted")
			}
			w.must(c.WaitIdle(w.in(deadline)))
			if c.Exists(mappings + "2.") {
				t.Error("the half-made row is still there")
			}
			if len(w.device(id).journals) != 0 {
				t.Error("the journal was not ended")
			}
		})
	}
}

// An answer that is lost after the CPE did as it was told is settled by the ParameterKey in the next session.
func TestSetWhoseAnswerIsLostIsSettled(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{CloseOn: "SetParameterValues"})
	_, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "settled"})
	if err != nil {
		t.Fatalf("the CPE has it, the Controller was told %v", err)
	}
	if v := c.Value(ssid); v != "settled" {
		t.Errorf("the CPE's SSID is %q", v)
	}
	if n := len(c.Calls("SetParameterValues")); n != 1 {
		t.Errorf("%d SetParameterValues: a write was repeated", n)
	}
}

func TestSetWhoseAnswerIsLostForGood_7801(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Agents.RequestTimeout = 4 * time.Second })
	var c *cpe.CPE
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.RetryWait = time.Hour
		cfg.Observe = func(x cpe.Exchange) {
			if x.FromACS && x.RPC == "SetParameterValues" {
				c.SetFaults(cpe.Faults{CloseOn: "SetParameterValues", ConnReq: cpe.ConnReqDrop}) // and is cut off
			}
		}
	})
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "lost"}); code(err) != usp.OutcomeUnknown {
		t.Errorf("%v, want 7801", err)
	}
}

func TestUnreachable_7800(t *testing.T) {
	for name, mode := range map[string]cpe.ConnReqMode{"dropped": cpe.ConnReqDrop, "busy": cpe.ConnReqBusy, "ignored": cpe.ConnReqIgnore} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) {
				o.MaxAge = 0
				o.ConnectionRequest.Timeout = 500 * time.Millisecond
			})
			c, id := w.boot(nil)
			c.SetFaults(cpe.Faults{ConnReq: mode})
			_, err := w.get(id, ssid)
			if code(err) != usp.Unreachable || !strings.Contains(err.Error(), "Connection Request") || !strings.Contains(err.Error(), "next one expected") {
				t.Errorf("%v, want 7800 with what was tried and when the CPE is expected", err)
			}
			if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "zombie"}); code(err) != usp.Unreachable {
				t.Errorf("%v, want 7800", err)
			}
			// What was given up must never run.
			c.Inform(cwmp.EventPeriodic)
			w.must(c.WaitSessions(w.in(deadline), 2))
			w.must(c.WaitIdle(w.in(deadline)))
			if n := len(c.Calls("SetParameterValues")); n != 0 {
				t.Errorf("%d SetParameterValues after the Controller was told 7800", n)
			}
			w.want(id, "Device.DeviceInfo.SerialNumber", "S1") // who the CPE is, is known all the same
		})
	}
}

func TestServeStale(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge, o.ServeStale = 0, time.Hour })
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop})
	w.want(id, ssid, c.Value(ssid))
	w.p.opts.ServeStale = time.Nanosecond
	if _, err := w.get(id, ssid); code(err) != usp.NoFreshValue {
		t.Errorf("%v, want 7803: there is a value, and it is too old", err)
	}
}

func TestReboot(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "boot", "Event", "Device.Boot!", nil)
	r := w.operate(id, "Device.Reboot()", "my key, which is far longer than the thirty-two characters of CWMP")
	if r.GetCmdFailure() != nil || r.GetReqOutputArgs() == nil {
		t.Fatalf("%v", r)
	}
	call, err := c.WaitCall(w.in(deadline), "Reboot", 1)
	w.must(err)
	if k := call.Request.(*cwmp.Reboot).CommandKey; k == "" || len(k) > 32 {
		t.Errorf("CommandKey %q", k)
	}
	args := w.notified(1, bootEvent).GetEvent().GetParams()
	if args["Cause"] != "RemoteReboot" || !strings.HasPrefix(args["CommandKey"], "my key") || args["FirmwareUpdated"] != "false" {
		t.Errorf("Boot! %v", args)
	}
}

func TestRebootThatIsNeverAnswered(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{CloseOn: "Reboot"})
	if r := w.operate(id, "Device.Reboot()", "k"); r.GetCmdFailure() != nil {
		t.Errorf("the CPE booted, the Controller was told %v", r.GetCmdFailure())
	}
}

func TestFactoryReset(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.notified(1, onboard)
	w.subscribe(id, "boot", "Event", "Device.Boot!", map[string]string{"Persistent": "true"})
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "changed"}); err != nil {
		t.Fatal(err)
	}
	if r := w.operate(id, "Device.FactoryReset()", "k"); r.GetCmdFailure() != nil {
		t.Fatalf("%v", r)
	}
	if args := w.notified(1, bootEvent).GetEvent().GetParams(); args["Cause"] != "RemoteFactoryReset" || args["CommandKey"] != "k" {
		t.Errorf("Boot! %v", args)
	}
	w.notified(2, onboard)
	w.must(c.WaitIdle(w.in(deadline)))
	got, err := w.get(id, "Device.LocalAgent.Subscription.")
	w.must(err)
	if len(got) != 0 {
		t.Errorf("the Agent's own rows survived: %v", got)
	}
}

func TestOnBoardRequest(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.BootEvents = []string{cwmp.EventPeriodic} }) // whatever its events
	n := w.notified(1, onboard)
	if o := n.GetOnBoardReq(); o.GetOui() != "00D09E" || o.GetProductClass() != "Gateway" || o.GetSerialNumber() != "S1" || n.GetSubscriptionId() != "" || !n.GetSendResp() {
		t.Errorf("%v", n)
	}
	c.Inform(cwmp.EventPeriodic)
	w.must(c.WaitSessions(w.in(deadline), 2))
	if got := w.peer.count(onboard); got != 1 {
		t.Errorf("%d OnBoardRequests after a periodic Inform, want 1", got)
	}
	w.subscribe(id, "s", "Event", "Device.Boot!", nil)
	c.Inform(cwmp.EventBootstrap)
	w.notified(2, onboard)
	got, err := w.get(id, "Device.LocalAgent.Subscription.*.ID")
	w.must(err)
	if len(got) != 1 {
		t.Errorf("a BOOTSTRAP of a known CPE took the rows: %v", got)
	}
}

// A CPE that never saw the InformResponse repeats its events. They were raised; they are not raised again. A boot of its own is.
func TestRepeatedBootIsRaisedOnce(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "boot", "Event", "Device.Boot!", map[string]string{"Persistent": "true"})
	c.SetFaults(cpe.Faults{CloseAfterPost: 1})
	n := c.Sessions()
	c.Inform(cwmp.EventBoot)
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.must(c.WaitIdle(w.in(deadline)))
	w.notified(1, bootEvent)
	if got := w.peer.count(bootEvent); got != 1 {
		t.Errorf("%d Boot!, want 1", got)
	}
	c.Inform(cwmp.EventBoot)
	w.notified(2, bootEvent)
}

func TestValueChange(t *testing.T) {
	eachView(t, func(t *testing.T, w *world, boot func(func(*cpe.Config)) (*cpe.CPE, usp.EndpointID)) {
		c, id := boot(nil)
		w.subscribe(id, "ssid", "ValueChange", ssid, nil)
		if _, err := c.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
			t.Fatal("the CPE was not told to report the parameter")
		}
		w.must(c.WaitIdle(w.in(deadline)))
		// Our own write, which a CPE does not report …
		if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "by USP"}); err != nil {
			t.Fatal(err)
		}
		if v := w.notified(1, changeOf(ssid)).GetValueChange().GetParamValue(); v != "by USP" {
			t.Errorf("ValueChange to %q", v)
		}
		w.must(c.WaitIdle(w.in(deadline)))
		// … and somebody's at the CPE, which it does.
		w.must(c.SetValue(w.own(ssid), "by hand"))
		if v := w.notified(2, changeOf(ssid)).GetValueChange().GetParamValue(); v != "by hand" {
			t.Errorf("ValueChange to %q", v)
		}
		if got := w.peer.count(changeOf(ssid)); got != 2 {
			t.Errorf("%d ValueChange, want 2", got)
		}
	})
}

// An Inform may say what the last one did and be news: another value was read in between.
func TestValueChangeBack(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.InformParameters = []string{ssid} })
	w.subscribe(id, "ssid", "ValueChange", ssid, nil)
	w.attribute(c, ssid, cwmp.NotificationActive)
	w.must(c.WaitIdle(w.in(deadline)))
	d := w.device(id)
	d.mu.Lock()
	n := d.tree.get(ssid)
	d.tree.setNode(n, "read", n.typ, n.at)
	d.mu.Unlock()
	c.Inform(cwmp.EventPeriodic)
	w.notified(1, valueOf(ssid, c.Value(ssid)))
}

// A Subscription that is made while the CPE is being told of another is told as well.
func TestValueChangeSubscribedMeanwhile(t *testing.T) {
	w := newWorld(t, nil)
	told, subscribed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Observe = func(x cpe.Exchange) {
			if x.RPC == "SetParameterAttributes" {
				once.Do(func() {
					close(told)
					<-subscribed
				})
			}
		}
	})
	w.subscribe(id, "one", "ValueChange", ssid, nil)
	<-told
	w.subscribe(id, "two", "ValueChange", "Device.WiFi.SSID.2.SSID", nil)
	close(subscribed)
	call, err := c.WaitCall(w.in(deadline), "SetParameterAttributes", 2)
	if err != nil {
		t.Fatalf("the CPE was not told to report the second parameter: %v", err)
	}
	if l := call.Request.(*cwmp.SetParameterAttributes).ParameterList; len(l) != 1 || l[0].Name != "Device.WiFi.SSID.2.SSID" {
		t.Errorf("the CPE was told %v", l)
	}
}

func TestRestartBringsBackWhatWasPromised(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.notified(1, onboard)
	w.subscribe(id, "ssid", "ValueChange", ssid, nil)
	if _, err := c.WaitCall(w.in(deadline), "SetParameterAttributes", 1); err != nil {
		t.Fatal(err)
	}
	w.must(c.WaitIdle(w.in(deadline)))
	value := c.Value(ssid)
	w.stop()
	w.start()
	w.want(id, "Device.LocalAgent.EndpointID", string(id))
	w.want(id, "Device.DeviceInfo.SerialNumber", "S1")
	w.want(id, ssid, value) // from the snapshot: the end was a clean one
	if got, err := w.get(id, "Device.LocalAgent.Subscription.*.ID"); err != nil || len(got) != 1 {
		t.Errorf("Subscriptions: %v %v", got, err)
	}
	if n := w.peer.count(onboard); n != 1 {
		t.Errorf("%d OnBoardRequests, want 1", n)
	}
	w.must(c.SetValue(ssid, "after the restart"))
	w.notified(1, changeOf(ssid))
}

// TestEndIsCleanWithoutTime: what is known is on disk, and the next start told so, though the Agents' good-byes take all the time there is.
func TestEndIsCleanWithoutTime(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(nil)
	w.over(id)
	w.peer.stuck.Store(true)
	w.must(w.server.Shutdown(w.ctx))
	w.must(<-w.served)
	w.up = false
	defer func() {
		w.peer.reset()
		w.must(w.st.Close())
	}()
	ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond)
	defer cancel()
	w.must(w.p.Close(ctx))
	if ctx.Err() == nil {
		t.Fatal("nothing took the time")
	}
	var s runState
	b, err := w.st.Fleet(w.ctx, runRecord)
	w.must(errors.Join(err, json.Unmarshal(b, &s)))
	if !s.Clean {
		t.Error("the run record does not say clean")
	}
}

// After a crash nothing in the cache is trusted: it may lack the last write.
func TestCrashMakesTheCacheStale(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.stop()
	st := w.dir
	_ = st
	w.start()
	// A store that was opened and not closed by Close is what a crash leaves: the run record says so.
	w.must(w.p.setRun(w.ctx, func(s *runState) { s.Clean = false }))
	p2 := w.p
	var s runState
	w.must(p2.setRun(w.ctx, func(r *runState) { s = *r }))
	if s.Clean {
		t.Fatal("the run record of a running process says clean")
	}
	w.p.staleBefore = time.Now().UnixMilli()
	n := len(c.Calls("GetParameterValues"))
	w.want(id, ssid, c.Value(ssid))
	if len(c.Calls("GetParameterValues")) == n {
		t.Error("a value from before the crash was answered from the cache")
	}
}

func TestBootMakesTheCacheStale(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	n := c.Sessions()
	c.Inform(cwmp.EventBoot)
	w.must(c.WaitSessions(w.in(deadline), n+1))
	w.must(c.WaitIdle(w.in(deadline)))
	before := len(c.Calls("GetParameterValues"))
	w.want(id, ssid, c.Value(ssid))
	if len(c.Calls("GetParameterValues")) == before {
		t.Error("a value from before the boot was answered from the cache")
	}
}

// A CPE may have other rows after a boot, and says nothing of it: who subscribed to them is told.
func TestBootRecountsSubscribedTables(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "rows", "ObjectCreation", mappings, map[string]string{"Persistent": "true"})
	w.must(c.WaitIdle(w.in(deadline)))
	d := w.device(id)
	d.mu.Lock()
	d.tree.remove(mappings + "1.")
	d.mu.Unlock()
	c.Inform(cwmp.EventBoot)
	n := w.notified(1, func(n *usppb.Notify) bool { return n.GetObjCreation() != nil })
	if n.GetObjCreation().GetObjPath() != mappings+"1." {
		t.Errorf("%v", n)
	}
}

// A CPE that says 503 limits the rate: it is asked again while there is time.
func TestBusyCPEIsAskedAgain(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = 0 })
	c, id := w.boot(nil)
	c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqBusy})
	answer := make(chan error, 1)
	go func() {
		_, err := w.get(id, ssid)
		answer <- err
	}()
	d := w.device(id)
	for asked := false; !asked && w.ctx.Err() == nil; time.Sleep(time.Millisecond) {
		d.mu.RLock()
		asked = d.asking
		d.mu.RUnlock()
	}
	c.SetFaults(cpe.Faults{})
	if err := <-answer; err != nil {
		t.Error(err)
	}
}

// A tree that somebody reads stays, however little room there is.
func TestTreeIsKeptWhileItIsRead(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(nil)
	d := w.device(id)
	loaded := func() bool {
		d.mu.RLock()
		defer d.mu.RUnlock()
		w.p.mu.RLock()
		defer w.p.mu.RUnlock()
		if _, warm := w.p.warm[d]; warm != (d.tree != nil) {
			t.Errorf("the sweep thinks that the tree is there: %v; it is: %v", warm, d.tree != nil)
		}
		return d.tree != nil
	}
	d.hold()
	w.must(d.load(w.ctx))
	d.unload(w.ctx, 0)
	if !loaded() {
		t.Error("the tree was dropped under a reader")
	}
	d.release()
	d.unload(w.ctx, 0)
	if loaded() {
		t.Error("the tree stays for nobody")
	}
	w.want(id, "Device.WiFi.SSID.2.SSID", "Home 5G")
}

func TestLegacyRootIsAnAgentWithItsIdentity(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(func(c *cpe.Config) {
		c.Tree = cpe.IGD()
		c.DeviceID = cwmp.DeviceID{Manufacturer: "Example", OUI: "00D09E", ProductClass: "IGD", SerialNumber: "S9"}
	})
	w.want(id, "Device.DeviceInfo.SerialNumber", "S9")
	w.want(id, "Device.LocalAgent.EndpointID", string(id))
	got, err := w.get(id, "Device.DeviceInfo.")
	w.must(err)
	if got["Device.DeviceInfo.ModelName"] == "" || got["Device.DeviceInfo.Manufacturer"] == "" {
		t.Errorf("%v", got)
	}
	for path := range got {
		if strings.Contains(path, "InternetGatewayDevice") {
			t.Errorf("the CPE's own name shows: %s", path)
		}
	}
	if r := w.operate(id, "Device.Reboot()", "k"); r.GetCmdFailure() != nil {
		t.Errorf("%v", r)
	}
}

func TestPreparedCPEQuirks(t *testing.T) {
	for name, f := range map[string]cpe.Faults{
		"no deep listing":   {NoGPNDeep: true},
		"small answers":     {MaxGPV: 5},
		"no partial values": {NoGPVPartial: true},
		"no cookies":        {DropCookies: true},
		"socket per POST":   {CloseEachPost: true},
		"no GetRPCMethods":  {RPCFault: map[string]cwmp.FaultCode{"GetRPCMethods": cwmp.FaultMethodNotSupported}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.MaxAge = 0 })
			c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults = f })
			w.want(id, ssid, c.Value(ssid))
			if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "x"}); name != "no cookies" && err != nil {
				t.Error(err)
			}
		})
	}
}

// held boots a CPE that can be made to stop in the middle of a session: on its next RPC of that name, until release.
func (w *world) held(rpc string) (c *cpe.CPE, id usp.EndpointID, arm func(), release func()) {
	var armed atomic.Bool
	gate := make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	w.t.Cleanup(release)
	c, id = w.boot(func(cfg *cpe.Config) {
		cfg.Observe = func(x cpe.Exchange) {
			if x.FromACS && x.RPC == rpc && armed.Load() {
				<-gate
			}
		}
	})
	return c, id, func() { armed.Store(true) }, release
}

// What a CPE has done is a success, though the answer to what isthmus asked next is not there by the deadline.
func TestSetSucceedsWithoutItsReadBack(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Agents.RequestTimeout = 2 * time.Second })
	_, id, arm, release := w.held("GetParameterValues")
	arm()
	resp, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "done"})
	if err != nil {
		t.Fatalf("the CPE has done it, the Controller was told %v", err)
	}
	if v := resp.GetUpdatedObjResults()[0].GetOperStatus().GetOperSuccess().GetUpdatedInstResults()[0].GetUpdatedParams()["SSID"]; v != "done" {
		t.Errorf("updated_params has %q", v)
	}
	release()
	w.want(id, ssid, "done")
}

// Between two RPCs of a change the deadline leaves something done: that is not "not reached".
func TestAddWhoseDeadlinePassesHalfway_7801(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Agents.RequestTimeout = 2 * time.Second })
	c, id, arm, release := w.held("GetParameterNames")
	arm()
	_, err := w.add(id, mappings, map[string]string{"ExternalPort": "1"})
	if code(err) != usp.OutcomeUnknown {
		t.Errorf("%v, want 7801", err)
	}
	release()
	if _, err := c.WaitCall(w.in(deadline), "DeleteObject", 1); err != nil {
		t.Error("what was half done was not undone")
	}
	w.must(c.WaitIdle(w.in(deadline)))
	if n := len(c.Calls("SetParameterValues")); n != 0 {
		t.Errorf("%d SetParameterValues after the deadline", n)
	}
}

// After a DeleteObject without an answer the table is read, not remembered.
func TestDeleteWhoseAnswerIsLost(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.CloseOn = "DeleteObject" })
	if resp, err := w.delete(id, mappings+"1."); err == nil {
		f := resp.GetDeletedObjResults()[0].GetOperStatus().GetOperSuccess().GetUnaffectedPathErrs()
		if len(f) != 1 || f[0].GetErrCode() != uint32(usp.OutcomeUnknown) {
			t.Errorf("%v, want 7801", resp)
		}
	} else if code(err) != usp.OutcomeUnknown {
		t.Errorf("%v, want 7801", err)
	}
	got, err := w.get(id, mappings)
	w.must(err)
	if c.Exists(mappings+"1.") != (got[mappings+"1.Protocol"] != "") {
		t.Errorf("the CPE has the row: %v; the Controller is shown %v", c.Exists(mappings+"1."), got)
	}
}

// A row that the CPE has and the cache does not know of is looked up before a Controller is told that there is none.
func TestUnknownRowIsLookedUp(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	forget := func() {
		d := w.device(id)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.tree.remove("Device.WiFi.SSID.2.")
	}
	forget()
	w.want(id, "Device.WiFi.SSID.2.SSID", c.Value("Device.WiFi.SSID.2.SSID"))
	forget()
	n := len(c.Calls("GetParameterNames"))
	for range 5 {
		if _, err := w.get(id, "Device.WiFi.SSID.99.SSID"); code(err) != usp.InvalidPath {
			t.Errorf("%v, want 7026", err)
		}
	}
	if got := len(c.Calls("GetParameterNames")) - n; got > 1 {
		t.Errorf("%d look-ups of one table in a moment, want 1 at most", got)
	}
}

func TestLongIdentityIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	_, _, err := w.p.meet(w.ctx, cwmp.DeviceID{OUI: "00D09E", SerialNumber: strings.Repeat("x", 1000)}, netip.Addr{})
	var f *cwmp.Fault
	if !errors.As(err, &f) || f.Code != cwmp.FaultACSInvalidArguments {
		t.Errorf("%v, want Fault 8003", err)
	}
}

func TestMaxDevices(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxDevices = 1 })
	w.boot(nil)
	_, _, err := w.p.meet(w.ctx, cwmp.DeviceID{OUI: "00D09E", SerialNumber: "another"}, netip.Addr{})
	if r := (*cwmp.Refused)(nil); !errors.As(err, &r) || r.Status != 503 || r.RetryAfter == 0 {
		t.Errorf("%v, want 503 with Retry-After", err)
	}
}

func TestTraceIsRedacted(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(nil)
	if _, err := w.set(id, "Device.WiFi.SSID.1.", map[string]string{"SSID": "top secret"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.get(id, `Device.WiFi.SSID.[SSID=="top secret"].Enable`); err != nil {
		t.Fatal(err)
	}
	tr, ok := w.p.Trace(id)
	if !ok || len(tr) < 2 {
		t.Fatalf("%v", tr)
	}
	rpcs := 0
	for _, e := range tr {
		for _, p := range append(e.Paths, e.Result, e.Why) {
			if strings.Contains(p, "top secret") {
				t.Errorf("a value is in the trace: %q", p)
			}
		}
		for _, c := range e.CWMP {
			if c.RPC == "SetParameterValues" && c.Result == "ok" {
				rpcs++
			}
		}
	}
	if rpcs != 1 {
		t.Errorf("%d SetParameterValues in the trace, want 1: %+v", rpcs, tr)
	}
	for range 2 * traceLength {
		w.want(id, "Device.DeviceInfo.SerialNumber", "S1")
	}
	if tr, _ = w.p.Trace(id); len(tr) != traceLength {
		t.Errorf("%d exchanges are kept, want %d", len(tr), traceLength)
	}
}

func TestBootParameterMap(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(nil)
	if err := w.device(id).agent.Boot(w.ctx, agent.BootInfo{Cause: "LocalReboot"}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if _, err := w.device(id).Set(ctx, []agent.Write{{Path: ssid, Value: "never"}}); code(err) != usp.Unreachable {
		t.Errorf("a Set whose ctx has ended: %v, want 7800", err)
	}
}
