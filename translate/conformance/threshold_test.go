package conformance_test

import (
	"strings"
	"testing"

	"isthmus/usp"
)

const thresholdTable = "Device.LocalAgent.Threshold."

// threshold makes an enabled Threshold, and a Subscription to its event with the same name.
func (e *eut) threshold(id, object, name, operator, value string, more ...param) string {
	e.Helper()
	row, _ := e.added(thresholdTable, append([]param{req("Enable", "true"), req("ReferencePath", object), req("ThresholdParam", name),
		req("ThresholdOperator", operator), req("ThresholdValue", value)}, more...)...)
	e.subscribe(id, "Event", row+"Triggered!")
	return row
}

func (e *eut) triggered(id, row, path, value string) {
	e.Helper()
	v := e.notified(id).GetEvent()
	if v.GetObjPath() != row || v.GetEventName() != "Triggered!" || v.GetParams()["ParamPath"] != path || v.GetParams()["ParamValue"] != value {
		e.Errorf("%v, want %s of %s", v, value, path)
	}
}

// Values of the CPE are looked at as they become known: by its Inform, by a write, by a read. It goes on after a restart of the proxy.
func TestThreshold(t *testing.T) {
	e := fresh(t, options{})
	const radio = "Device.WiFi.Radio.1.Channel"
	e.change(radio, "6")
	e.must(e.w.cpe.WaitIdle(e.deadline()))
	before := len(e.w.cpe.Calls("SetParameterAttributes"))
	up := e.threshold("up", "Device.WiFi.Radio.[Enable==true].", "Channel", "Rise", "7")
	eq := e.threshold("eq", "Device.WiFi.Radio.*", "Channel", "Eq", "9", req("OperatingMode", "Single"))
	e.watching(radio, before)
	e.must(e.w.cpe.SetValue(radio, "7")) // not above yet
	e.change(radio, "8")
	e.triggered("up", up, radio, "8")
	e.must(e.w.cpe.SetValue(radio, "9"))
	e.triggered("eq", eq, radio, "9")
	e.wantValue(eq+"Enable", "false")
	e.change(radio, "3")

	e.must(e.w.stop())
	e.must(e.w.open())
	e.must(e.a.WaitConnects(e.deadline(), 2))
	e.change(radio, "9") // eq has ended with its event
	e.change(radio, "3")
	e.change(radio, "11")
	e.triggered("up", up, radio, "9")
	e.triggered("up", up, radio, "11")
	if n := e.count("up") + e.count("eq"); n != 4 {
		e.Errorf("%d events: %v", n, e.a.Notes())
	}
	e.wantValue(up+"Controller", strings.TrimSuffix(e.own(), "."))
}

// Own tables are looked at, too; a count grows and shrinks.
func TestThresholdOfLocalAgent(t *testing.T) {
	e := shared(t)
	own := e.own()
	e.clear(own + "BootParameter.")
	count, interval := unique("count"), unique("interval")
	row := e.threshold(count, own, "BootParameterNumberOfEntries", "Cross", "1")
	one, _ := e.added(own+"BootParameter.", req("ParameterName", "Device.DeviceInfo.SerialNumber"))
	e.added(own+"BootParameter.", req("ParameterName", "Device.DeviceInfo.ModelName"))
	e.triggered(count, row, own+"BootParameterNumberOfEntries", "2")
	code := e.threshold(interval, own, "PeriodicNotifInterval", "NotEq", "86400")
	e.change(own+"PeriodicNotifInterval", "86399")
	e.triggered(interval, code, own+"PeriodicNotifInterval", "86399")
	e.change(own+"PeriodicNotifInterval", "86400")
	_, err := e.delete(false, one)
	e.must(err)
}

// What is no integer of the supported data model makes no Threshold.
func TestBadThreshold(t *testing.T) {
	e := shared(t)
	e.values("Device.DeviceInfo.") // the data model is known now
	for _, c := range []struct {
		object, name, operator, value string
		code                          usp.ErrorCode
	}{
		{"Device.WiFi.Radio.1.", "Channel", "Rise", "", usp.InvalidValue},
		{"Device.WiFi.Radio.1.", "Channel", "Rise", "1.5", usp.InvalidValue},
		{"Device.WiFi.Radio.1.", "Channel", "Climb", "1", usp.InvalidValue},
		{"Device.WiFi.Radio.1.", "", "Rise", "1", usp.InvalidValue},
		{"", "Channel", "Rise", "1", usp.InvalidValue},
		{"Device.WiFi.Radio.{i}.", "Channel", "Rise", "1", usp.InvalidValue},
		{"Device.WiFi.Radio.[", "Channel", "Rise", "1", usp.InvalidValue},
		{"Device.WiFi.Radio.1.", "NoSuch", "Rise", "1", usp.InvalidPath},
		{"Device.NoSuch.", "Channel", "Rise", "1", usp.InvalidPath},
		{"Device.DeviceInfo.", "SerialNumber", "Rise", "1", usp.InvalidValue},
		{"Device.LocalAgent.", "EndpointID", "Rise", "1", usp.InvalidValue},
	} {
		_, err := e.add(false, obj{thresholdTable, []param{req("ReferencePath", c.object), req("ThresholdParam", c.name), req("ThresholdOperator", c.operator),
			req("ThresholdValue", c.value)}})
		if u := e.refused(err); len(u.Params) != 1 || u.Params[0].Code != c.code {
			e.Errorf("%v: %v %v, want %d", c, u, u.Params, c.code)
		}
	}
	e.wantRows(thresholdTable)
	e.wantValue("Device.LocalAgent.SupportedThresholdOperator", "Rise,Fall,Cross,Eq,NotEq")
}

// Only the Controller that made a Threshold hears of it, with its own rights; the Threshold goes with it.
func TestThresholdIsItsControllers(t *testing.T) {
	e := shared(t)
	own := e.own()
	guest, role := e.invite(on("Device.LocalAgent.", "Param", "rw-n", "Obj", "rw-n", "InstantiatedObj", "rw-n", "CommandEvent", "r--n"),
		on(own+"ControllerCode,"+own+"PeriodicNotifInterval", "Param", "----"))
	hidden, shown, other, barrier := unique("hidden"), unique("shown"), unique("other"), unique("barrier")
	row := guest.threshold(hidden, own, "PeriodicNotifInterval", "Rise", "90000")
	seen := guest.threshold(shown, own, "OnBoardingRestartTime", "Rise", "10")
	e.subscribe(other, "Event", thresholdTable+"*.Triggered!")
	e.subscribe(barrier, "ValueChange", own)
	e.change(own+"PeriodicNotifInterval", "90001")
	e.change(own+"OnBoardingRestartTime", "11")
	guest.triggered(shown, seen, own+"OnBoardingRestartTime", "11")
	e.valueChanged(barrier, own+"PeriodicNotifInterval", "90001")
	e.valueChanged(barrier, own+"OnBoardingRestartTime", "11")
	if guest.count(hidden) != 0 || e.count(other) != 0 {
		e.Errorf("%v %v", guest.a.Notes(), e.a.Notes())
	}
	e.change(own+"OnBoardingRestartTime", "0")
	e.change(own+"PeriodicNotifInterval", "86400")
	_, err := e.delete(false, controllerTable+`[EndpointID=="`+string(guestID)+`"].`, role)
	e.must(err)
	e.wantAbsent(row + "Enable")
	e.wantRows(thresholdTable)
}
