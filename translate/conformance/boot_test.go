package conformance_test

import (
	"testing"

	"isthmus/usp/usppb"
)

// reboots runs Reboot() and waits until the CPE has done it and its Agent says so.
func (e *eut) reboots(key string, operate func()) *usppb.Notify_Event {
	e.Helper()
	sub := unique("boot")
	e.subscribe(sub, "Event", "Device.Boot!", req("Persistent", "true"))
	n := len(e.w.cpe.Calls("Reboot"))
	operate()
	_, err := e.w.cpe.WaitCall(e.deadline(), "Reboot", n+1)
	e.must(err)
	v := e.notified(sub).GetEvent()
	if v.GetObjPath() != "Device." || v.GetEventName() != "Boot!" || v.GetParams()["CommandKey"] != key || v.GetParams()["Cause"] != "RemoteReboot" {
		e.Errorf("%v", v)
	}
	e.wantValue("Device.DeviceInfo.SerialNumber", "S1")
	return v
}

func TestTP469_1_61_Reboot(t *testing.T) {
	e := fresh(t, options{})
	e.reboots("test61", func() {
		r := e.operate("Device.Reboot()", "test61", nil)
		out, ok := r.GetOperationResp().(*usppb.OperateResp_OperationResult_ReqOutputArgs)
		if r.GetExecutedCommand() != "Device.Reboot()" || !ok || len(out.ReqOutputArgs.GetOutputArgs()) != 0 {
			e.Errorf("%v", r)
		}
	})
}

func TestTP469_1_62_RebootWithoutResponse(t *testing.T) {
	e := fresh(t, options{})
	e.reboots("test62", func() { e.start("Device.Reboot()", "test62") })
}

// TestTP469_9_10_BootParameters: of the simulated CPE's parameters SoftwareVersion is like BootFirmwareImage, which it lacks.
func TestTP469_9_10_BootParameters(t *testing.T) {
	e := fresh(t, options{})
	version := e.w.cpe.Value("Device.DeviceInfo.SoftwareVersion")
	row, _ := e.added(e.own()+"BootParameter.", req("Enable", "true"), req("ParameterName", "Device.DeviceInfo.SoftwareVersion"))
	e.added(e.own()+"BootParameter.", req("Enable", "false"), req("ParameterName", "Device.DeviceInfo.ModelName"))
	e.subscribe("case910", "Event", "Device.Boot!") // not Persistent, as in the plan
	v := e.reboots("case910", func() { e.start("Device.Reboot()", "case910") })
	if want := `{"Device.DeviceInfo.SoftwareVersion":"` + version + `"}`; v.GetParams()["ParameterMap"] != want || v.GetParams()["FirmwareUpdated"] != "false" {
		e.Errorf("%v, want %s", v.GetParams(), want)
	}
	if got := e.notified("case910").GetEvent().GetParams()["ParameterMap"]; got != v.GetParams()["ParameterMap"] {
		e.Errorf("ParameterMap %s", got)
	}
	e.wantValue(row+"Enable", "true")
}
