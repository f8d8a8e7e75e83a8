package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/usppb"
)

const (
	pingCommand  = "Device.IP.Diagnostics.IPPing()"
	traceCommand = "Device.IP.Diagnostics.TraceRoute()"
	scanCommand  = "Device.WiFi.NeighboringWiFiDiagnostic()"
	pingObject   = "Device.IP.Diagnostics.IPPing."
	pingState    = pingObject + "DiagnosticsState"
)

func ping(more ...string) map[string]string {
	args := map[string]string{"Host": "192.0.2.1", "ProtocolVersion": "Any", "NumberOfRepetitions": "4", "Timeout": "500", "DataBlockSize": "64"}
	for i := 0; i < len(more); i += 2 {
		args[more[i]] = more[i+1]
	}
	return args
}

// wire is the type that a parameter has in CWMP, and a value of it that no test begins with.
func wire(p datamodel.Param) (kind, value string) {
	switch {
	case p.List:
		return "string", "7,8"
	case len(p.Enum) > 0:
		return "string", p.Enum[len(p.Enum)-1]
	}
	switch p.Type {
	case agent.TypeBoolean:
		return "boolean", "1"
	case agent.TypeDateTime:
		return "dateTime", "2026-01-02T03:04:05Z"
	case agent.TypeHexBinary:
		return "hexBinary", "0A0B"
	case agent.TypeBase64:
		return "base64", "AAAA"
	case agent.TypeInt:
		return "int", "7"
	case agent.TypeLong:
		return "long", "7"
	case agent.TypeUnsignedInt:
		return "unsignedInt", "7"
	case agent.TypeUnsignedLong:
		return "unsignedLong", "7"
	}
	return "string", "y"
}

// withTests is a CPE that has every diagnostics object with results in the rows 3 and 7 of each table.
func withTests(t *testing.T, tree *cpe.Tree) *cpe.Tree {
	t.Helper()
	put := func(path string, writable bool) {
		p, ok := datamodel.LookupParam(agent.GenericPath(path))
		if !ok {
			t.Fatalf("no %s in the model", path)
		}
		kind, value := wire(p)
		switch {
		case isTestState(path):
			value = stateNone
		case writable && kind == "string":
			value = "of another time"
		}
		if tree = tree.WithObject(objectOf(path)); writable {
			tree = tree.WithWritable(path, kind, value)
		} else {
			tree = tree.With(path, kind, value)
		}
	}
	for _, r := range commandRows(t) {
		c, ok := datamodel.LookupCommand(r.command)
		if r.class != classDiagnostics || !ok {
			continue
		}
		object := first(c.Target)
		tree = tree.WithObject(r.object())
		put(object+c.State, true)
		for _, in := range c.Inputs {
			put(object+in.Param, true)
		}
		for _, out := range c.Outputs {
			if out.Param == c.State {
				continue
			}
			for _, row := range []string{"3", "7"} {
				put(object+strings.ReplaceAll(out.Param, "{i}", row), false)
			}
		}
	}
	return tree
}

func isTestState(path string) bool {
	return strings.HasSuffix(path, ".DiagnosticsState") || strings.HasSuffix(path, ".MACTestState")
}

// Each diagnostics command of Device:2: one write with its inputs and its state, the results of the whole object as output arguments with rows from 1 on,
// and no parameter of the object in USP.
func TestDiagnostics(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Tree = withTests(t, withNothing()) })
	w.watch(id)
	n := 0
	for _, r := range commandRows(t) {
		def, ok := datamodel.LookupCommand(r.command)
		if r.class != classDiagnostics || !ok {
			continue
		}
		n++
		t.Run(r.command, func(t *testing.T) {
			command, object := first(r.command), first(def.Target)
			args := map[string]string{}
			for name, arg := range def.Args {
				args[name] = fitting(arg)
			}
			if _, ok := args["Frequency"]; ok {
				args["Frequency"] = "2.4GHz"
			}
			if _, ok := args["OperatingClass"]; ok {
				args["OperatingClass"] = "81"
			}
			resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: command, CommandKey: r.command, SendResp: true, InputArgs: args}}})
			w.must(err)
			result := resp.GetOperateResp().GetOperationResults()[0]
			out := result.GetReqOutputArgs().GetOutputArgs()
			if def.Async {
				done := w.notified(1, completed(r.command)).GetOperComplete()
				if out = done.GetReqOutputArgs().GetOutputArgs(); done.GetReqOutputArgs() == nil {
					t.Fatalf("%v", done)
				}
			} else if result.GetReqOutputArgs() == nil {
				t.Fatalf("%v", result)
			}
			calls := c.Calls("SetParameterValues")
			spv := calls[len(calls)-1].Request.(*cwmp.SetParameterValues)
			written := map[string]string{}
			for _, p := range spv.ParameterList {
				written[strings.TrimPrefix(p.Name, object)] = p.Value
			}
			if len(written) != len(def.Inputs)+1 || written[def.State] != stateRequested {
				t.Errorf("written: %v", written)
			}
			for _, o := range def.Outputs {
				if o.Param == def.State {
					continue
				}
				for i, row := range []string{"3", "7"} {
					name, path := strings.ReplaceAll(o.Name, "{i}", fmt.Sprint(i+1)), object+strings.ReplaceAll(o.Param, "{i}", row)
					p, _ := datamodel.LookupParam(def.Target + o.Param)
					kind, _ := wire(p)
					want := normalize(path, kind, c.Value(path))
					if p.Reference != datamodel.NoReference {
						want = strings.TrimSuffix(want, ".")
					}
					if got, ok := out[name]; !ok || !datamodel.Equal(p.Type, got, want) {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
			}
			if want := map[bool]string{true: "", false: stateComplete}[len(def.Statuses) == 0]; out["Status"] != want && !slices.ContainsFunc([]string{"Success", "success"},
				func(s string) bool { return s == out["Status"] && slices.Contains(def.Statuses, s) }) && r.command != "Device.Users.CheckCredentialsDiagnostics()" {
				t.Errorf("Status %q", out["Status"])
			}
			if values, err := w.get(id, object+def.State); err == nil {
				t.Errorf("the object is in USP: %v", values)
			}
		})
	}
	if n != 26 {
		t.Errorf("%d diagnostics commands, want 26", n)
	}
}

// What the simulated CPE measures, with rows that it numbers on from test to test.
func TestTraceRouteTwice(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(nil)
	w.watch(id)
	for _, key := range []string{"one", "two"} {
		w.begin(id, traceCommand, key, map[string]string{"Host": "192.0.2.1", "ProtocolVersion": "IPv4", "NumberOfTries": "3", "Timeout": "500", "DataBlockSize": "64", "MaxHopCount": "30"})
		out := w.notified(1, completed(key)).GetOperComplete().GetReqOutputArgs().GetOutputArgs()
		if out["Status"] != stateComplete || out["RouteHops.1.HostAddress"] != "192.0.2.1" || out["RouteHops.3.HostAddress"] != "192.0.2.3" || out["RouteHops.4.Host"] != "" {
			t.Errorf("%s: %v", key, out)
		}
	}
	w.begin(id, scanCommand, "scan", nil)
	out := w.notified(1, completed("scan")).GetOperComplete().GetReqOutputArgs().GetOutputArgs()
	if out["Result.1.Radio"] != "Device.WiFi.Radio.1" || out["Result.5.SSID"] != "neighbour 5" {
		t.Errorf("%v", out)
	}
}

// A test that has failed is told by its Status, in the words that USP has; Completed is the older word for Complete.
func TestDiagnosticsStates(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	for state, want := range map[string]string{"Completed": "Complete", "Error_CannotResolveHostName": "Error_CannotResolveHostName", "Error_X_VENDOR": "Error_Other"} {
		c.SetFaults(cpe.Faults{TestState: state})
		w.begin(id, pingCommand, state, ping())
		done := w.notified(1, completed(state)).GetOperComplete()
		if out := done.GetReqOutputArgs().GetOutputArgs(); out["Status"] != want {
			t.Errorf("%s: %v", state, done)
		}
	}
	for _, state := range []string{stateCanceled, stateNone} {
		c.SetFaults(cpe.Faults{TestState: state})
		w.begin(id, pingCommand, state, ping())
		w.failure(state, usp.CommandFailure, "")
	}
}

// What the CPE cannot be told is refused before it is asked; what was not given does not stay what it was.
func TestDiagnosticsArguments(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Tree = cpe.Device2().With(pingObject+"DSCP", "unsignedInt", "0").WithWritable(pingObject+"Interface", "string", "Device.IP.Interface.9").
			WithObject("Device.WiFi.CCAMeasurementDiagnostic.").WithWritable("Device.WiFi.CCAMeasurementDiagnostic.DiagnosticsState", "string", "None").WithWritable("Device.WiFi.CCAMeasurementDiagnostic.Frequency", "string", "")
	})
	w.watch(id)
	for name, test := range map[string]struct {
		command string
		args    map[string]string
		text    string
	}{
		"no such parameter": {"Device.IP.Diagnostics.DownloadDiagnostics()", map[string]string{"DownloadURL": "http://192.0.2.1/", "NumberOfConnections": "3"}, "NumberOfConnections"},
		"another band":      {"Device.WiFi.Radio.1.InitiateCCAMeasurement()", map[string]string{"Channel": "1", "Frequency": "6GHz", "DwellTime": "1"}, "band"},
	} {
		results, err := w.operateAll(id, test.command, test.args)
		if f := results[0].GetCmdFailure(); err != nil || f.GetErrCode() != uint32(usp.InvalidArguments) || !strings.Contains(f.GetErrMsg(), test.text) {
			t.Errorf("%s: %v %v", name, results, err)
		}
	}
	if n := len(c.Calls("SetParameterValues")); n != 0 {
		t.Errorf("%d writes", n)
	}
	w.begin(id, pingCommand, "ping", ping())
	w.notified(1, completed("ping"))
	if v := c.Value(pingObject + "Interface"); v != "" {
		t.Errorf("Interface is %q of another time", v)
	}
}

// A CPE that wants the state in a write of its own: found out where it refuses the one, known from its profile where it would test the wrong thing.
func TestDiagnosticsStateApart(t *testing.T) {
	for name, profile := range map[string]string{"found out": "", "told": "- name: apart\n  match: { product_class: \"*\" }\n  set: { diagnostics_state: apart }\n"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, profiles(t, profile))
			c, id := w.boot(func(cfg *cpe.Config) { cfg.Faults.TestApart = true })
			w.watch(id)
			w.begin(id, pingCommand, "ping", ping())
			if out := w.notified(1, completed("ping")).GetOperComplete().GetReqOutputArgs().GetOutputArgs(); out["SuccessCount"] != "4" {
				t.Errorf("%v", out)
			}
			want := 3
			if profile != "" {
				want = 2
			}
			if n := len(c.Calls("SetParameterValues")); n != want {
				t.Errorf("%d writes, want %d", n, want)
			}
		})
	}
}

// A fault at every step of a test. Whatever happens it ends once, and a CPE that has begun is not told again.
func TestDiagnosticsFaults(t *testing.T) {
	ends := func(w *world, id usp.EndpointID, want string) {
		w.t.Helper()
		done := w.notified(1, completed("ping")).GetOperComplete()
		if got := done.GetReqOutputArgs().GetOutputArgs()["Status"]; got != want {
			w.t.Errorf("%v, want %s", done, want)
		}
		w.over(id)
		w.idleOperations(id)
	}
	for name, test := range map[string]struct {
		faults cpe.Faults
		then   func(w *world, c *cpe.CPE)
		status string
		writes int
	}{
		"session lost before the RPC":    {cpe.Faults{CloseAfterPost: 2}, nil, stateComplete, 1},
		"session lost after the RPC":     {cpe.Faults{CloseOn: "SetParameterValues"}, nil, stateComplete, 1},
		"refused":                        {cpe.Faults{RPCFault: map[string]cwmp.FaultCode{"SetParameterValues": cwmp.FaultRequestDenied}}, nil, "", 2},
		"the CPE says nothing":           {cpe.Faults{TestSilent: true}, func(w *world, c *cpe.CPE) { w.contact(c) }, stateComplete, 1},
		"it has no partial paths":        {cpe.Faults{NoGPVPartial: true}, nil, stateComplete, 1},
		"results lost with the session":  {cpe.Faults{TestState: stateRequested}, loseResults, stateComplete, 1},
		"the CPE reboots":                {cpe.Faults{TestState: stateRequested}, reboot, "", 1},
		"another begins a test":          {cpe.Faults{TestState: stateRequested}, another, "", 1},
		"the CPE answers with Status 1":  {cpe.Faults{StatusOne: true}, nil, stateComplete, 1},
		"the CPE has answered something": {cpe.Faults{EmptyAnswer: map[string]bool{"GetParameterNames": true}}, nil, stateComplete, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c, id := w.boot(nil)
			w.watch(id)
			c.SetFaults(test.faults)
			before := len(c.Calls("SetParameterValues"))
			w.begin(id, pingCommand, "ping", ping())
			if test.then != nil {
				_, err := c.WaitCall(w.in(deadline), "SetParameterValues", before+1)
				w.must(err)
				w.over(id)
				test.then(w, c)
			}
			if test.faults.CloseOn != "" || test.faults.CloseAfterPost != 0 {
				w.contact(c)
			}
			ends(w, id, test.status)
			if n := len(c.Calls("SetParameterValues")) - before; n != test.writes {
				t.Errorf("%d writes, want %d", n, test.writes)
			}
		})
	}
}

func reboot(w *world, _ *cpe.CPE) {
	for id := range w.p.devices {
		w.operate(id, "Device.Reboot()", "")
	}
}

// loseResults has the session end in which the results are read.
func loseResults(w *world, c *cpe.CPE) {
	c.SetFaults(cpe.Faults{CloseOn: "GetParameterValues"})
	w.must(c.SetValue(pingState, stateComplete))
	c.Inform(cwmp.EventDiagnosticsComplete)
}

func another(w *world, c *cpe.CPE) {
	w.must(c.SetValue(pingObject+"Host", "198.51.100.1"))
	w.must(c.SetValue(pingState, stateComplete))
	c.Inform(cwmp.EventDiagnosticsComplete)
}

// The process may be killed between any two writes from when the Controller was told that a test runs. The Controller hears of its end, and the CPE has run
// it once, or twice where nothing says that it has begun.
func TestDiagnosticsSurviveKillAtAnyWrite(t *testing.T) {
	const writes = 10
	for n := range writes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			c, id := w.boot(away)
			w.watch(id)
			var dead *dying
			w.stop()
			w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
			w.start()
			w.begin(id, pingCommand, "ping", ping())
			dead.left.Store(int64(n))
			c.Inform(cwmp.EventPeriodic)
			over := make(chan struct{})
			go func() {
				defer close(over)
				_ = w.peer.wait(w.ctx, func() bool { return w.peer.nth(1, completed("ping")) != nil })
			}()
			select {
			case <-dead.killed:
			case <-over: // there are not that many writes
			}
			w.stop()
			w.wrap = nil
			c.SetFaults(cpe.Faults{})
			w.start()
			done := w.notified(1, completed("ping")).GetOperComplete()
			if done.GetReqOutputArgs().GetOutputArgs()["SuccessCount"] != "4" {
				t.Errorf("OperationComplete %v", done)
			}
			if n := len(c.Calls("SetParameterValues")); n > 2 {
				t.Errorf("%d writes", n)
			}
			w.must(c.WaitIdle(w.in(deadline)))
			w.over(id)
			w.idleOperations(id)
			<-over
		})
	}
}

// The Controller is away when a test ends.
func TestDiagnosticsControllerAway(t *testing.T) {
	w := newWorld(t, nil)
	_, id := w.boot(nil)
	w.watch(id)
	w.peer.mu.Lock()
	w.peer.mute = true
	w.peer.mu.Unlock()
	w.begin(id, pingCommand, "ping", ping())
	w.notified(1, completed("ping")) // and not acknowledged
	w.over(id)
	w.stop()
	w.peer.mu.Lock()
	w.peer.mute = false
	w.peer.mu.Unlock()
	w.start()
	w.notified(2, completed("ping"))
}

// Two tests of one object run one after the other; a queued one is dropped by Cancel(), one that runs is stopped at the CPE.
func TestDiagnosticsQueueAndCancel(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	c.SetFaults(cpe.Faults{TestState: stateRequested})
	first := w.begin(id, pingCommand, "first", ping())
	second := w.begin(id, pingCommand, "second", ping("Host", "192.0.2.2"))
	third := w.begin(id, pingCommand, "third", ping("Host", "192.0.2.3"))
	w.begin(id, scanCommand, "scan", nil) // another object
	_, err := c.WaitCall(w.in(deadline), "SetParameterValues", 2)
	w.must(err)
	w.want(id, second+".Status", "Requested")
	cancel := func(request string) {
		t.Helper()
		if r := w.operate(id, request+".Cancel()", ""); r.GetReqOutputArgs() == nil {
			t.Errorf("%v", r)
		}
	}
	cancel(third)
	w.failure("third", usp.CommandCanceled, "")
	c.SetFaults(cpe.Faults{})
	cancel(first)
	w.failure("first", usp.CommandCanceled, "")
	out := w.notified(1, completed("second")).GetOperComplete().GetReqOutputArgs().GetOutputArgs()
	if out["Status"] != stateComplete || c.Value(pingObject+"Host") != "192.0.2.2" {
		t.Errorf("%v, Host %s", out, c.Value(pingObject+"Host"))
	}
}

// A test that somebody else runs is waited for.
func TestDiagnosticsOfSomebodyElse(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	w.must(c.SetValue(pingState, stateRequested))
	sessions := c.Sessions()
	w.begin(id, pingCommand, "ping", ping())
	w.must(c.WaitSessions(w.in(deadline), sessions+1))
	w.over(id)
	if n := len(c.Calls("SetParameterValues")); n != 0 {
		t.Errorf("%d writes into the test of somebody else", n)
	}
	w.must(c.SetValue(pingState, stateComplete))
	for _, op := range w.device(id).operations {
		w.device(id).mu.Lock()
		op.NotBefore = time.Time{}
		w.device(id).mu.Unlock()
	}
	w.contact(c)
	if out := w.notified(1, completed("ping")).GetOperComplete().GetReqOutputArgs().GetOutputArgs(); out["SuccessCount"] != "4" {
		t.Errorf("%v", out)
	}
}
