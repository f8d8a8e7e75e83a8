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

func TestTP469_1_64_AsynchronousOperate(t *testing.T) {
	e := shared(t)
	e.timed("test64", func(args map[string]string) { e.pending(e.operate(timerCommand, "test64", args), "test64") })
}

func TestTP469_1_65_AsynchronousOperateWithoutResponse(t *testing.T) {
	e := shared(t)
	e.timed("test65", func(args map[string]string) {
		_, err := e.a.Operate(e.deadline(), &usppb.Operate{Command: timerCommand, CommandKey: "test65", InputArgs: args})
		e.must(err)
	})
}

func TestTP469_1_79_InputArguments(t *testing.T) {
	e := shared(t)
	e.timed("test79", func(args map[string]string) { e.pending(e.operate(timerCommand, "test79", args), "test79") })
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
