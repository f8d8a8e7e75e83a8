package translate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/usppb"
)

// row is one of commands-to-cwmp.tsv.
type row struct{ command, class, target string }

// object is the first that the command belongs to.
func (r row) object() string { return objectOf(first(r.command)) }

// first replaces {i} by 1.
func first(generic string) string { return strings.ReplaceAll(generic, "{i}", "1") }

func commandRows(t *testing.T) (rows []row) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("datamodel", "tables", "commands-to-cwmp.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if c := strings.Split(line, "\t"); strings.HasPrefix(c[0], "Device.") {
			rows = append(rows, row{c[0], c[3], c[4]})
		}
	}
	return rows
}

// xsd is the type of a parameter of Device:2 in CWMP.
func xsd(generic string) string {
	p, _ := datamodel.LookupParam(generic)
	return map[agent.ValueType]string{agent.TypeBoolean: "boolean", agent.TypeInt: "int"}[p.Type]
}

const counter = "BytesSent"

// withTriggers is a CPE that has every parameter that a command writes.
func withTriggers(t *testing.T, tree *cpe.Tree) *cpe.Tree {
	t.Helper()
	for _, r := range commandRows(t) {
		if r.class != triggerParam {
			continue
		}
		target := first(r.target)
		tree = tree.WithObject(objectOf(target))
		switch kind := xsd(r.target); kind {
		case "boolean":
			tree = tree.WithWritable(target, kind, "false")
		case "int":
			tree = tree.WithWritable(target, kind, "0")
		default:
			tree = tree.WithWritable(target, "string", "")
		}
		if strings.HasSuffix(objectOf(target), ".Stats.") {
			tree = tree.With(objectOf(target)+counter, "unsignedLong", "42")
		}
	}
	const wol = "Device.Ethernet.WoL."
	return tree.WithWritable(wol+"MACAddress", "string", "").WithWritable(wol+"Password", "string", "of another time")
}

// arguments of the commands that need some.
var arguments = map[string]map[string]string{
	"SetRunLevel()":       {"RequestedRunLevel": "3"},
	"SetRequestedState()": {"RequestedState": "Active"},
	"SendMagicPacket()":   {"MACAddress": "00:D0:9E:00:00:01"},
}

// listed says whether GetSupportedDM has a command, event or parameter.
func (w *world) listed(id usp.EndpointID, path string) bool {
	w.t.Helper()
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{path},
		ReturnCommands: true, ReturnEvents: true, ReturnParams: true}}})
	w.must(err)
	return len(resp.GetGetSupportedDmResp().GetReqObjResults()[0].GetSupportedObjs()) > 0
}

// operateAll is an Operate whose results, or whose Error, are of interest.
func (w *world) operateAll(id usp.EndpointID, command string, args map[string]string) ([]*usppb.OperateResp_OperationResult, error) {
	w.t.Helper()
	resp, err := w.do(id, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: command, CommandKey: command, SendResp: true, InputArgs: args}}})
	return resp.GetOperateResp().GetOperationResults(), err
}

// lastWrite is the last SetParameterValues that the CPE got.
func lastWrite(c *cpe.CPE) *cwmp.SetParameterValues {
	calls := c.Calls("SetParameterValues")
	if len(calls) == 0 {
		return &cwmp.SetParameterValues{}
	}
	return calls[len(calls)-1].Request.(*cwmp.SetParameterValues)
}

// Each command that is a parameter in CWMP has it written, and no parameter of its name is in USP. What a reset of counters has made of them is
// read anew. The subtree Device.MQTT. is not the CPE's, so nor are its commands.
func TestTriggers(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = time.Hour })
	c, id := w.boot(func(cfg *cpe.Config) { cfg.Tree = withTriggers(t, cpe.Device2()) })
	w.watch(id)
	n := 0
	for _, r := range commandRows(t) {
		if r.class != triggerParam {
			continue
		}
		n++
		t.Run(r.command, func(t *testing.T) {
			target, name := first(r.target), r.command[len(objectOf(r.command)):]
			if w.listed(id, r.target) {
				t.Error("the parameter is in the supported data model")
			}
			if got, err := w.get(id, target); code(err) != usp.InvalidPath {
				t.Errorf("Get of the parameter: %v %v", got, err)
			}
			if strings.HasPrefix(target, "Device.MQTT.") {
				refused := usp.InvalidPath
				if r.command == forceReconnect {
					refused = usp.ObjectDoesNotExist // the Agent has no broker
				}
				if _, err := w.operateAll(id, first(r.command), nil); code(err) != refused || w.listed(id, r.command) != (refused == usp.ObjectDoesNotExist) {
					t.Errorf("a command of what is hidden: %v", err)
				}
				return
			}
			if !w.listed(id, r.command) {
				t.Error("the command is not in the supported data model")
			}
			results, err := w.operateAll(id, first(r.command), arguments[name])
			if err != nil || len(results) != 1 {
				t.Fatalf("%v %v", results, err)
			}
			if results[0].GetReqObjPath() != "" {
				w.notified(1, completed(first(r.command)))
			} else if results[0].GetReqOutputArgs() == nil {
				t.Fatalf("%v", results[0])
			}
			wrote := lastWrite(c).ParameterList
			last := wrote[len(wrote)-1]
			want := "true"
			if xsd(r.target) != "boolean" {
				want = arguments[name][target[len(objectOf(target)):]]
			}
			if last.Name != target || last.Value != want && last.Value != "1" {
				t.Errorf("wrote %v, want %s=%s", wrote, target, want)
			}
			if object := objectOf(target); strings.HasSuffix(object, ".Stats.") {
				w.want(id, object+counter, "0")
			}
		})
	}
	if n != 62 {
		t.Errorf("%d commands, want 62", n)
	}
	if v := c.Value("Device.Ethernet.WoL.Password"); v != "" {
		t.Errorf("the Password of another time was used: %q", v)
	}
}

// Several objects, by a wildcard or a search: one result each, in order, and a failure of one is nobody else's.
func TestTriggerOfSeveralObjects(t *testing.T) {
	const reset = "Device.WiFi.SSID.%.Stats.Reset"
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Tree = cpe.Device2()
		for _, n := range []string{"1", "2"} {
			cfg.Tree = cfg.Tree.WithWritable(strings.Replace(reset, "%", n, 1), "boolean", "false")
		}
		cfg.Faults.SetFault = map[string]cwmp.FaultCode{strings.Replace(reset, "%", "1", 1): cwmp.FaultInvalidParameterValue}
	})
	for path, want := range map[string]int{"*": 2, `[Alias=="cpe-2"]`: 1, `[Alias=="none"]`: 0} {
		results, err := w.operateAll(id, strings.Replace(reset, "%", path, 1)+"()", nil)
		if err != nil || len(results) != want {
			t.Errorf("%s: %v %v", path, results, err)
		}
		if want != 2 {
			continue
		}
		f := results[0].GetCmdFailure()
		if f.GetErrCode() != uint32(usp.CommandFailure) || !strings.Contains(f.GetErrMsg(), "CWMP fault 9003") || !strings.Contains(f.GetErrMsg(), "9007") {
			t.Errorf("refused: %v", f)
		}
		if results[0].GetExecutedCommand() != "Device.WiFi.SSID.1.Stats.Reset()" || results[1].GetReqOutputArgs() == nil {
			t.Errorf("%v", results)
		}
	}
	if v := c.Value("Device.WiFi.SSID.2.Stats.BytesSent"); v != "0" {
		t.Errorf("BytesSent %s", v)
	}
	if _, err := w.operateAll(id, "Device.WiFi.SSID.7.Stats.Reset()", nil); code(err) != usp.ObjectDoesNotExist {
		t.Errorf("no such row: %v", err)
	}
}

// Faults around the RPC: no session is 7800 and nothing is done later; the answer is lost, and ParameterKey tells; it does not, 7801; applied later is
// success.
func TestTriggerFaults(t *testing.T) {
	const command, trigger = "Device.WiFi.Reset()", "Device.WiFi.Reset"
	boot := func(t *testing.T, change func(*Options), faults cpe.Faults) (*world, *cpe.CPE, usp.EndpointID) {
		w := newWorld(t, change)
		c, id := w.boot(func(cfg *cpe.Config) { cfg.Tree = cpe.Device2().WithWritable(trigger, "boolean", "false") })
		c.SetFaults(faults)
		return w, c, id
	}
	briefly := func(o *Options) { o.Agents.RequestTimeout = 500 * time.Millisecond }
	t.Run("no session", func(t *testing.T) {
		w, c, id := boot(t, briefly, cpe.Faults{ConnReq: cpe.ConnReqDrop})
		if f := w.operate(id, command, "").GetCmdFailure(); f.GetErrCode() != uint32(usp.Unreachable) {
			t.Errorf("%v", f)
		}
		c.SetFaults(cpe.Faults{})
		w.inform(c, cwmp.EventPeriodic)
		if n := len(c.Calls("SetParameterValues")); n != 0 {
			t.Errorf("%d writes that nobody waits for", n)
		}
	})
	t.Run("answer lost", func(t *testing.T) {
		w, c, id := boot(t, nil, cpe.Faults{CloseOn: "SetParameterValues"})
		if r := w.operate(id, command, ""); r.GetReqOutputArgs() == nil {
			t.Errorf("%v", r)
		}
		if n := len(c.Calls("SetParameterValues")); n != 1 {
			t.Errorf("%d writes", n)
		}
	})
	t.Run("answer lost, CPE away", func(t *testing.T) {
		w, c, id := boot(t, briefly, cpe.Faults{CloseOn: "SetParameterValues", RPCFault: map[string]cwmp.FaultCode{"GetParameterValues": cwmp.FaultInternalError}})
		if f := w.operate(id, command, "").GetCmdFailure(); f.GetErrCode() != uint32(usp.OutcomeUnknown) {
			t.Errorf("%v", f)
		}
		if n := len(c.Calls("SetParameterValues")); n != 1 {
			t.Errorf("%d writes", n)
		}
	})
	t.Run("later", func(t *testing.T) {
		w, _, id := boot(t, nil, cpe.Faults{StatusOne: true})
		if r := w.operate(id, command, ""); r.GetReqOutputArgs() == nil {
			t.Errorf("%v", r)
		}
	})
	t.Run("refused", func(t *testing.T) {
		w, _, id := boot(t, nil, cpe.Faults{RPCFault: map[string]cwmp.FaultCode{"SetParameterValues": cwmp.FaultRequestDenied}})
		if f := w.operate(id, command, "").GetCmdFailure(); f.GetErrCode() != uint32(usp.CommandFailure) || !strings.Contains(f.GetErrMsg(), "CWMP fault 9001") {
			t.Errorf("%v", f)
		}
	})
	t.Run("too late", func(t *testing.T) {
		w, _, id := boot(t, briefly, cpe.Faults{Delay: 400 * time.Millisecond})
		if f := w.operate(id, command, "").GetCmdFailure(); !slices.Contains([]uint32{uint32(usp.Unreachable), uint32(usp.OutcomeUnknown)}, f.GetErrCode()) {
			t.Errorf("%v", f)
		}
	})
}

// The asynchronous one: its answer is lost, and the next session finds out; it is never repeated, also over a restart.
func TestAsynchronousTrigger(t *testing.T) {
	const command = "Device.SoftwareModules.ExecEnv.1.Reset()"
	for name, test := range map[string]struct {
		faults  cpe.Faults
		between func(w *world)
		code    usp.ErrorCode
		text    string
		unheard bool // the CPE has not had the write
	}{
		"plain":       {},
		"lost":        {faults: cpe.Faults{LoseOn: "SetParameterValues"}, code: usp.OutcomeUnknown, text: "outcome is unknown", unheard: true},
		"refused":     {faults: cpe.Faults{RPCFault: map[string]cwmp.FaultCode{"SetParameterValues": cwmp.FaultInternalError}}, code: usp.CommandFailure, text: "CWMP fault 9002"},
		"answer lost": {faults: cpe.Faults{CloseOn: "SetParameterValues"}},
		"killed":      {faults: cpe.Faults{CloseOn: "SetParameterValues"}, between: func(w *world) { w.restart(func(*Options) {}) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c, id := w.boot(func(cfg *cpe.Config) {
				away(cfg)
				cfg.Tree = cpe.Device2().WithWritable(strings.TrimSuffix(command, "()"), "boolean", "false")
			})
			w.watch(id)
			request := w.begin(id, command, "reset", nil)
			w.want(id, request+".Status", "Requested")
			test.faults.ConnReq = cpe.ConnReqDrop
			c.SetFaults(test.faults)
			w.contact(c)
			if test.between != nil {
				w.over(id)
				test.between(w)
			}
			w.contact(c)
			if test.code != 0 {
				w.failure("reset", test.code, test.text)
			} else if out := w.notified(1, completed("reset")).GetOperComplete(); out.GetReqOutputArgs() == nil {
				t.Errorf("%v", out)
			}
			if n := len(c.Calls("SetParameterValues")); n > 1 || (n == 0) != test.unheard {
				t.Errorf("%d writes", n)
			}
			w.idleOperations(id)
		})
	}
}

// A CPE of TR-098 does what it has a parameter for, under that one's name; an interface without is a failure of its own.
func TestTriggersOfTR098(t *testing.T) {
	const connection, env = "InternetGatewayDevice.WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.", "InternetGatewayDevice.SoftwareModules.ExecEnv.1."
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Tree = cpe.IGD().WithObject(connection).WithWritable(connection+"Reset", "boolean", "false").WithObject(env).With(env+"Status", "string", "Up").
			WithWritable(env+"Enable", "boolean", "true").WithWritable(env+"RequestedRunLevel", "int", "1").With(env+"CurrentRunLevel", "int", "1")
	})
	w.watch(id)
	results, err := w.operateAll(id, "Device.IP.Interface.*.Reset()", nil)
	w.must(err)
	done := 0
	for _, r := range results {
		if r.GetReqOutputArgs() != nil {
			done++
		} else if r.GetCmdFailure().GetErrCode() != uint32(usp.CommandFailure) {
			t.Errorf("%v", r)
		}
	}
	if p := lastWrite(c).ParameterList; done != 1 || len(p) != 1 || p[0].Name != connection+"Reset" || p[0].Type != "boolean" {
		t.Errorf("%v %v", results, p)
	}
	results, err = w.operateAll(id, "Device.SoftwareModules.ExecEnv.1.SetRunLevel()", arguments["SetRunLevel()"])
	if err != nil || results[0].GetReqOutputArgs() == nil || c.Value(env+"CurrentRunLevel") != "3" {
		t.Errorf("%v %v", results, err)
	}
	w.begin(id, "Device.SoftwareModules.ExecEnv.1.Restart()", "restart", nil)
	if out := w.notified(1, completed("restart")).GetOperComplete(); out.GetReqOutputArgs() == nil || switched(c, env+"Enable") != "false true" {
		t.Errorf("%v", out)
	}
}

// The Controller is away when an asynchronous trigger ends, and when a row comes that is an event: it hears of both when it is back, once each.
func TestControllerAwayFromTriggersAndEvents(t *testing.T) {
	const command = "Device.SoftwareModules.ExecEnv.1.Reset()"
	w := newWorld(t, nil)
	c, id := w.boot(func(cfg *cpe.Config) {
		cfg.Tree = cpe.Device2().WithWritable(strings.TrimSuffix(command, "()"), "boolean", "false")
	})
	w.watch(id)
	w.subscribe(id, "event", "Event", elements, map[string]string{"Persistent": "true", "NotifRetry": "true"})
	w.countedAt(c, id, "AssociationEvent")
	hush := func(on bool) {
		w.peer.mu.Lock()
		defer w.peer.mu.Unlock()
		w.peer.mute = on
	}
	hush(true)
	w.begin(id, command, "reset", nil)
	w.notified(1, completed("reset")) // and not acknowledged
	_, err := c.AddRow(eventTable("AssociationEvent"))
	w.must(err)
	associated := eventOf(elements+"AssociationEvent.", "Associated!")
	w.idleOperations(id)
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id)
	before := w.peer.count(associated)
	w.stop()
	hush(false)
	w.start()
	w.notified(2, completed("reset"))
	w.notified(before+1, associated)
	if n := len(c.Calls("SetParameterValues")); n != 1 {
		t.Errorf("%d writes", n)
	}
}
