package conformance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
)

// homeTests are the diagnostics that every home has. What a data model has no output for is left out of the comparison.
var homeTests = []struct {
	command string
	args    map[string]string
	lack    []string // outputs, by the ends of their names
}{
	{"Device.IP.Diagnostics.IPPing()", map[string]string{"Host": "198.51.100.1", "ProtocolVersion": "Any", "NumberOfRepetitions": "2", "Timeout": "500", "DataBlockSize": "64", "DSCP": "8"}, nil},
	{"Device.IP.Diagnostics.IPPing()", map[string]string{"Host": "", "ProtocolVersion": "Any", "NumberOfRepetitions": "1", "Timeout": "500", "DataBlockSize": "64", "DSCP": "0"}, nil},
	{"Device.IP.Diagnostics.TraceRoute()", map[string]string{"Host": "198.51.100.1", "ProtocolVersion": "Any", "Timeout": "700", "DataBlockSize": "40", "DSCP": "4", "MaxHopCount": "12"},
		[]string{".HostAddress", ".ErrorCode", ".RTTimes"}},
	{"Device.IP.Diagnostics.DownloadDiagnostics()", map[string]string{"DownloadURL": "http://192.0.2.7/1M", "DSCP": "8", "EthernetPriority": "3"}, nil},
	{"Device.IP.Diagnostics.UploadDiagnostics()", map[string]string{"UploadURL": "http://192.0.2.7/up", "DSCP": "8", "EthernetPriority": "3", "TestFileLength": "1000000"}, nil},
	{"Device.DNS.Diagnostics.NSLookupDiagnostics()", map[string]string{"HostName": "example.net", "DNSServer": "192.0.2.53", "Timeout": "900", "NumberOfRepetitions": "1"}, nil},
}

// TestHomesDiagnostics: the tests of a CPE are commands with the same arguments and results, whatever its objects and their rows are called, and a CPE that
// looks at the types of what it is told is told them in its own.
func TestHomesDiagnostics(t *testing.T) {
	for _, c := range homeTests {
		t.Run(c.command+c.args["Host"], func(t *testing.T) {
			alike(t, func(e *eut, _ *home) any {
				out := e.completed(c.command, c.args)
				maps.DeleteFunc(out, func(name, _ string) bool {
					return slices.ContainsFunc(c.lack, func(end string) bool { return strings.HasSuffix(name, end) })
				})
				if len(out) < 2 && c.args["Host"] != "" {
					e.Errorf("outputs %v", out)
				}
				return []any{out, e.begun()}
			})
		})
	}
}

// begun is what the CPE was told to start a test, by the names and in the types that it has for it, but for the interface.
func (e *eut) begun() map[string]string {
	e.Helper()
	calls := e.w.cpe.Calls("SetParameterValues")
	for _, call := range slices.Backward(calls) {
		told := map[string]string{}
		for _, p := range call.Request.(*cwmp.SetParameterValues).ParameterList {
			if name := p.Name[strings.LastIndexByte(p.Name, '.')+1:]; name != "Interface" {
				told[name] = p.Type + " " + p.Value
			}
		}
		if _, ok := told["DiagnosticsState"]; ok {
			return told
		}
	}
	e.Fatal("no test was begun")
	return nil
}

// TestHomesDiagnosticsOfAnInterface: one test over an interface, with all that TR-098 has for it.
func TestHomesDiagnosticsOfAnInterface(t *testing.T) {
	for command, args := range map[string]map[string]string{
		"Device.IP.Diagnostics.TraceRoute()":           {"Host": "198.51.100.1", "ProtocolVersion": "Any", "NumberOfTries": "2"},
		"Device.IP.Diagnostics.DownloadDiagnostics()":  {"DownloadURL": "http://192.0.2.7/1M"},
		"Device.IP.Diagnostics.UploadDiagnostics()":    {"UploadURL": "http://192.0.2.7/up", "TestFileLength": "5"},
		"Device.DNS.Diagnostics.NSLookupDiagnostics()": {"HostName": "example.net", "Timeout": "900", "NumberOfRepetitions": "1"},
	} {
		t.Run(command, func(t *testing.T) {
			args["Interface"] = "Device.IP.Interface.10151"
			alike(t, func(e *eut, h *home) any {
				out := e.completed(command, args)
				if h.model == tr098 {
					const own = rootIGD + "WANDevice.1.WANConnectionDevice.1.WANPPPConnection.1"
					object := command[strings.LastIndexByte(command[:len(command)-2], '.')+1 : len(command)-2]
					if v := e.w.cpe.Value(rootIGD + strings.TrimSuffix(object, "Diagnostics") + "Diagnostics.Interface"); v != own {
						e.Errorf("the CPE was asked to use %q", v)
					}
				}
				return []any{out, e.begun()}
			}, device1)
		})
	}
}

// TestHomesDiagnosticsRefused: what the CPE cannot honour is said before anything is begun.
func TestHomesDiagnosticsRefused(t *testing.T) {
	alike(t, func(e *eut, _ *home) any {
		var codes []usp.ErrorCode
		n := e.written(func() {
			for command, args := range map[string]map[string]string{
				"Device.IP.Diagnostics.TraceRoute()":          {"ProtocolVersion": "Any"},
				"Device.IP.Diagnostics.IPPing()":              {"Host": "a", "ProtocolVersion": "IPv6"},
				"Device.IP.Diagnostics.DownloadDiagnostics()": {"DownloadURL": "http://192.0.2.7/1M", "DSCP": "64"},
				"Device.IP.Diagnostics.UploadDiagnostics()":   {"UploadURL": "http://192.0.2.7/", "TestFileLength": "1", "NumberOfConnections": "4"},
			} {
				codes = append(codes, usp.ErrorCode(e.operate(command, unique("refused"), args).GetCmdFailure().GetErrCode()))
			}
		})
		slices.Sort(codes)
		return []any{codes, n}
	})
}

// linesOf are two DSL lines with an ATM link each, as a home has them in its data model.
func linesOf(model string, tree *cpe.Tree) *cpe.Tree {
	for _, line := range []string{"2", "3"} {
		if model == device2 {
			tree = tree.WithObject("Device.DSL.Line."+line+".").With("Device.DSL.Line."+line+".Enable", "boolean", "true").
				WithObject("Device.ATM.Link."+line+"01.").With("Device.ATM.Link."+line+"01.Enable", "boolean", "true")
			continue
		}
		wan := rootIGD + "WANDevice." + line + "."
		test, loop := wan+"WANDSLDiagnostics.", wan+"WANConnectionDevice.1.WANATMF5LoopbackDiagnostics."
		tree = tree.WithObject(wan+"WANDSLInterfaceConfig.").With(wan+"WANDSLInterfaceConfig.Enable", "boolean", "true").
			WithObject(wan+"WANConnectionDevice.1.WANDSLLinkConfig.").With(wan+"WANConnectionDevice.1.WANDSLLinkConfig.Enable", "boolean", "true").
			WithObject(test).WithWritable(test+"LoopDiagnosticsState", "string", "None").With(test+"ACTPSDds", "int", "-40").With(test+"HLINpsds", "string", "1,2")
		tree = withLoop(tree.WithObject(loop), loop)
	}
	if model == device2 {
		const test, loop = "Device.DSL.Diagnostics.ADSLLineTest.", "Device.ATM.Diagnostics.F5Loopback."
		tree = tree.WithObject(test).WithWritable(test+"DiagnosticsState", "string", "None").WithWritable(test+"Interface", "string", "").
			With(test+"ACTPSDds", "int", "-40").With(test+"HLINpsds", "string", "1,2")
		tree = withLoop(tree.WithObject(loop).WithWritable(loop+"Interface", "string", ""), loop)
	}
	return tree
}

func withLoop(tree *cpe.Tree, loop string) *cpe.Tree {
	tree = tree.WithWritable(loop+"DiagnosticsState", "string", "None").WithWritable(loop+"NumberOfRepetitions", "unsignedInt", "1").WithWritable(loop+"Timeout", "unsignedInt", "1000")
	for _, name := range []string{"SuccessCount", "FailureCount", "AverageResponseTime", "MinimumResponseTime", "MaximumResponseTime"} {
		tree = tree.With(loop+name, "unsignedInt", "0")
	}
	return tree
}

// TestHomesDiagnosticsOfALine: TR-098 has a test in every WANDevice or WANConnectionDevice; the Interface says in which.
func TestHomesDiagnosticsOfALine(t *testing.T) {
	var want []map[string]string
	for _, h := range homes[:2] {
		t.Run(h.model, func(t *testing.T) {
			e := fresh(t, options{tree: linesOf(h.model, h.tree())})
			loop := map[string]string{"Interface": "Device.ATM.Link.301", "NumberOfRepetitions": "3", "Timeout": "800"}
			got := []map[string]string{e.completed("Device.DSL.Diagnostics.ADSLLineTest()", map[string]string{"Interface": "Device.DSL.Line.3"}),
				e.completed("Device.ATM.Diagnostics.F5Loopback()", loop), e.begun()}
			if want == nil {
				want = got
			}
			if d := diff.Diff(want, got); d != "" || len(got[0]) < 3 || got[1]["SuccessCount"] != "3" {
				e.Errorf("%v\n%s", got, d)
			}
			if h.model == device2 {
				return
			}
			for path, state := range map[string]string{"WANDevice.3.WANDSLDiagnostics.LoopDiagnosticsState": "Complete", "WANDevice.2.WANDSLDiagnostics.LoopDiagnosticsState": "None",
				"WANDevice.3.WANConnectionDevice.1.WANATMF5LoopbackDiagnostics.DiagnosticsState": "Complete",
				"WANDevice.2.WANConnectionDevice.1.WANATMF5LoopbackDiagnostics.DiagnosticsState": "None"} {
				if v := e.w.cpe.Value(rootIGD + path); v != state {
					e.Errorf("%s is %s, want %s", path, v, state)
				}
			}
			for _, over := range []string{"", "Device.DSL.Line.7", "Device.IP.Interface.1"} {
				if r := e.operate("Device.DSL.Diagnostics.ADSLLineTest()", unique("line"), map[string]string{"Interface": over}); r.GetCmdFailure() == nil {
					e.Errorf("a test over %q: %v", over, r)
				}
			}
		})
	}
}
