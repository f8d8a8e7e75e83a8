package conformance_test

import (
	"maps"
	"testing"

	"isthmus/usp"
)

// eachFresh runs in worlds of its own what a CPE is not the same after.
func eachFresh(t *testing.T, run func(e *eut)) {
	t.Helper()
	for _, h := range homes {
		t.Run(h.model, func(t *testing.T) { run(fresh(t, options{tree: h.tree()})) })
	}
}

func TestHomesReboot(t *testing.T) {
	eachFresh(t, func(e *eut) { e.reboots("home", func() { e.start("Device.Reboot()", "home") }) })
}

func TestHomesFactoryReset(t *testing.T) {
	eachFresh(t, func(e *eut) {
		e.change("Device.DeviceInfo.ProvisioningCode", "CHANGED")
		sub := unique("reset")
		e.subscribe(sub, "Event", "Device.Boot!", req("Persistent", "true"))
		e.start("Device.FactoryReset()", "home")
		if v := e.notified(sub).GetEvent(); v.GetParams()["Cause"] != "RemoteFactoryReset" || v.GetParams()["CommandKey"] != "home" {
			e.Errorf("%v", v)
		}
		e.wantValue("Device.DeviceInfo.ProvisioningCode", "HOME")
	})
}

// completed runs an asynchronous command and gives its outputs.
func (e *eut) completed(command string, args map[string]string) map[string]string {
	e.Helper()
	id := unique("done")
	e.subscribe(id, "OperationComplete", command)
	if r := e.operate(command, id, args); r.GetReqObjPath() == "" {
		e.Fatalf("%v", r)
	}
	n := e.notified(id).GetOperComplete()
	if n.GetReqOutputArgs() == nil {
		e.Fatalf("%v", n)
	}
	return n.GetReqOutputArgs().GetOutputArgs()
}

// TestHomesPing: a test of the CPE is one command, whatever its object and its parameters are called.
func TestHomesPing(t *testing.T) {
	const ping = "Device.IP.Diagnostics.IPPing()"
	args := func(name, value string) map[string]string {
		a := map[string]string{"Host": "198.51.100.1", "ProtocolVersion": "Any", "NumberOfRepetitions": "2", "Timeout": "500", "DataBlockSize": "64", "DSCP": "0", "Interface": ""}
		a[name] = value
		return a
	}
	alike(t, func(e *eut, _ *home) any {
		out := e.completed(ping, args("DSCP", "8"))
		maps.DeleteFunc(out, func(name, _ string) bool { return name == "IPAddressUsed" })
		return out
	})
	alike(t, func(e *eut, _ *home) any {
		out := e.completed(ping, args("Interface", "Device.IP.Interface.10151"))
		r := e.operate(ping, "nowhere", args("ProtocolVersion", "IPv6"))
		return []any{out["SuccessCount"], out["Status"], usp.ErrorCode(r.GetCmdFailure().GetErrCode())}
	}, device1)
	e := legacyHome(t)
	if v := e.w.cpe.Value(rootIGD + "IPPingDiagnostics.Interface"); v != rootIGD+"WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1" {
		e.Errorf("the CPE was asked to use %q", v)
	}
}

// TestHomesReset: a command that is a parameter.
func TestHomesReset(t *testing.T) {
	each(t, func(e *eut, _ *home) {
		n := len(e.w.cpe.Calls("SetParameterValues"))
		e.operate("Device.PPP.Interface.10151.Reset()", "", nil)
		calls := e.w.cpe.Calls("SetParameterValues")
		if len(calls) != n+1 {
			e.Fatalf("%d calls", len(calls)-n)
		}
		if _, shown := e.values("Device.PPP.Interface.10151.")["Device.PPP.Interface.10151."]["Reset"]; shown {
			e.Error("the command is a parameter, too")
		}
	}, device1)
}

// TestHomesDownload: firmware goes to the one image that the CPE is shown with.
func TestHomesDownload(t *testing.T) {
	each(t, func(e *eut, _ *home) {
		id := unique("firmware")
		e.subscribe(id, "OperationComplete", "Device.DeviceInfo.FirmwareImage.1.Download()")
		r := e.operate("Device.DeviceInfo.FirmwareImage.1.Download()", id, map[string]string{"URL": "http://127.0.0.1:1/none", "AutoActivate": "true"})
		if r.GetReqObjPath() == "" {
			e.Fatalf("%v", r)
		}
		if f := e.notified(id).GetOperComplete().GetCmdFailure(); f.GetErrCode() == 0 {
			e.Error("nothing was there to be fetched")
		}
	})
}
