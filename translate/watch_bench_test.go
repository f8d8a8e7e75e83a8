package translate

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	subscribedAgents      = 1000
	subscriptionsPerAgent = 10
)

// BenchmarkInformSubscribed measures what a session of nothing but an Inform without changes costs a proxy of 1,000 Agents with 10,000 Subscriptions, against
// one without, in turns of two server processes: its CPU and allocations alone. No subscription record may be read for it.
func BenchmarkInformSubscribed(b *testing.B) {
	const turns, sessions = 8, 2000
	run := func(s *benchServer, n int) {
		load := cpe.SessionLoad{ACS: s.url, Sessions: n, Devices: subscribedAgents, Concurrency: 4, Events: []string{cwmp.EventPeriodic}}
		if st, err := load.Run(b.Context()); err != nil {
			b.Fatalf("%d sessions failed: %v", st.Failures, err)
		}
	}
	for range b.N {
		names := [2]string{"without", "subscribed"}
		var servers [2]*benchServer
		var cpu, mallocs, reads [2]int64
		for i := range servers {
			servers[i] = startServer(b, "counted")
			run(servers[i], subscribedAgents)
			if i == 1 {
				if n := servers[i].ask(b, "subscribe"); n != subscribedAgents*subscriptionsPerAgent {
					b.Fatalf("%d Subscriptions", n)
				}
			}
			run(servers[i], 2*subscribedAgents) // the CPE are told what to report
		}
		for range turns {
			for i, s := range servers {
				c, m, r := s.ask(b, "cpu"), s.ask(b, "mallocs"), s.ask(b, "reads")
				run(s, sessions)
				cpu[i], mallocs[i], reads[i] = cpu[i]+s.ask(b, "cpu")-c, mallocs[i]+s.ask(b, "mallocs")-m, reads[i]+s.ask(b, "reads")-r
			}
		}
		for i, name := range names {
			b.ReportMetric(float64(cpu[i])/turns/sessions, name+"-cpu-ns/session")
			b.ReportMetric(float64(mallocs[i])/turns/sessions, name+"-allocs/session")
		}
		b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "cpu-ratio")
		if reads[1] > 0 {
			b.Errorf("%d reads of subscription records", reads[1])
		}
	}
}

// counted counts the reads of Agents' rows.
type counted struct {
	store.Store
	reads atomic.Int64
}

func (s *counted) Get(ctx context.Context, key store.Key) ([]byte, error) {
	if key.Kind == store.Row {
		s.reads.Add(1)
	}
	return s.Store.Get(ctx, key)
}

func (s *counted) List(ctx context.Context, device string, kind store.Kind) iter.Seq2[store.Item, error] {
	if kind == store.Row {
		s.reads.Add(1)
	}
	return s.Store.List(ctx, device, kind)
}

// subscribeFleet makes Subscriptions at every Agent, each to another parameter, and gives their number.
func subscribeFleet(p *Proxy) (n int64, err error) {
	refs := []string{"Device.Time.Enable", "Device.Time.Status", "Device.Time.NTPServer1"}
	for len(refs) < subscriptionsPerAgent {
		refs = append(refs, fmt.Sprintf("Device.WiFi.SSID.%d.%s", len(refs)%2+1, []string{"SSID", "Enable", "Status", "Alias"}[len(refs)/2%4]))
	}
	for _, d := range p.all() {
		var add usppb.Add
		for i, ref := range refs {
			add.CreateObjs = append(add.CreateObjs, &usppb.Add_CreateObject{ObjPath: "Device.LocalAgent.Subscription.",
				ParamSettings: []*usppb.Add_CreateParamSetting{{Param: "ID", Value: fmt.Sprint(i), Required: true}, {Param: "Enable", Value: "true", Required: true},
					{Param: "NotifType", Value: "ValueChange", Required: true}, {Param: "ReferenceList", Value: ref, Required: true}}})
		}
		resp, _ := p.Do(context.Background(), d.id, testController, usp.NewRequest("add", &usppb.Request{ReqType: &usppb.Request_Add{Add: &add}}))
		if e := resp.GetBody().GetError(); e != nil {
			return n, usp.ErrorFrom(e)
		}
		n += int64(len(resp.GetBody().GetResponse().GetAddResp().GetCreatedObjResults()))
	}
	return n, nil
}
