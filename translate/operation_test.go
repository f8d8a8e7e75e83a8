package translate

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// away is a CPE that no Connection Request reaches: what it is to do waits for its Inform.
func away(cfg *cpe.Config) { cfg.Faults.ConnReq = cpe.ConnReqDrop }

// contact has the CPE begin a session.
func (w *world) contact(c *cpe.CPE) {
	w.t.Helper()
	sessions := c.Sessions()
	c.Inform(cwmp.EventPeriodic)
	w.must(c.WaitSessions(w.in(deadline), sessions+1))
}

func (w *world) failure(key string, want usp.ErrorCode, text string) {
	w.t.Helper()
	f := w.notified(1, completed(key)).GetOperComplete().GetCmdFailure()
	if f.GetErrCode() != uint32(want) || !strings.Contains(f.GetErrMsg(), text) {
		w.t.Errorf("the end of %s is %v, want %d and %q", key, f, want, text)
	}
}

// The process may be killed between any two writes from when the Controller was told that a command runs. The CPE fetches the firmware once, and the
// Controller hears of the end.
func TestOperationSurvivesKillAtAnyWrite(t *testing.T) {
	const writes = 16 // more than there are
	for n := range writes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			url, _ := files(t)
			c, id := w.boot(away)
			w.watch(id)
			var dead *dying
			w.stop()
			w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
			w.start()
			w.begin(id, downloadCommand, "fw", firmware(url))
			dead.left.Store(int64(n))
			c.Inform(cwmp.EventPeriodic)
			over := make(chan struct{})
			go func() {
				defer close(over)
				_ = w.peer.wait(w.ctx, func() bool { return w.peer.nth(1, bootEvent) != nil })
			}()
			select {
			case <-dead.killed:
			case <-over: // there are not that many writes
			}
			w.stop()
			w.wrap = nil
			c.SetFaults(cpe.Faults{})
			w.start()
			w.drive(c, id, "fw", 1)
			done := w.notified(1, completed("fw")).GetOperComplete()
			if done.GetReqOutputArgs() == nil {
				t.Errorf("OperationComplete %v", done)
			}
			w.notified(1, bootEvent)
			if n := len(c.Calls("Download")); n != 1 {
				t.Errorf("%d Downloads", n)
			}
			w.must(c.WaitIdle(w.in(deadline)))
			w.idleOperations(id)
			<-over
		})
	}
}

// A restart while a command waits for its turn, and one while the CPE is at it.
func TestOperationOverRestarts(t *testing.T) {
	w := newWorld(t, nil)
	url, _ := files(t)
	c, id := w.boot(func(cfg *cpe.Config) { away(cfg); cfg.Faults.TransferReport = cpe.ReportNever })
	w.watch(id)
	w.begin(id, backupCommand, "backup", map[string]string{"URL": url + "/up", "Username": "", "Password": ""})
	request := w.begin(id, logCommand, "log", map[string]string{"URL": url + "/up", "Username": "", "Password": ""})
	w.want(id, request+".Status", "Requested")
	w.restart(func(*Options) {})
	w.want(id, request+".CommandKey", "log")
	w.contact(c)
	w.contact(c) // a session each: the CPE acts when one ends
	w.want(id, request+".Status", "Active")
	w.restart(func(*Options) {})
	for n, want := range []string{"3 Vendor Configuration File 1", "4 Vendor Log File 1"} {
		u := c.Calls("Upload")[n].Request.(*cwmp.Upload)
		if u.FileType != want {
			t.Errorf("FileType %q, want %q", u.FileType, want)
		}
		c.Send(&cwmp.TransferComplete{CommandKey: u.CommandKey}, cwmp.EventTransferComplete)
	}
	w.notified(1, completed("backup"))
	w.notified(1, completed("log"))
	w.contact(c)
	if n := len(c.Calls("Upload")); n != 2 {
		t.Errorf("%d Uploads", n)
	}
	w.idleOperations(id)
}

// The Controller is away when the command ends, and the process is restarted before it comes back.
func TestOperationCompleteWaitsForTheController(t *testing.T) {
	w := newWorld(t, nil)
	url, _ := files(t)
	c, id := w.boot(nil)
	w.watch(id)
	w.peer.mu.Lock()
	w.peer.mute = true
	w.peer.mu.Unlock()
	w.begin(id, restoreCommand, "restore", map[string]string{"URL": url + "/config", "Username": "", "Password": "", "TargetFileName": "f"})
	w.notified(1, completed("restore")) // and not acknowledged
	w.must(c.WaitIdle(w.in(deadline)))
	w.stop()
	w.peer.mu.Lock()
	w.peer.mute = false
	w.peer.mu.Unlock()
	w.start()
	w.notified(2, completed("restore"))
	rpc := c.Calls("Download")[0].Request.(*cwmp.Download)
	if rpc.FileType != "3 Vendor Configuration File" || rpc.TargetFileName != "f" {
		t.Errorf("Download %+v", rpc)
	}
}

// A CPE that refuses says why; commands that are wrong never get to it.
func TestOperationFailures(t *testing.T) {
	w := newWorld(t, nil)
	url, _ := files(t)
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Faults.RPCFault = map[string]cwmp.FaultCode{"Upload": cwmp.FaultRequestDenied}
	})
	w.watch(id)
	w.begin(id, logCommand, "refused", map[string]string{"URL": url + "/up", "Username": "", "Password": ""})
	w.failure("refused", usp.CommandFailure, "CWMP fault 9001")
	args := firmware(url)
	args["URL"] = url + "/nothing"
	w.begin(id, downloadCommand, "absent", args)
	w.failure("absent", usp.CommandFailure, "CWMP fault 9016")
	if f := w.notified(1, transferComplete).GetEvent().GetParams(); f["FaultCode"] != "7022" || f["CommandKey"] != "absent" {
		t.Errorf("TransferComplete! %v", f)
	}
	for name, test := range map[string]struct {
		command string
		change  map[string]string
		code    usp.ErrorCode
		text    string
	}{
		"no URL":         {downloadCommand, map[string]string{"URL": "\x00"}, usp.InvalidCommandArguments, "URL"},
		"empty URL":      {downloadCommand, map[string]string{"URL": ""}, usp.InvalidArguments, "URL"},
		"long URL":       {downloadCommand, map[string]string{"URL": strings.Repeat("u", 257)}, usp.InvalidArguments, "transfers.listen"},
		"CheckSum":       {downloadCommand, map[string]string{"CheckSum": "00", "CheckSumAlgorithm": "SHA-256"}, usp.InvalidArguments, "transfers.listen"},
		"AutoActivate":   {downloadCommand, map[string]string{"AutoActivate": "perhaps"}, usp.InvalidArguments, "AutoActivate"},
		"FileSize":       {downloadCommand, map[string]string{"FileSize": "-1"}, usp.InvalidArguments, "FileSize"},
		"no such row":    {strings.Replace(downloadCommand, "1", "7", 1), nil, 0, ""},
		"not of the CPE": {"Device.DSL.Line.1.Stats.Reset()", nil, usp.InvalidPath, ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := firmware(url)
			for k, v := range test.change {
				if args[k] = v; v == "\x00" {
					delete(args, k)
				}
			}
			resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: test.command, SendResp: true, InputArgs: args}}})
			if test.code == 0 {
				return
			}
			if err != nil {
				if code(err) != test.code {
					t.Errorf("%v, want %d", err, test.code)
				}
				return
			}
			f := resp.GetOperateResp().GetOperationResults()[0].GetCmdFailure()
			if f.GetErrCode() != uint32(test.code) || !strings.Contains(f.GetErrMsg(), test.text) {
				t.Errorf("%v, want %d and %q", f, test.code, test.text)
			}
		})
	}
	if n := len(c.Calls("Download")); n != 1 {
		t.Errorf("%d Downloads", n)
	}
}

// A second firmware waits for the first; it can be canceled while it does. So many may wait, and no more.
func TestOperationQueue(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(away)
	w.watch(id)
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	t.Cleanup(server.Close)
	first := w.begin(id, downloadCommand, "first", firmware(server.URL))
	second := w.begin(id, strings.Replace(downloadCommand, "1", "2", 1), "second", firmware(server.URL))
	w.contact(c)
	w.contact(c)
	w.want(id, first+".Status", "Active")
	w.want(id, second+".Status", "Requested")
	for i := range maxOperations - 2 {
		w.begin(id, logCommand, fmt.Sprint(i), map[string]string{"URL": server.URL, "Username": "", "Password": ""})
	}
	if f := w.command(id, logCommand, "one more", map[string]string{"URL": server.URL, "Username": "", "Password": ""}).GetCmdFailure(); f.GetErrCode() != uint32(usp.ResourcesExceeded) {
		t.Errorf("one too many: %v", f)
	}
	w.operate(id, second+".Cancel()", "")
	w.failure("second", usp.CommandCanceled, "")

	cancel := func() *usppb.OperateResp_OperationResult {
		result := make(chan *usppb.OperateResp_OperationResult, 1)
		go func() { result <- w.operate(id, first+".Cancel()", "") }()
		return <-result
	}
	c.SetFaults(cpe.Faults{})
	if f := cancel().GetCmdFailure(); f.GetErrCode() != uint32(usp.CommandFailure) || !strings.Contains(f.GetErrMsg(), "9021") {
		t.Errorf("a transfer that is under way was canceled: %v", f)
	}
	c.SetFaults(cpe.Faults{Answer: func(req, response cwmp.RPC) cwmp.RPC {
		if _, ok := req.(*cwmp.CancelTransfer); ok {
			return &cwmp.CancelTransferResponse{}
		}
		return response
	}})
	if r := cancel(); r.GetReqOutputArgs() == nil {
		t.Errorf("Cancel(): %v", r)
	}
	w.failure("first", usp.CommandCanceled, "")
	close(hold)
	if n := len(c.Calls("Download")); n != 1 {
		t.Errorf("%d Downloads", n)
	}
}

// What the CPE never takes, or never reports, ends with a reason; a firmware that runs is there all the same.
func TestOperationExpires(t *testing.T) {
	w := newWorld(t, nil)
	url, _ := files(t)
	c, id := w.boot(func(cfg *cpe.Config) { away(cfg); cfg.Faults.TransferReport = cpe.ReportNever })
	w.watch(id)
	upload := map[string]string{"URL": url + "/up", "Username": "", "Password": ""}
	w.begin(id, backupCommand, "silent", upload)
	n := c.Sessions()
	w.contact(c)
	w.must(c.WaitSessions(w.in(deadline), n+2)) // the CPE comes once more when it has sent its file
	w.over(id)
	w.begin(id, logCommand, "unsent", upload)
	w.p.overdue(time.Now().Add(defaultExpiry - time.Minute))
	if w.peer.count(func(n *usppb.Notify) bool { return n.GetOperComplete() != nil }) != 0 {
		t.Errorf("expired too early: %s", w.peer.log())
	}
	w.p.overdue(time.Now().Add(defaultExpiry + time.Minute))
	w.failure("silent", usp.CommandFailure, "has not reported its end")
	w.failure("unsent", usp.Unreachable, "last Inform")
	if n := testutil.ToFloat64(w.p.m.operations.WithLabelValues("expired")); n != 2 {
		t.Errorf("%v expired", n)
	}
	w.idleOperations(id)
}

// Time windows: the earliest that can be used decides; what asks for more than CWMP can tell is refused; one that was missed is told.
func TestActivateWindows(t *testing.T) {
	at := func(n int, start, end, mode string) map[string]string {
		return map[string]string{fmt.Sprintf("TimeWindow.%d.Start", n): start, fmt.Sprintf("TimeWindow.%d.End", n): end, fmt.Sprintf("TimeWindow.%d.Mode", n): mode}
	}
	for name, test := range map[string]struct {
		windows []map[string]string
		first   int // seconds; -1: refused
	}{
		"none":      {nil, 0},
		"two":       {[]map[string]string{at(1, "60", "70", "AnyTime"), at(2, "5", "9", "Immediately")}, 5},
		"one of":    {[]map[string]string{at(1, "0", "70", "WhenIdle"), at(2, "5", "9", "AnyTime")}, 5},
		"idle":      {[]map[string]string{at(1, "0", "70", "WhenIdle")}, -1},
		"backwards": {[]map[string]string{at(1, "70", "0", "AnyTime")}, -1},
		"no number": {[]map[string]string{at(1, "now", "9", "AnyTime")}, -1},
		"mode":      {[]map[string]string{at(1, "0", "9", "Never")}, -1},
	} {
		args := map[string]string{}
		for _, w := range test.windows {
			maps.Copy(args, w)
		}
		begun := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
		op := &operation{Args: args, Begun: begun}
		err := activate{}.begin(t.Context(), nil, op)
		if test.first < 0 {
			if code(err) != usp.InvalidArguments {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		first := begun.Add(time.Duration(test.first) * time.Second)
		if open, _ := op.open(first); err != nil || !open || op.NotBefore.After(first) {
			t.Errorf("%s: %v %v, not before %v", name, err, open, op.NotBefore)
		}
		if open, next := op.open(first.Add(time.Hour)); len(test.windows) > 0 && (open || !next.IsZero()) {
			t.Errorf("%s: open an hour later", name)
		}
	}
	w := newWorld(t, nil)
	c, id := w.boot(away)
	w.watch(id)
	w.begin(id, "Device.DeviceInfo.FirmwareImage.1.Activate()", "missed", at(1, "0", "0", "AnyTime"))
	w.contact(c)
	w.failure("missed", usp.CommandFailure, "time window")
}

// What a CPE asks of its ACS and USP has no word for is answered all the same.
func TestRequestsOfTheCPE(t *testing.T) {
	w := newWorld(t, nil)
	c, _ := w.boot(nil)
	for _, m := range []cwmp.RPC{
		&cwmp.RequestDownload{FileType: "1 Firmware Upgrade Image"},
		&cwmp.Kicked{Command: "c", Referer: "http://192.168.1.1/", Next: "http://192.168.1.1/next"},
		&cwmp.TransferComplete{CommandKey: "of another ACS"},
		&cwmp.DUStateChangeComplete{CommandKey: "of another ACS"},
	} {
		sessions := c.Sessions()
		c.Send(m, cwmp.EventRequestDownload)
		w.must(c.WaitSessions(w.in(deadline), sessions+1))
		w.must(c.WaitIdle(w.in(deadline)))
	}
	if n := c.Failures(); n != 0 {
		t.Errorf("%d sessions failed", n)
	}
}

// A CPE that has only the older RPC for it says by that what it has not done: Status 0 is not believed of what is in the list.
func TestGetQueuedTransfers(t *testing.T) {
	w := newWorld(t, nil)
	url, taken := files(t)
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Faults.Answer = func(_, response cwmp.RPC) cwmp.RPC {
			switch r := response.(type) {
			case *cwmp.GetRPCMethodsResponse:
				return &cwmp.GetRPCMethodsResponse{MethodList: slices.DeleteFunc(slices.Clone(r.MethodList), func(m string) bool { return m == "GetAllQueuedTransfers" })}
			case *cwmp.UploadResponse:
				r.Status = 0
			}
			return response
		}
	})
	w.watch(id)
	w.begin(id, logCommand, "log", map[string]string{"URL": url + "/up", "Username": "", "Password": ""})
	w.notified(1, completed("log"))
	select {
	case <-taken:
	default:
		t.Error("the Controller was told before the file was there")
	}
	if n := len(c.Calls("GetQueuedTransfers")); n != 1 {
		t.Errorf("%d times GetQueuedTransfers", n)
	}
}
