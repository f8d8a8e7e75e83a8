package conformance_test

import (
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const timerCommand = "Device.ScheduleTimer()"

// timed runs a timer of one second, and waits for what a Subscription says of its end.
func (e *eut) timed(key string, operate func(args map[string]string)) {
	e.Helper()
	id := unique("timer")
	e.subscribe(id, "OperationComplete", timerCommand, req("NotifRetry", "true"))
	operate(map[string]string{"DelaySeconds": "1"})
	n := e.notified(id)
	c := n.GetOperComplete()
	if !n.GetSendResp() || c.GetObjPath() != "Device." || c.GetCommandName() != "ScheduleTimer()" || c.GetCommandKey() != key || c.GetReqOutputArgs() == nil {
		e.Errorf("%v", n)
	}
	e.wantRows("Device.LocalAgent.Request.")
}

// pending says that an OperationResult names the row of its Request.
func (e *eut) pending(r *usppb.OperateResp_OperationResult, key string) {
	e.Helper()
	if path := r.GetReqObjPath(); r.GetExecutedCommand() != timerCommand || path == "" {
		e.Errorf("%v", r)
	} else {
		e.wantValue(path+".CommandKey", key)
	}
}

// asynchronous runs a case on a command of the Agent, and on one that the CPE carries out, which may be over before its Request can be looked at.
func asynchronous(t *testing.T, key string, operate func(e *eut, command string, args map[string]string) *usppb.OperateResp_OperationResult) {
	t.Run("LocalAgent", func(t *testing.T) {
		e := shared(t)
		e.timed(key, func(args map[string]string) {
			if r := operate(e, timerCommand, args); r != nil {
				e.pending(r, key)
			}
		})
	})
	t.Run("CPE", func(t *testing.T) {
		e := fresh(t, options{})
		e.subscribe(key, "OperationComplete", traceCommand, req("NotifRetry", "true"))
		args := map[string]string{"Host": "192.0.2.1", "ProtocolVersion": "Any", "MaxHopCount": "5"}
		if r := operate(e, traceCommand, args); r != nil && (r.GetExecutedCommand() != traceCommand || r.GetReqObjPath() == "") {
			e.Errorf("%v", r)
		}
		n := e.notified(key)
		c := n.GetOperComplete()
		if !n.GetSendResp() || c.GetObjPath()+c.GetCommandName() != traceCommand || c.GetCommandKey() != key ||
			c.GetReqOutputArgs().GetOutputArgs()["Status"] != "Complete" {
			e.Errorf("%v", n)
		}
		if got := e.w.cpe.Value("Device.IP.Diagnostics.TraceRoute.MaxHopCount"); got != "5" {
			e.Errorf("the CPE tests with MaxHopCount %q", got)
		}
		e.wantRows("Device.LocalAgent.Request.")
	})
}

func TestTP469_1_64_AsynchronousOperate(t *testing.T) {
	asynchronous(t, "test64", func(e *eut, command string, args map[string]string) *usppb.OperateResp_OperationResult {
		return e.operate(command, "test64", args)
	})
}

func TestTP469_1_65_AsynchronousOperateWithoutResponse(t *testing.T) {
	asynchronous(t, "test65", func(e *eut, command string, args map[string]string) *usppb.OperateResp_OperationResult {
		_, err := e.a.Operate(e.deadline(), &usppb.Operate{Command: command, CommandKey: "test65", InputArgs: args})
		e.must(err)
		return nil
	})
}

func TestTP469_1_79_InputArguments(t *testing.T) {
	asynchronous(t, "test79", func(e *eut, command string, args map[string]string) *usppb.OperateResp_OperationResult {
		return e.operate(command, "test79", args)
	})
}

// TestTP469_1_91_UnknownArgument: a command of the Agent, and one that the CPE carries out.
func TestTP469_1_91_UnknownArgument(t *testing.T) {
	e := fresh(t, options{})
	e.timed("test91", func(args map[string]string) {
		args["InvalidArgument"] = "2"
		e.pending(e.operate(timerCommand, "test91", args), "test91")
	})
	e.reboots("test91", func() {
		if r := e.operate("Device.Reboot()", "test91", map[string]string{"InvalidArgument": "2"}); r.GetReqOutputArgs() == nil {
			e.Errorf("%v", r)
		}
	})
}

// TestTP469_1_100_MissingArgument: a timer that does run is the barrier for silence about the one that must not.
func TestTP469_1_100_MissingArgument(t *testing.T) {
	e := shared(t)
	e.subscribe("notify100", "OperationComplete", timerCommand)
	if r := e.operate(timerCommand, "test100", nil); r.GetCmdFailure().GetErrCode() != uint32(usp.InvalidCommandArguments) {
		e.Errorf("%v", r)
	}
	e.timed("other", func(args map[string]string) { e.pending(e.operate(timerCommand, "other", args), "other") })
	if n := e.notified("notify100").GetOperComplete(); n.GetCommandKey() != "other" {
		e.Errorf("%v", n)
	}
}
