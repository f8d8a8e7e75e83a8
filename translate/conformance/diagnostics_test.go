package conformance_test

import (
	"testing"
)

const traceCommand = "Device.IP.Diagnostics.TraceRoute()"

// TestTP469_1_92_DefaultArguments: what the Controller does not give is the CPE's to choose. The model has no number for it; the CPE's own are the ones that
// the plan expects, and they are not touched.
func TestTP469_1_92_DefaultArguments(t *testing.T) {
	e := fresh(t, options{})
	e.subscribe("notify92", "OperationComplete", traceCommand)
	r := e.operate(traceCommand, "test92", map[string]string{"Host": "192.0.2.1", "ProtocolVersion": "Any"})
	if r.GetExecutedCommand() != traceCommand || r.GetReqObjPath() == "" {
		e.Fatalf("%v", r)
	}
	n := e.notified("notify92").GetOperComplete()
	if n.GetCommandKey() != "test92" || n.GetReqOutputArgs().GetOutputArgs()["Status"] != "Complete" {
		e.Errorf("%v", n)
	}
	const object = "Device.IP.Diagnostics.TraceRoute."
	for name, want := range map[string]string{"Host": "192.0.2.1", "ProtocolVersion": "Any", "NumberOfTries": "3", "Timeout": "5000"} {
		if got := e.w.cpe.Value(object + name); got != want {
			e.Errorf("the CPE tests with %s %q, want %q", name, got, want)
		}
	}
}
