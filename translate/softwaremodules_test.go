package translate

import (
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	installCommand = "Device.SoftwareModules.InstallDU()"
	unitRow        = "Device.SoftwareModules.DeploymentUnit.1."
	unitUUID       = "9e8bb1c4-6b4c-5a1e-8b54-2f3c7a6b5d10"
)

func unitChange(n *usppb.Notify) bool { return n.GetEvent().GetEventName() == "DUStateChange!" }

// A deployment unit is installed, updated and uninstalled; each time the Controller hears of the unit, then of the command's end.
func TestDeploymentUnit(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	w.subscribe(id, "units", "Event", "Device.SoftwareModules.DUStateChange!", map[string]string{"Persistent": "true"})
	w.begin(id, installCommand, "install", map[string]string{"URL": "http://files.example/unit", "UUID": unitUUID, "Username": "u",
		"ExecutionEnvRef": "Device.SoftwareModules.ExecEnv.1", "Privileged": "false", "AutoRestart.Enable": "false",
		"AutoRestart.RetryMinimumWaitInterval": "1", "AutoRestart.RetryMaximumWaitInterval": "2", "AutoRestart.RetryIntervalMultiplier": "1000"})
	out := w.notified(1, completed("install")).GetOperComplete().GetReqOutputArgs().GetOutputArgs()
	if out["UUID"] != unitUUID || out["Version"] != "1.0" || out["ExecEnvRef"] != "Device.SoftwareModules.ExecEnv.1" {
		t.Errorf("output %v", out)
	}
	args := w.notified(1, unitChange).GetEvent().GetParams()
	for name, want := range map[string]string{"UUID": unitUUID, "DeploymentUnitRef": strings.TrimSuffix(unitRow, "."), "Version": "1.0",
		"CurrentState": "Installed", "Resolved": "true", "OperationPerformed": "Install", "Fault.FaultCode": "0"} {
		if args[name] != want {
			t.Errorf("%s is %q, want %q", name, args[name], want)
		}
	}
	sent := c.Calls("ChangeDUState")[0].Request.(*cwmp.ChangeDUState)
	if o := sent.Operations[0].(*cwmp.InstallOpStruct); o.Username != "u" || o.ExecutionEnvRef != "Device.SoftwareModules.ExecEnv.1" || len(sent.CommandKey) > 32 {
		t.Errorf("%+v %s", o, sent.CommandKey)
	}
	w.want(id, unitRow+"UUID", unitUUID) // the row is new

	w.begin(id, unitRow+"Update()", "update", nil)
	w.notified(1, completed("update"))
	if v := w.notified(2, unitChange).GetEvent().GetParams(); v["Version"] != "1.0.1" && v["OperationPerformed"] != "Update" {
		t.Errorf("updated %v", v)
	}
	w.begin(id, installCommand, "again", map[string]string{"URL": "http://files.example/unit", "UUID": unitUUID})
	w.failure("again", usp.CommandFailure, "CWMP fault 9026")
	if v := w.notified(3, unitChange).GetEvent().GetParams(); v["CurrentState"] != "Failed" || v["Fault.FaultCode"] != "7226" {
		t.Errorf("failed %v", v)
	}
	w.begin(id, unitRow+"Uninstall()", "uninstall", nil)
	w.notified(1, completed("uninstall"))
	if o := c.Calls("ChangeDUState")[3].Request.(*cwmp.ChangeDUState).Operations[0].(*cwmp.UninstallOpStruct); o.UUID != unitUUID || o.Version == "" || o.ExecutionEnvRef == "" {
		t.Errorf("%+v", o)
	}
	if got, err := w.get(id, "Device.SoftwareModules.DeploymentUnit."); err != nil || len(got) != 0 {
		t.Errorf("%v %v", got, err)
	}
	w.idleOperations(id)
}

// What CWMP cannot say is refused; a CPE that does not answer is not asked again; its report of a time without the proxy still counts.
func TestDeploymentUnitFaults(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.CloseOn = "ChangeDUState" })
	w.watch(id)
	for name, args := range map[string]map[string]string{
		"Privileged":      {"URL": "http://files.example/u", "Privileged": "true"},
		"Signature":       {"URL": "http://files.example/u", "Signature": "http://files.example/s"},
		"HostObject":      {"URL": "http://files.example/u", "HostObject.1.Source": "/", "HostObject.1.Destination": "/"},
		"ExecutionEnvRef": {"URL": "http://files.example/u", "ExecutionEnvRef": "Device.ManagementServer."},
	} {
		if f := w.command(id, installCommand, name, args).GetCmdFailure(); f.GetErrCode() != uint32(usp.InvalidArguments) || !strings.Contains(f.GetErrMsg(), name) {
			t.Errorf("%s: %v", name, f)
		}
	}
	if f := w.command(id, installCommand, "none", nil).GetCmdFailure(); f.GetErrCode() != uint32(usp.InvalidCommandArguments) {
		t.Errorf("no URL: %v", f)
	}
	w.begin(id, installCommand, "lost", map[string]string{"URL": "http://files.example/u"})
	w.must(c.WaitIdle(w.in(deadline)))
	w.restart(func(*Options) {})
	w.notified(1, completed("lost"))
	if n := len(c.Calls("ChangeDUState")); n != 1 {
		t.Errorf("%d times ChangeDUState", n)
	}
	w.idleOperations(id)
}

// Changes that nobody asked for are told once, however often the CPE does.
func TestAutonomousDUStateChange(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "units", "Event", "Device.SoftwareModules.", nil)
	for _, uuid := range []string{"a", "a", "b"} {
		sessions := c.Sessions()
		c.Send(&cwmp.AutonomousDUStateChangeComplete{Results: []cwmp.AutonOpResultStruct{{OperationPerformed: "Uninstall",
			OpResultStruct: cwmp.OpResultStruct{UUID: uuid, CurrentState: "Uninstalled"}}}}, cwmp.EventAutonomousDUStateChange)
		w.must(c.WaitSessions(w.in(deadline), sessions+1))
		w.must(c.WaitIdle(w.in(deadline)))
	}
	if v := w.notified(1, unitChange).GetEvent().GetParams(); v["UUID"] != "a" || v["OperationPerformed"] != "Uninstall" {
		t.Errorf("%v", v)
	}
	if v := w.notified(2, unitChange).GetEvent().GetParams(); v["UUID"] != "b" {
		t.Errorf("%v", v)
	}
}
