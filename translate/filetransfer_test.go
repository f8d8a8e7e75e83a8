package translate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	downloadCommand = "Device.DeviceInfo.FirmwareImage.1.Download()"
	backupCommand   = "Device.DeviceInfo.VendorConfigFile.1.Backup()"
	restoreCommand  = "Device.DeviceInfo.VendorConfigFile.1.Restore()"
	logCommand      = "Device.DeviceInfo.VendorLogFile.1.Upload()"
	softwareVersion = "Device.DeviceInfo.SoftwareVersion"
)

// files is a file server. It has /firmware, an image of version 2.0.0, and /config, and takes whatever it is given.
func files(t testing.TB) (url string, taken chan string) {
	taken = make(chan string, 8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut:
			b, _ := io.ReadAll(r.Body)
			taken <- string(b)
		case r.URL.Path == "/firmware":
			_, _ = io.WriteString(w, "2.0.0\nimage")
		case r.URL.Path == "/config":
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, taken
}

// begin operates an asynchronous command, which must be taken, and gives its Request.
func (w *world) begin(id usp.EndpointID, command, key string, args map[string]string) string {
	w.t.Helper()
	r := w.command(id, command, key, args)
	if r.GetReqObjPath() == "" {
		w.t.Fatalf("%s: %v", command, r)
	}
	return r.GetReqObjPath()
}

func (w *world) command(id usp.EndpointID, command, key string, args map[string]string) *usppb.OperateResp_OperationResult {
	w.t.Helper()
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: command, CommandKey: key, SendResp: true, InputArgs: args}}})
	w.must(err)
	if len(resp.GetOperateResp().GetOperationResults()) != 1 {
		w.t.Fatalf("results: %v", resp)
	}
	return resp.GetOperateResp().GetOperationResults()[0]
}

// watch subscribes to the end of commands, to TransferComplete! and to Boot!, for good.
func (w *world) watch(id usp.EndpointID) {
	w.t.Helper()
	durable := map[string]string{"Persistent": "true", "NotifRetry": "true"}
	w.subscribe(id, "ends", "OperationComplete", "Device.", durable)
	w.subscribe(id, "transfers", "Event", "Device.LocalAgent.TransferComplete!", durable)
	w.subscribe(id, "boots", "Event", "Device.Boot!", durable)
}

func completed(key string) func(*usppb.Notify) bool {
	return func(n *usppb.Notify) bool { return n.GetOperComplete().GetCommandKey() == key }
}

func transferComplete(n *usppb.Notify) bool {
	return n.GetEvent().GetEventName() == "TransferComplete!"
}

// order is which of the notifications came first, by what they are.
func (w *world) order() string {
	var kinds []string
	w.peer.mu.Lock()
	defer w.peer.mu.Unlock()
	for _, n := range w.peer.notes {
		switch {
		case n.notify.GetOperComplete() != nil:
			kinds = append(kinds, "OperationComplete")
		case n.notify.GetEvent() != nil:
			kinds = append(kinds, n.notify.GetEvent().GetEventName())
		}
	}
	return strings.Join(kinds, " ")
}

func firmware(url string) map[string]string {
	return map[string]string{"URL": url + "/firmware", "AutoActivate": "true", "Username": "u", "Password": "p"}
}

// A firmware: the CPE is told where it is, fetches it, boots it and says so; the Controller hears of the end, then of the boot.
func TestDownload(t *testing.T) {
	w := newWorld(t, nil)
	url, _ := files(t)
	c, id := w.boot(nil)
	w.watch(id)
	request := w.begin(id, downloadCommand, "fw", firmware(url))
	done := w.notified(1, completed("fw")).GetOperComplete()
	if done.GetReqOutputArgs() == nil || done.GetCommandName() != "Download()" || done.GetObjPath() != "Device.DeviceInfo.FirmwareImage.1." {
		t.Errorf("OperationComplete %v", done)
	}
	boot := w.notified(1, bootEvent).GetEvent().GetParams()
	if boot["FirmwareUpdated"] != "true" {
		t.Errorf("Boot! %v", boot)
	}
	args := w.notified(1, transferComplete).GetEvent().GetParams()
	for name, want := range map[string]string{"Command": downloadCommand, "CommandKey": "fw", "Requestor": "self::test", "TransferType": "Download",
		"Affected": "Device.DeviceInfo.FirmwareImage.1", "TransferURL": url + "/firmware", "FaultCode": "0", "FaultString": ""} {
		if got := args[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := w.order(); got != "TransferComplete! OperationComplete Boot!" {
		t.Errorf("the order is %s", got)
	}
	w.want(id, softwareVersion, "2.0.0")
	if got, err := w.get(id, request+"."); code(err) != usp.ObjectDoesNotExist && len(got) > 0 {
		t.Errorf("%s is there still: %v %v", request, got, err)
	}
	sent, err := c.WaitCall(w.in(deadline), "Download", 1)
	w.must(err)
	rpc := sent.Request.(*cwmp.Download)
	if rpc.URL != url+"/firmware" || rpc.Username != "u" || rpc.Password != "p" || rpc.FileType != "1 Firmware Upgrade Image" || len(rpc.CommandKey) > 32 {
		t.Errorf("Download %+v", rpc)
	}
	w.idleOperations(id)
}

// idleOperations says that nothing of an operation is left, in memory or on disk.
func (w *world) idleOperations(id usp.EndpointID) {
	w.t.Helper()
	d := w.device(id)
	for ctx, over := w.in(deadline), false; !over; time.Sleep(time.Millisecond) {
		d.mu.RLock()
		over = len(d.operations) == 0
		d.mu.RUnlock()
		if !over && ctx.Err() != nil {
			w.t.Fatal("an operation does not end")
		}
	}
	for item, err := range w.st.List(w.ctx, string(id), 'o') {
		w.t.Errorf("record %q is left (%v)", item.Key.ID, err)
	}
}

// Rows S13, S14 and S16: TransferComplete comes before the Download is answered, in the session that the file was fetched in, twice, without a key,
// or never. The Controller is told of the end once.
func TestS13_14_16_TransferComplete(t *testing.T) {
	for name, faults := range map[string]cpe.Faults{
		"in the session": {TransferInSession: true},
		"early":          {TransferInSession: true, TransferEarly: true},
		"twice":          {TransferReport: cpe.ReportTwice},
		"keyless":        {TransferReport: cpe.ReportKeyless},
		"never":          {TransferReport: cpe.ReportNever},
		"unanswered":     {CloseOn: "Download"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			url, _ := files(t)
			c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults = faults })
			w.watch(id)
			w.begin(id, downloadCommand, "fw", firmware(url))
			if done := w.notified(1, completed("fw")).GetOperComplete(); done.GetReqOutputArgs() == nil {
				t.Errorf("OperationComplete %v", done)
			}
			w.notified(1, bootEvent)
			w.must(c.WaitIdle(w.in(deadline)))
			w.want(id, softwareVersion, "2.0.0")
			// What comes late is of no interest any more, with and without the key.
			sent, err := c.WaitCall(w.in(deadline), "Download", 1)
			w.must(err)
			for _, key := range []string{sent.Request.(*cwmp.Download).CommandKey, ""} {
				sessions := c.Sessions()
				c.Send(&cwmp.TransferComplete{CommandKey: key, FaultStruct: cwmp.FaultStruct{FaultCode: 9010}}, cwmp.EventTransferComplete)
				w.must(c.WaitSessions(w.in(deadline), sessions+1))
			}
			w.begin(id, backupCommand, "later", map[string]string{"URL": url + "/up", "Username": "", "Password": ""})
			if faults.TransferReport != cpe.ReportNever {
				w.notified(1, completed("later"))
			}
			if n := w.peer.count(completed("fw")); n != 1 {
				t.Errorf("%d times OperationComplete", n)
			}
			if n := len(c.Calls("Download")); n != 1 {
				t.Errorf("%d Downloads", n)
			}
		})
	}
}

// Row S14: the CommandKey is cut, and a transfer that is over is not taken for the one that runs.
func TestS14_CommandKeys(t *testing.T) {
	w := newWorld(t, nil)
	url, _ := files(t)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.TransferReport = cpe.ReportNever })
	w.watch(id)
	upload := map[string]string{"URL": url + "/up", "Username": "", "Password": ""}
	key := func(n int) string {
		sent, err := c.WaitCall(w.in(deadline), "Upload", n)
		w.must(err)
		return sent.Request.(*cwmp.Upload).CommandKey
	}
	say := func(key string, code cwmp.FaultCode) {
		sessions := c.Sessions()
		c.Send(&cwmp.TransferComplete{CommandKey: key, FaultStruct: cwmp.FaultStruct{FaultCode: code}}, cwmp.EventTransferComplete)
		w.must(c.WaitSessions(w.in(deadline), sessions+1))
		w.must(c.WaitIdle(w.in(deadline)))
	}
	w.begin(id, backupCommand, "one", upload)
	first := key(1)
	w.begin(id, logCommand, "two", upload)
	second := key(2)
	say("", 0) // which one?
	say(first[:16], 0)
	if done := w.notified(1, completed("one")).GetOperComplete(); done.GetReqOutputArgs() == nil {
		t.Errorf("OperationComplete %v", done)
	}
	say(first, 9011)
	if n := w.peer.count(completed("two")); n != 0 {
		t.Errorf("the second is over: %s", w.peer.log())
	}
	say(second, 9011)
	done := w.notified(1, completed("two")).GetOperComplete().GetCmdFailure()
	if done.GetErrCode() != uint32(usp.CommandFailure) || !strings.Contains(done.GetErrMsg(), "9011") {
		t.Errorf("cmd_failure %v", done)
	}
	w.idleOperations(id)
}

// Row S15: Status 0 is believed of a file that is in no list of those under way, and of a firmware once the CPE has booted.
func TestS15_DownloadStatus(t *testing.T) {
	done := func(_, response cwmp.RPC) cwmp.RPC {
		switch r := response.(type) {
		case *cwmp.DownloadResponse:
			r.Status = 0
		case *cwmp.UploadResponse:
			r.Status = 0
		}
		return response
	}
	for name, faults := range map[string]cpe.Faults{
		"true":  {Answer: done, TransferInSession: true, TransferReport: cpe.ReportNever},
		"false": {Answer: done},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			url, taken := files(t)
			_, id := w.boot(func(cfg *cpe.Config) { cfg.Faults = faults })
			w.watch(id)
			args := map[string]string{"URL": url + "/up", "Username": "", "Password": ""}
			w.begin(id, backupCommand, "backup", args)
			w.notified(1, completed("backup"))
			select {
			case <-taken:
			default:
				t.Error("the Controller was told before the file was there")
			}
			w.begin(id, downloadCommand, "fw", firmware(url))
			w.notified(1, completed("fw"))
			w.notified(1, bootEvent)
			if got := w.order(); !strings.HasSuffix(got, "OperationComplete Boot!") {
				t.Errorf("the order is %s", got)
			}
		})
	}
}
