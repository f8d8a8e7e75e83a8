package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

func operateReq(command, key string, resp bool, args ...string) *usppb.Request {
	m := &usppb.Operate{Command: command, CommandKey: key, SendResp: resp, InputArgs: map[string]string{}}
	for i := 0; i < len(args); i += 2 {
		m.InputArgs[args[i]] = args[i+1]
	}
	return &usppb.Request{ReqType: &usppb.Request_Operate{Operate: m}}
}

// operated gives each result of an Operate as "req_obj_path", "code" or "ok".
func (r *rig) operated(req *usppb.Request) []string {
	r.t.Helper()
	b := r.ask(req)
	var out []string
	for _, o := range b.GetResponse().GetOperateResp().GetOperationResults() {
		switch {
		case o.GetCmdFailure() != nil:
			out = append(out, itoa(o.GetCmdFailure().GetErrCode()))
		case o.GetReqObjPath() != "":
			out = append(out, o.GetReqObjPath())
		default:
			out = append(out, "ok")
		}
	}
	return out
}

// completed is the next Notify, an OperationComplete, as "path key code" or "path key name=value…".
func (r *rig) completed() string {
	r.t.Helper()
	c := r.notify().GetBody().GetRequest().GetNotify().GetOperComplete()
	if c == nil {
		r.t.Fatal("no OperationComplete")
	}
	out := c.GetObjPath() + c.GetCommandName() + " " + c.GetCommandKey()
	if f := c.GetCmdFailure(); f != nil {
		return out + " " + itoa(f.GetErrCode())
	}
	if c.GetReqOutputArgs() == nil {
		r.t.Fatal("neither output arguments nor a failure")
	}
	for _, k := range slices.Sorted(maps.Keys(c.GetReqOutputArgs().GetOutputArgs())) {
		out += " " + k + "=" + c.GetReqOutputArgs().GetOutputArgs()[k]
	}
	return out
}

const timer = "Device.ScheduleTimer()"

func TestTP469_1_64_AsynchronousOperate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, timer, req("ID", "done"), req("NotifRetry", "true")))
		equal(t, strings.Join(r.operated(operateReq(timer, "k1", true, delaySeconds, "3")), " "), "Device.LocalAgent.Request.1")
		row := requestTable + "1."
		equal(t, r.get(row), row+"Alias=cpe-1\n"+row+"Command="+timer+"\n"+row+"CommandKey=k1\n"+row+"Originator="+ctl1+"\n"+row+"Status=Active")
		equal(t, r.get(ownRoot+"RequestNumberOfEntries"), ownRoot+"RequestNumberOfEntries=1")
		equal(t, r.get(`Device.LocalAgent.Request.[CommandKey=="k1"].Status`), row+"Status=Active")
		at := time.Now()
		m := r.notify()
		equal(t, time.Since(at), 3*time.Second)
		n := m.GetBody().GetRequest().GetNotify()
		c := n.GetOperComplete()
		if n.GetSubscriptionId() != "done" || !n.GetSendResp() || c.GetObjPath() != "Device." || c.GetCommandName() != "ScheduleTimer()" ||
			c.GetCommandKey() != "k1" || c.GetReqOutputArgs() == nil {
			t.Fatal(n)
		}
		r.send(ctl1, respond(m))
		equal(t, r.get(requestTable), "") // R-OPR.2
		// The number is not given away again (R-ARC.8).
		equal(t, r.operated(operateReq(timer, "k1", true, delaySeconds, "1"))[0], "Device.LocalAgent.Request.2")
		r.stop()
	})
}

func TestTP469_1_65_AsynchronousOperateWithoutResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, "Device."))
		r.send(ctl1, mustRequest(r, operateReq(timer, "k", false, delaySeconds, "1")))
		equal(t, r.completed(), timer+" k")
		r.silence()
		r.stop()
	})
}

func TestTP469_1_79_ScheduleTimer(t *testing.T) { testTimer(t, 30*time.Second) }

func TestTP469_9_11_ScheduleTimer(t *testing.T) { testTimer(t, time.Minute) }

// A timer keeps its time over a restart of the process, and one whose time has passed by then is up at once.
func testTimer(t *testing.T, delay time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, timer))
		seconds := itoa(int64(delay / time.Second))
		r.operated(operateReq(timer, "plain", true, delaySeconds, seconds))
		at := time.Now()
		equal(t, r.completed(), timer+" plain")
		equal(t, time.Since(at), delay)

		for _, down := range []time.Duration{delay / 2, 2 * delay} {
			r.operated(operateReq(timer, "restarted", true, delaySeconds, seconds))
			at = time.Now()
			r.stop()
			time.Sleep(down)
			r.start()
			if _, err := r.a.Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			r.connect()
			equal(t, r.completed(), timer+" restarted")
			equal(t, time.Since(at), max(delay, down))
			equal(t, r.get(requestTable), "")
		}
		synctest.Wait() // what was delivered is deleted behind its back
		equal(t, r.keep.count(NotificationRecord), 0)
		r.stop()
	})
}

// A timer needs no CPE, and a boot of the CPE, which ends what it was doing itself, does not end it.
func TestTimerWithoutTheCPE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.tree.reach = usp.Errorf(usp.Unreachable, "no session")
		r.added(subscription(operationComplete, timer))
		r.operated(operateReq(timer, "k", true, delaySeconds, "60"))
		if err := r.a.Boot(t.Context(), BootInfo{}); err != nil {
			t.Fatal(err)
		}
		equal(t, r.completed(), timer+" k")
		r.stop()
	})
}

// The end of a command and its notification are kept together: where they cannot be, both come later.
func TestCompletionIsAtomic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, timer))
		r.operated(operateReq(timer, "k", true, delaySeconds, "5"))
		r.keep.failWith(errDisk)
		if err := r.a.Complete(t.Context(), requestTable+"1.", nil, nil); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.silence()
		equal(t, r.get(requestTable+"1.Status"), requestTable+"1.Status=Active")
		r.keep.failWith(nil)
		equal(t, r.completed(), timer+" k")
		equal(t, r.get(requestTable), "")
		time.Sleep(time.Hour)
		r.silence()
		r.stop()
	})
}

// An Agent that waits for nothing but its timer needs no memory.
func TestTimerUnloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, timer))
		r.operated(operateReq(timer, "k", true, delaySeconds, "60"))
		synctest.Wait()
		equal(t, r.a.Unload(), true)
		at := time.Now()
		equal(t, r.completed(), timer+" k")
		equal(t, time.Since(at), time.Minute)
		r.stop()
	})
}

func TestTP469_1_91_UnknownArgument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, timer))
		equal(t, r.operated(operateReq(timer, "k", true, delaySeconds, "1", "NoSuchArgument", "x"))[0], "Device.LocalAgent.Request.1")
		equal(t, r.completed(), timer+" k")
		r.stop()
	})
}

// TR-369 6.1.4 lists 7004 among the codes of OperateResp and 7011 not, though the reference Agent gives that.
func TestTP469_1_100_BadArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, timer))
		equal(t, r.operated(operateReq(timer, "k", true))[0], "7027")
		for _, bad := range []string{"", "abc", "0", "-1", "1.5", "4294967296"} {
			equal(t, r.operated(operateReq(timer, "k", true, delaySeconds, bad))[0], "7004")
		}
		equal(t, r.operated(operateReq(timer, strings.Repeat("k", defaultLength+1), true, delaySeconds, "1"))[0], "7004")
		time.Sleep(time.Hour)
		r.silence()
		equal(t, r.get(requestTable), "")
		r.stop()
	})
}

func TestTP469_1_97_SupportedTimer(t *testing.T) {
	r := newRig(t)
	res := r.ask(&usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{
		ObjPaths: []string{"Device.", timer, requestTable + "{i}."}, FirstLevelOnly: true, ReturnCommands: true, ReturnUniqueKeySets: true}}}).
		GetResponse().GetGetSupportedDmResp().GetReqObjResults()
	for _, c := range [][]*usppb.GetSupportedDMResp_SupportedCommandResult{res[0].GetSupportedObjs()[0].GetSupportedCommands(),
		res[1].GetSupportedObjs()[0].GetSupportedCommands()} {
		if c[0].GetCommandName() != "ScheduleTimer()" || c[0].GetCommandType() != usppb.GetSupportedDMResp_CMD_ASYNC ||
			!slices.Equal(c[0].GetInputArgNames(), []string{delaySeconds}) {
			t.Fatal(c)
		}
	}
	equal(t, len(res[1].GetSupportedObjs()[0].GetSupportedCommands()), 1) // 1.105
	row := res[2].GetSupportedObjs()[0]
	equal(t, row.GetSupportedCommands()[0].GetCommandName(), "Cancel()")
	equal(t, strings.Join(row.GetUniqueKeySets()[0].GetKeyNames(), ","), "Originator,Command,CommandKey")
}

func TestCancelTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.added(subscription(operationComplete, timer))
		r.added(subscription(objectDeletion, requestTable+"*.", req("ID", "gone")))
		r.operated(operateReq(timer, "k", true, delaySeconds, "60"))
		equal(t, r.operated(operateReq(requestTable+"1.Cancel()", "c", true))[0], "ok")
		equal(t, r.completed(), timer+" k 7023")
		equal(t, r.notify().GetBody().GetRequest().GetNotify().GetObjDeletion().GetObjPath(), requestTable+"1.")
		equal(t, r.get(requestTable), "")
		wantError(t, r.ask(operateReq(requestTable+"1.Cancel()", "c", true)), 7016)
		time.Sleep(time.Hour)
		r.silence()
		r.stop()
	})
}

// Rows come and go with the commands: no Controller adds, changes or deletes them.
func TestRequestIsReadOnly(t *testing.T) {
	r := newRig(t)
	r.operated(operateReq(timer, "k", true, delaySeconds, "60"))
	wantError(t, r.ask(delReq(false, requestTable+"1.")), 7004, requestTable+"1. 7024")
	wantError(t, r.ask(addReq(false, obj{requestTable, nil})), 7004, requestTable+" 7019")
	wantError(t, r.ask(setOf(requestTable+"1.Status", statusActive)), 7004, requestTable+"1.Status 7013")
}

func TestRequestQuota(t *testing.T) {
	r := newRig(t)
	for i := range maxRequests {
		r.operated(operateReq(timer, itoa(i), true, delaySeconds, "60"))
	}
	equal(t, r.operated(operateReq(timer, "one more", true, delaySeconds, "60"))[0], "7005")
	r.operated(operateReq(requestTable+"1.Cancel()", "", true))
	equal(t, r.operated(operateReq(timer, "1", true, delaySeconds, "60"))[0], "7005") // the unique key is taken
	equal(t, r.operated(operateReq(timer, "0", true, delaySeconds, "60"))[0], requestTable+"101")
	r.keep.failWith(errDisk)
	r.operated(operateReq(requestTable+"2.Cancel()", "", true))
	r.keep.failWith(nil)
	equal(t, r.get(ownRoot+"RequestNumberOfEntries"), ownRoot+"RequestNumberOfEntries=100")
}

// starter is a tree that runs Test().
type starter struct {
	*tree
	mu       sync.Mutex
	started  []string // "request command host"
	canceled []string
	fail     error
	during   func(request string) // called in Start
}

func (s *starter) Start(_ context.Context, inv *Invocation, request string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, request+" "+inv.Command+" "+inv.CommandKey+" "+inv.Args["Host"])
	if s.during != nil {
		s.during(request)
	}
	return s.fail
}

func (s *starter) Cancel(_ context.Context, request string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canceled = append(s.canceled, request)
	return s.fail
}

func newStarterRig(t *testing.T) (*rig, *starter) {
	s := &starter{}
	r := &rig{t: t, tree: newTree(), keep: &kept{}, over: func(tr *tree) DataModel { s.tree = tr; return s }}
	r.controllers = []ControllerConfig{{EndpointID: ctl1, OnlyDialsIn: true}, {EndpointID: ctl2, OnlyDialsIn: true}}
	r.start()
	r.connect()
	return r, s
}

// A command of the device has one Request for each object, and each its own end (R-OPR.0).
func TestTP469_1_64_AsynchronousOperateOfTheDevice(t *testing.T) {
	r, s := newStarterRig(t)
	one, two := r.added(obj{rowTable, nil}), r.added(obj{rowTable, nil})
	r.added(subscription(operationComplete, rowTable+"*.Test()"))
	equal(t, strings.Join(r.operated(operateReq(rowTable+"*.Test()", "k", true, "Host", "h", "Nope", "x")), " "), requestTable+"1 "+requestTable+"2")
	equal(t, strings.Join(s.started, "|"), requestTable+"1. "+one+"Test() k h|"+requestTable+"2. "+two+"Test() k h")
	equal(t, r.get(requestTable+"*.Status"), requestTable+"1.Status=Requested\n"+requestTable+"2.Status=Requested")
	if err := r.a.Activate(t.Context(), requestTable+"1."); err != nil {
		t.Fatal(err)
	}
	equal(t, r.get(requestTable+"1.Status"), requestTable+"1.Status=Active")
	for i, end := range []struct {
		out map[string]string
		err *usp.Error
	}{{out: map[string]string{"Result": "PASS"}}, {err: usp.Errorf(usp.CommandFailure, "no")}} {
		if err := r.a.Complete(t.Context(), requestTable+itoa(i+1)+".", end.out, end.err); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, r.completed(), one+"Test() k Result=PASS")
	equal(t, r.completed(), two+"Test() k 7022")
	equal(t, r.get(requestTable), "")
	for _, gone := range []string{requestTable + "1.", controllerTable + "1.", "", "Device."} {
		if err := r.a.Complete(t.Context(), gone, nil, nil); !errors.Is(err, ErrNoRequest) {
			t.Fatal(gone, err)
		}
	}
}

// However fast a command is, its OperateResp comes first.
func TestCompleteDoesNotOvertake(t *testing.T) {
	r, s := newStarterRig(t)
	r.added(obj{rowTable, nil})
	r.added(subscription(operationComplete, rowTable))
	s.during = func(request string) {
		if err := r.a.Complete(context.Background(), request, nil, nil); err != nil {
			t.Error(err)
		}
	}
	equal(t, r.operated(operateReq(rowTable+"1.Test()", "k", true))[0], requestTable+"1")
	equal(t, r.completed(), rowTable+"1.Test() k")
}

func TestStartFails(t *testing.T) {
	r, s := newStarterRig(t)
	r.added(obj{rowTable, nil})
	r.added(subscription(operationComplete, rowTable))
	s.fail = usp.Errorf(usp.ResourcesExceeded, "busy")
	equal(t, r.operated(operateReq(rowTable+"1.Test()", "k", true))[0], "7005")
	equal(t, r.get(requestTable), "")
	r.silence()
	r.stop()

	r = newRig(t) // whose DataModel starts nothing
	r.added(obj{rowTable, nil})
	equal(t, r.operated(operateReq(rowTable+"1.Test()", "k", true))[0], "7022")
	equal(t, r.get(requestTable), "")
}

func TestCancelAtTheDevice(t *testing.T) {
	r, s := newStarterRig(t)
	r.added(obj{rowTable, nil})
	r.added(subscription(operationComplete, rowTable))
	r.operated(operateReq(rowTable+"1.Test()", "k", true))
	s.fail = usp.Errorf(usp.CommandFailure, "too late")
	equal(t, r.operated(operateReq(requestTable+"1.Cancel()", "", true))[0], "7022")
	equal(t, r.get(requestTable+"1.Status"), requestTable+"1.Status=Requested")
	s.fail = nil
	equal(t, r.operated(operateReq(requestTable+"1.Cancel()", "", true))[0], "ok")
	equal(t, r.get(requestTable+"1.Status"), requestTable+"1.Status=Canceling")
	if err := r.a.Complete(t.Context(), s.canceled[1], nil, usp.Errorf(usp.CommandCanceled, "canceled")); err != nil {
		t.Fatal(err)
	}
	equal(t, r.completed(), rowTable+"1.Test() k 7023")
}

// After a restart of the process the DataModel is told again what was running.
func TestStartedAgain(t *testing.T) {
	r, s := newStarterRig(t)
	r.added(obj{rowTable, nil})
	r.added(subscription(operationComplete, rowTable))
	r.operated(operateReq(rowTable+"1.Test()", "k", true, "Host", "h"))
	again := func() {
		r.stop()
		r.start()
		if _, err := r.a.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.connect()
	}
	again()
	equal(t, len(s.started), 2)
	equal(t, s.started[1], s.started[0])
	r.silence()
	s.fail = usp.Errorf(usp.CommandFailure, "lost")
	again()
	equal(t, r.completed(), rowTable+"1.Test() k 7022")
	equal(t, r.get(requestTable), "")
}
