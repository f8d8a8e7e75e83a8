package translate

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// succeeded is the Status of a test, and how often it counted.
func (w *world) succeeded(key, want string) {
	w.t.Helper()
	done := w.notified(1, completed(key)).GetOperComplete()
	out := done.GetReqOutputArgs().GetOutputArgs()
	if out["Status"] != stateComplete || out["SuccessCount"] != want {
		w.t.Errorf("%v, want %s successes", done, want)
	}
}

// A CPE that wants the state in a write of its own, and whose session is lost between the two: the arguments alone have begun nothing.
func TestDiagnosticsLostBetweenTwoWrites(t *testing.T) {
	w := newWorld(t, profiles(t, "- name: apart\n  match: { product_class: \"*\" }\n  set: { diagnostics_state: apart }\n"))
	c, id := w.boot(nil)
	w.watch(id)
	w.begin(id, pingCommand, "before", ping())
	w.succeeded("before", "4")
	w.over(id)
	writes := len(c.Calls("SetParameterValues"))
	c.SetFaults(cpe.Faults{CloseOn: "SetParameterValues"})
	w.begin(id, pingCommand, "ping", ping("NumberOfRepetitions", "6"))
	_, err := c.WaitCall(w.in(deadline), "SetParameterValues", writes+1)
	w.must(err)
	w.over(id)
	w.contact(c)
	w.succeeded("ping", "6")
}

// A CPE that gives its results neither by a partial path nor many at once.
func TestDiagnosticsResultsInBits(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	c.SetFaults(cpe.Faults{NoGPVPartial: true, MaxGPV: 3})
	w.begin(id, pingCommand, "ping", ping())
	w.succeeded("ping", "4")
	c.SetFaults(cpe.Faults{NoGPVPartial: true, Answer: func(req, response cwmp.RPC) cwmp.RPC {
		if g, ok := req.(*cwmp.GetParameterValues); ok && !slices.Equal(g.ParameterNames, []string{pingState}) {
			return cwmp.NewFault(cwmp.FaultInternalError)
		}
		return response
	}})
	w.begin(id, pingCommand, "none", ping())
	w.failure("none", usp.CommandFailure, "9002")
}

// A scan of a town: rows come whole, and in their order.
func TestDiagnosticsManyRows(t *testing.T) {
	const rows = 500
	w := newWorld(t, nil)
	_, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.TestRows = rows })
	w.watch(id)
	w.begin(id, scanCommand, "scan", nil)
	out := w.notified(1, completed("scan")).GetOperComplete().GetReqOutputArgs().GetOutputArgs()
	for i := 1; i <= rows; i++ {
		if got := out[fmt.Sprintf("Result.%d.SSID", i)]; got != fmt.Sprintf("neighbour %d", i) {
			t.Fatalf("row %d is %q", i, got)
		}
	}
}

// What a peer can make of the names of rows takes no longer than to read it, and none that is no row gets a number.
func TestDiagnosticsRowNumbers(t *testing.T) {
	const many = 200_000
	values := map[string]cwmp.ParameterValueStruct{"o.Result.03.SSID": {}, "o.Result.-1.SSID": {}, "o.Result.99999999999999999999.SSID": {}}
	for i := range many {
		values[fmt.Sprintf("o.Result.%d.SSID", i+1)] = cwmp.ParameterValueStruct{}
	}
	rows := (&test{object: "o."}).rows(values)
	if got := numbered("Result.{i}.SSID", "Result.7.SSID", rows); got != "Result.7.SSID" {
		t.Error(got)
	}
	for _, odd := range []string{"03", "-1", "99999999999999999999"} {
		if got := numbered("Result.{i}.SSID", "Result."+odd+".SSID", rows); got != "" {
			t.Errorf("%s: %s", odd, got)
		}
	}
}

// How long somebody else's test may take counts from when it is found, not from when the command was given.
func TestDiagnosticsOfSomebodyElseAfterAWait(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(away)
	w.watch(id)
	w.begin(id, pingCommand, "ping", ping())
	w.must(c.SetValue(pingState, stateRequested))
	d := w.device(id)
	const wait = 2 * occupiedPatience
	d.mu.Lock()
	d.operations[0].Begun = time.Now().Add(-wait)
	d.mu.Unlock()
	w.contact(c)
	w.over(id)
	if n := len(c.Calls("SetParameterValues")); n != 0 {
		t.Fatalf("%d writes into the test of somebody else", n)
	}
	d.mu.Lock()
	d.operations[0].NotBefore, d.operations[0].Occupied = time.Time{}, time.Now().Add(-wait)
	d.mu.Unlock()
	w.contact(c) // it has never ended
	w.succeeded("ping", "4")
}

// A test that is synchronous in USP is answered within the time of a request, and what has not left by then does not.
func TestDiagnosticsSynchronousInTime(t *testing.T) {
	const command, object = "Device.Users.CheckCredentialsDiagnostics()", "Device.Users.CheckCredentialsDiagnostics."
	args := map[string]string{"Username": "user", "Password": "horse"}
	for name, faults := range map[string]cpe.Faults{"never over": {TestState: stateRequested}, "away": {ConnReq: cpe.ConnReqDrop}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *Options) { o.Agents.RequestTimeout = 2 * time.Second })
			c, id := w.boot(func(cfg *cpe.Config) {
				cfg.Tree, cfg.Faults.ConnReq = withTests(t, withNothing()), faults.ConnReq
			})
			c.SetFaults(faults)
			run := func() *usppb.OperateResp_OperationResult {
				t.Helper()
				results, err := w.operateAll(id, command, args)
				w.must(err)
				return results[0]
			}
			if r := run(); r.GetCmdFailure() == nil {
				t.Errorf("%v", r)
			}
			w.over(id)
			c.SetFaults(cpe.Faults{})
			writes := len(c.Calls("SetParameterValues"))
			w.contact(c)
			w.over(id)
			if n := len(c.Calls("SetParameterValues")); n != writes || name == "away" && n != 0 {
				t.Errorf("%d writes, %d of them afterwards", n, n-writes)
			}
			if r := run(); r.GetReqOutputArgs().GetOutputArgs()["Status"] != stateComplete || c.Value(object+"Username") != "user" {
				t.Errorf("%v", r)
			}
		})
	}
}
