package conformance_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"isthmus/usp"
)

const (
	imageTable      = "Device.DeviceInfo.FirmwareImage."
	newVersion      = "2.0.0"
	softwareVersion = "Device.DeviceInfo.SoftwareVersion"
)

// firmware is the URL of an image of newVersion.
func (e *eut) firmware() string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, newVersion+"\nimage") }))
	e.Cleanup(s.Close)
	return s.URL
}

// ends subscribes to the end of a command, to TransferComplete! and to Boot!.
func (e *eut) ends(command string) {
	e.Helper()
	e.subscribe("end", "OperationComplete", command, req("Persistent", "true"))
	e.subscribe("transfer", "Event", "Device.LocalAgent.TransferComplete!", req("Persistent", "true"))
	e.subscribe("boot", "Event", "Device.Boot!", req("Persistent", "true"))
}

// ended says that a command was a success, and that the CPE has booted the new firmware.
func (e *eut) ended(command, key string) {
	e.Helper()
	if c := e.notified("end").GetOperComplete(); c.GetCommandName() != command || c.GetCommandKey() != key || c.GetReqOutputArgs() == nil {
		e.Errorf("%v", c)
	}
	if v := e.notified("boot").GetEvent(); v.GetParams()["FirmwareUpdated"] != "true" {
		e.Errorf("%v", v)
	}
	e.wantValue(softwareVersion, newVersion)
}

// stored brings the new firmware into the second image, without booting it.
func (e *eut) stored() {
	e.Helper()
	e.subscribe("stored", "OperationComplete", imageTable+"2.Download()")
	r := e.operate(imageTable+"2.Download()", "store", map[string]string{"URL": e.firmware(), "AutoActivate": "false"})
	if r.GetReqObjPath() == "" {
		e.Fatalf("%v", r)
	}
	if c := e.notified("stored").GetOperComplete(); c.GetReqOutputArgs() == nil {
		e.Fatalf("%v", c)
	}
	e.wantValue(imageTable+"2.Version", newVersion)
	e.wantValue(softwareVersion, "1.0.0")
}

func TestTP469_9_3_AutoActivate(t *testing.T) {
	e := fresh(t, options{})
	e.ends(imageTable + "2.Download()")
	e.operate(imageTable+"2.Download()", "test93", map[string]string{"URL": e.firmware(), "AutoActivate": "true", "FileSize": "11", "Username": "u", "Password": "p"})
	e.ended("Download()", "test93")
	if v := e.notified("transfer").GetEvent().GetParams(); v["FaultCode"] != "0" || v["CommandKey"] != "test93" || v["Requestor"] != string(controllerID) {
		e.Errorf("%v", v)
	}
	e.wantValue("Device.DeviceInfo.ActiveFirmwareImage", imageTable+"2")
}

func (e *eut) activates(start, end, mode string) {
	e.Helper()
	e.stored()
	e.ends(imageTable + "2.Activate()")
	r := e.operate(imageTable+"2.Activate()", "activate", map[string]string{"TimeWindow.1.Start": start, "TimeWindow.1.End": end, "TimeWindow.1.Mode": mode})
	if r.GetReqObjPath() == "" {
		e.Fatalf("%v", r)
	}
	e.ended("Activate()", "activate")
	e.wantValue("Device.DeviceInfo.ActiveFirmwareImage", imageTable+"2")
}

func TestTP469_9_4_ActivateImmediately(t *testing.T) {
	fresh(t, options{}).activates("1", "100", "Immediately")
}

func TestTP469_9_5_ActivateAnyTime(t *testing.T) {
	fresh(t, options{}).activates("0", "120", "AnyTime")
}

// TestTP469_9_7_DownloadToActiveImage: a CPE that speaks CWMP puts an image where it can, so it is no error.
func TestTP469_9_7_DownloadToActiveImage(t *testing.T) {
	e := fresh(t, options{})
	e.ends(imageTable + "1.Download()")
	e.operate(imageTable+"1.Download()", "test97", map[string]string{"URL": e.firmware(), "AutoActivate": "true"})
	e.ended("Download()", "test97")
	e.notified("transfer")
}

func TestTP469_9_8_CancelActivate(t *testing.T) {
	e := fresh(t, options{})
	e.stored()
	e.ends(imageTable + "2.Activate()")
	request := e.operate(imageTable+"2.Activate()", "test98", map[string]string{"TimeWindow.1.Start": "120", "TimeWindow.1.End": "500", "TimeWindow.1.Mode": "AnyTime"}).GetReqObjPath()
	if r := e.operate(request+".Cancel()", "", nil); r.GetReqOutputArgs() == nil {
		e.Errorf("%v", r)
	}
	if c := e.notified("end").GetOperComplete().GetCmdFailure(); c.GetErrCode() != uint32(usp.CommandCanceled) {
		e.Errorf("%v", c)
	}
	e.wantRows("Device.LocalAgent.Request.")
	e.wantValue(softwareVersion, "1.0.0")
	if n := len(e.w.cpe.Calls("Reboot")); n != 0 {
		e.Errorf("%d times Reboot", n)
	}
}
