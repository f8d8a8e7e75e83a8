//go:build unix

package main

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
)

// The line "RPC" of the matrix: what CPE answer to what they are asked. A Controller reads all that can be read, and hears what was done.
func TestFaultsRPC(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	faulted := func(rpc string) string { return `cwmp_rpc_duration_seconds_count{outcome="fault",rpc="` + rpc + `"}` }
	const table = "Device.NAT.PortMapping."
	b.each(t, []fault{
		{"9005 on one of many names (R10, R12)", faulted("GetParameterValues"), func(t *testing.T, b *bed) {
			const phantom = "Device.WiFi.SSID.2.Status"
			d, p := b.boot(t, refusing(func(names []string) bool { return slices.Contains(names, phantom) }, cwmp.FaultInvalidParameterName))
			manages(t, d, p)
			p.has(t, get("Device.WiFi.SSID."), mutated+" = "+d.Value(mutated), "Device.WiFi.SSID.1.Status = Up")
		}},
		{"9004 above 4 names (R9)", faulted("GetParameterValues"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Faults.MaxGPV = 4 })
			manages(t, d, p)
		}},
		{"9002 above 1 name (R9)", faulted("GetParameterValues"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, refusing(func(names []string) bool { return len(names) > 1 }, cwmp.FaultInternalError))
			manages(t, d, p)
		}},
		{"no whole tree, no partial paths (R2, R8)", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Faults.NoGPNDeep, cfg.Faults.NoGPVPartial = true, true })
			manages(t, d, p)
		}},
		{"more, other and the same values (R11)", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) {
				cfg.Faults.Answer = func(_, response cwmp.RPC) cwmp.RPC {
					if r, ok := response.(*cwmp.GetParameterValuesResponse); ok {
						list := append(slices.Clone(r.ParameterList), r.ParameterList...)
						slices.Reverse(list)
						return &cwmp.GetParameterValuesResponse{ParameterList: append(list, cwmp.ParameterValueStruct{Name: "Device..Not.Asked.", Value: "x"})}
					}
					return response
				}
			})
			manages(t, d, p)
		}},
		{"SPV partial application (R14)", faulted("SetParameterValues"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			d.SetFaults(answering("SetParameterValues", &cwmp.Fault{Code: cwmp.FaultInvalidArguments, Params: []cwmp.ParameterFault{
				{Name: "Device.WiFi.SSID.1.Enable", Code: cwmp.FaultInvalidParameterValue, String: "no"}}}))
			if lines, err := p.try(set("Device.WiFi.SSID.1.", "SSID", "half")); err == nil {
				t.Errorf("the Controller was told %q", lines)
			}
			p.has(t, get(ssid), ssid+" = half")
		}},
		{"SPV refused by all codes", faulted("SetParameterValues"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			for code := cwmp.FaultCode(8999); code < 9035; code++ {
				d.SetFaults(cpe.Faults{RPCFault: map[string]cwmp.FaultCode{"SetParameterValues": code}})
				if lines, err := p.try(set("Device.WiFi.SSID.1.", "SSID", "no")); err == nil {
					t.Errorf("of fault %d the Controller was told %q", code, lines)
				}
			}
			d.SetFaults(cpe.Faults{})
			manages(t, d, p)
		}},
		{"Status 1 (R15)", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Faults.StatusOne = true })
			manages(t, d, p)
		}},
		{"AddObject delayed instance (R20)", faulted("GetParameterValues"), func(t *testing.T, b *bed) {
			var late atomic.Int32
			const row = table + "2."
			d, p := b.boot(t, func(cfg *cpe.Config) {
				cfg.Faults.Answer = func(req, response cwmp.RPC) cwmp.RPC {
					if r, ok := req.(*cwmp.GetParameterValues); ok && strings.HasPrefix(r.ParameterNames[0], row) && late.Add(-1) >= 0 {
						return cwmp.NewFault(cwmp.FaultInvalidParameterName)
					}
					return response
				}
			})
			late.Store(2)
			if lines, err := p.try(add(table, "ExternalPort", "4711")); err == nil && !d.Exists(row) {
				t.Errorf("the Controller was told %q", lines)
			}
			late.Store(0)
			b.sameRows(t, d, p, table)
		}},
		{"AddObject with an answer to another question (R20, S20)", `cwmp_sessions_total{outcome="unexpected_answer"}`, func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			d.SetFaults(answering("AddObject", &cwmp.DeleteObjectResponse{}))
			if lines, err := p.try(add(table, "ExternalPort", "4711")); err == nil {
				t.Errorf("the Controller was told %q", lines)
			}
			d.SetFaults(cpe.Faults{})
			d.Inform(cwmp.EventPeriodic) // half a row is deleted as soon as the CPE comes
			if _, err := d.WaitCall(p.ctx, "DeleteObject", 1); err != nil {
				t.Error("the row that nobody knows of stays: ", err)
			}
			b.sameRows(t, d, p, table)
		}},
		{"AddObject refused", faulted("AddObject"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) {
				cfg.Faults.RPCFault = map[string]cwmp.FaultCode{"AddObject": cwmp.FaultResourcesExceeded}
			})
			p.refused(t, add(table, "ExternalPort", "4711"), usp.ResourcesExceeded)
			b.sameRows(t, d, p, table)
		}},
		{"DeleteObject refused (R21)", faulted("DeleteObject"), func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) {
				cfg.Faults.RPCFault = map[string]cwmp.FaultCode{"DeleteObject": cwmp.FaultRequestDenied}
			})
			if _, err := p.try(remove(table + "1.")); err == nil || !d.Exists(table+"1.") {
				t.Errorf("%v, and the row exists: %v", err, d.Exists(table+"1."))
			}
			b.sameRows(t, d, p, table)
		}},
		{"renumbering (R21)", sessionsOK, func(t *testing.T, b *bed) {
			var renumbered atomic.Bool // the simulated CPE's row 2 is row 1 of the one that is played
			d, p := b.boot(t, func(cfg *cpe.Config) {
				cfg.Faults.Answer = func(req, response cwmp.RPC) cwmp.RPC {
					if _, ok := req.(*cwmp.DeleteObject); ok {
						renumbered.Store(true)
					}
					if !renumbered.Load() {
						return response
					}
					return renumber(response, table+"2.", table+"1.")
				}
			})
			p.do(t, add(table, "ExternalPort", "4711"))
			p.do(t, remove(table+"1."))
			d.Inform(cwmp.EventBoot) // whatever it has lists is old from here
			if err := d.WaitIdle(p.ctx); err != nil {
				t.Fatal(err)
			}
			p.same(t, instances(table), table+"1.")
		}},
		{"nothing but GetRPCMethods is known", faulted("GetParameterNames"), func(t *testing.T, b *bed) {
			_, p := b.boot(t, func(cfg *cpe.Config) {
				cfg.Faults.RPCFault = map[string]cwmp.FaultCode{"GetParameterNames": cwmp.FaultMethodNotSupported, "GetParameterValues": cwmp.FaultMethodNotSupported}
			})
			p.has(t, get("Device.LocalAgent.EndpointID"), "Device.LocalAgent.EndpointID = "+string(p.agent.EndpointID()))
			p.refused(t, get(live), usp.Unreachable)
		}},
		{"9002 to everything after the boot (S17)", faulted("GetParameterNames"), func(t *testing.T, b *bed) {
			all := map[string]cwmp.FaultCode{}
			for _, rpc := range []string{"GetRPCMethods", "GetParameterNames", "GetParameterValues"} {
				all[rpc] = cwmp.FaultInternalError
			}
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Faults.RPCFault = all })
			d.SetFaults(cpe.Faults{})
			d.Inform(cwmp.EventPeriodic)
			if err := d.WaitIdle(p.ctx); err != nil {
				t.Fatal(err)
			}
			manages(t, d, p)
		}},
		{"the other root", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, func(cfg *cpe.Config) { cfg.Tree = cpe.IGD() })
			manages(t, d, p)
		}},
		{"both roots in one Inform (R24)", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, garbled(in("Inform", func(s string) string {
				return strings.Replace(s, "</ParameterList>", "<ParameterValueStruct><Name>InternetGatewayDevice.DeviceSummary</Name><Value>x</Value>"+
					"</ParameterValueStruct></ParameterList>", 1)
			})))
			manages(t, d, p)
		}},
		{"the other root after an upgrade (R24)", sessionsOK, func(t *testing.T, b *bed) {
			d, p := b.boot(t, nil)
			manages(t, d, p)
			id, ends := strings.TrimPrefix(string(p.agent.EndpointID()), "ops::00D09E-Gateway-"), b.count(t, sessionsOK)
			legacy, _ := b.boot(t, func(cfg *cpe.Config) { cfg.Tree, cfg.DeviceID = cpe.IGD(), numbered(id) })
			b.above(t, sessionsOK, ends)
			p.has(t, get("Device.DeviceInfo.SerialNumber"), "Device.DeviceInfo.SerialNumber = "+legacy.Value("InternetGatewayDevice.DeviceInfo.SerialNumber"))
		}},
	})
}

// refusing has a CPE answer a GetParameterValues of such names with a fault.
func refusing(these func(names []string) bool, code cwmp.FaultCode) func(*cpe.Config) {
	return func(cfg *cpe.Config) {
		cfg.Faults.Answer = func(req, response cwmp.RPC) cwmp.RPC {
			if r, ok := req.(*cwmp.GetParameterValues); ok && these(r.ParameterNames) {
				return cwmp.NewFault(code)
			}
			return response
		}
	}
}

// renumber is an answer in which a row has another number.
func renumber(response cwmp.RPC, from, to string) cwmp.RPC {
	switch r := response.(type) {
	case *cwmp.GetParameterNamesResponse:
		list := slices.Clone(r.ParameterList)
		for i := range list {
			list[i].Name = strings.Replace(list[i].Name, from, to, 1)
		}
		return &cwmp.GetParameterNamesResponse{ParameterList: list}
	case *cwmp.GetParameterValuesResponse:
		list := slices.Clone(r.ParameterList)
		for i := range list {
			list[i].Name = strings.Replace(list[i].Name, from, to, 1)
		}
		return &cwmp.GetParameterValuesResponse{ParameterList: list}
	}
	return response
}

// sameRows fails the test unless the Controller sees the rows that the CPE has.
func (b *bed) sameRows(t *testing.T, d *cpe.CPE, p *peer, table string) {
	t.Helper()
	if err := d.WaitIdle(p.ctx); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, row := range []string{"1.", "2.", "3."} {
		if d.Exists(table + row) {
			want = append(want, table+row)
		}
	}
	p.same(t, instances(table), want...)
}
