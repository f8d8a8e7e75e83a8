package agent

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"isthmus/usp"
	"isthmus/usp/profile"
)

// gated is a tree whose device answers when the gate is open, whatever becomes of the request.
type gated struct {
	*tree
	gate chan struct{} // nil: open
}

func (g *gated) wait() {
	if g.gate != nil {
		<-g.gate
	}
}

func (g *gated) Read(ctx context.Context, queries []Query) []Reading {
	g.wait()
	return g.tree.Read(ctx, queries)
}

func (g *gated) Set(ctx context.Context, writes []Write) ([]Write, error) {
	g.wait()
	return g.tree.Set(ctx, writes)
}

// humoured runs an Agent whose first Controller has a Profile, and is not connected yet, in a bubble.
func humoured(t *testing.T, p *profile.Profile, test func(r *rig, g *gated)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, tree: newTree(), keep: &kept{}, controllers: []ControllerConfig{
			{EndpointID: ctl1, MTP: MTPConfig{Host: "h", Port: 80, Path: "/"}, Profile: p}, {EndpointID: ctl2, OnlyDialsIn: true}}}
		g := &gated{}
		r.over = func(t *tree) DataModel { g.tree = t; return g }
		r.start()
		defer func() { r.stop() }()
		test(r, g)
	})
}

// up brings a channel up, over which the Controller says nothing.
func (r *rig) appear() {
	r.w = newWire(ctl1)
	r.a.Up(r.w)
	synctest.Wait()
}

func (r *rig) boots() {
	r.t.Helper()
	if err := r.a.Boot(context.Background(), BootInfo{Cause: "LocalReboot"}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) subscribesTo(event string, retry string) {
	r.t.Helper()
	r.added(obj{subscriptionTable, []param{req("ID", "s"), req("NotifType", "Event"), req("ReferenceList", event), req("Enable", "true"),
		req("Persistent", "true"), req("NotifRetry", retry)}})
}

func TestNoConnectRecord(t *testing.T) {
	humoured(t, &profile.Profile{NoConnect: true}, func(r *rig, g *gated) {
		r.appear()
		r.silence()
		r.stop()
		r.silence() // no Disconnect Record either
	})
}

func TestGapBetweenRecords(t *testing.T) {
	humoured(t, &profile.Profile{Gap: time.Second}, func(r *rig, g *gated) {
		r.appear()
		start := time.Now()
		for i := range 5 {
			if i > 0 {
				r.send(ctl1, usp.NewRequest(r.id(), getReq("Device.LocalAgent.EndpointID")))
			}
		}
		for i := range 5 {
			r.next()
			if got := time.Since(start); got != time.Duration(i+1)*time.Second {
				t.Fatalf("Record %d left after %v", i, got)
			}
		}
	})
}

func TestNotificationsWaitForTheFirstGet(t *testing.T) {
	humoured(t, &profile.Profile{NoConnect: true, Hold: time.Minute}, func(r *rig, g *gated) {
		r.appear()
		r.subscribesTo("Device.Boot!", "false")
		r.boots()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		r.silence()
		r.get("Device.LocalAgent.EndpointID")
		if e := r.notify().GetBody().GetRequest().GetNotify().GetEvent(); e.GetEventName() != "Boot!" {
			t.Fatal(e)
		}

		// What is raised while a request is worked on does not overtake its response.
		g.gate = make(chan struct{})
		r.send(ctl1, usp.NewRequest("slow", getReq("Device.DeviceInfo.SerialNumber")))
		synctest.Wait()
		r.boots()
		r.silence()
		close(g.gate)
		equal(t, decode(t, r.next()).GetHeader().GetMsgId(), "slow")
		r.notify()

		// Without a Get they leave after the longest time.
		r.a.Down(r.w, nil)
		r.appear()
		up := time.Now()
		r.boots()
		r.silence()
		r.notify()
		equal(t, time.Since(up), time.Minute)
	})
}

func TestMuteControllerIsConnectedAnew(t *testing.T) {
	humoured(t, &profile.Profile{NoConnect: true, Mute: 10 * time.Second}, func(r *rig, g *gated) {
		r.appear()
		time.Sleep(9 * time.Second)
		r.get("Device.LocalAgent.EndpointID")
		time.Sleep(time.Hour)
		equal(t, len(r.w.closed), 0)
		r.a.Down(r.w, nil)
		r.appear()
		start := time.Now()
		<-r.w.closed
		equal(t, time.Since(start), 10*time.Second)
		time.Sleep(time.Hour) // it is closed once, however long that takes
		equal(t, len(r.w.closed), 0)
	})
}

func TestNotificationsAreNotRepeated(t *testing.T) {
	for _, c := range []struct {
		once profile.Notifications
		want int
	}{{profile.None, 2}, {profile.Boots, 1}, {profile.All, 1}} {
		humoured(t, &profile.Profile{NoConnect: true, Once: c.once}, func(r *rig, g *gated) {
			r.appear()
			r.subscribesTo("Device.Boot!", "true")
			r.boots()
			time.Sleep(12 * time.Second)
			synctest.Wait()
			if len(r.w.out) < c.want || c.want == 1 && len(r.w.out) > 1 {
				t.Errorf("Once %v: Boot! was sent %d times", c.once, len(r.w.out))
			}
		})
	}
	humoured(t, &profile.Profile{NoConnect: true, Once: profile.Boots}, func(r *rig, g *gated) {
		r.appear()
		if err := r.a.OnBoard(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if len(r.w.out) < 2 {
			t.Errorf("OnBoardRequest was sent %d times", len(r.w.out))
		}
	})
}

func TestDeadline(t *testing.T) {
	humoured(t, &profile.Profile{NoConnect: true, Deadline: 9 * time.Second}, func(r *rig, g *gated) {
		r.appear()
		g.gate = make(chan struct{})
		start := time.Now()
		r.send(ctl1, usp.NewRequest("read", getReq("Device.DeviceInfo.SerialNumber")))
		r.send(ctl1, usp.NewRequest("write", setReq(false, obj{"Device.DeviceInfo.", []param{req("ProvisioningCode", "x")}})))
		got := map[string]uint32{}
		for range 2 {
			m := decode(t, r.next())
			got[m.GetHeader().GetMsgId()] = m.GetBody().GetError().GetErrCode()
			equal(t, time.Since(start), 9*time.Second)
		}
		if got["read"] != uint32(usp.Unreachable) || got["write"] != uint32(usp.OutcomeUnknown) {
			t.Errorf("got %v", got)
		}
		close(g.gate)
		synctest.Wait()
		r.silence() // what came late is dropped
		r.get("Device.DeviceInfo.SerialNumber")
	})
}

func TestResponseCap(t *testing.T) {
	humoured(t, &profile.Profile{NoConnect: true, MaxResponse: 2000}, func(r *rig, g *gated) {
		r.appear()
		r.get("Device.LocalAgent.EndpointID")
		wantError(t, r.ask(getReq("Device.LocalAgent.")), usp.ResourcesExceeded)
	})
}

func TestIdentityIsAlwaysComplete(t *testing.T) {
	always := []string{"Device.DeviceInfo.SerialNumber", "Device.DeviceInfo.Manufacturer"}
	humoured(t, &profile.Profile{NoConnect: true, Always: always}, func(r *rig, g *gated) {
		r.appear()
		res := r.ask(getReq("Device.DeviceInfo.Manufacturer", "Device.DeviceInfo.Other", "Device.DeviceInfo.SerialNumber")).GetResponse().GetGetResp().GetReqPathResults()
		var got []string
		for _, one := range res {
			got = append(got, flat(one))
		}
		if len(got) != 3 || got[0] != "Device.DeviceInfo.Manufacturer=" || got[1] != "7026" || !strings.HasPrefix(got[2], "Device.DeviceInfo.SerialNumber=") || len(got[2]) == len("Device.DeviceInfo.SerialNumber=") {
			t.Errorf("got %q", got)
		}
	})
	x := &exchange{always: always}
	resp, err := x.complete(always, nil, errTooLate)
	if err != nil || len(resp.GetReqPathResults()) != 2 || flat(resp.GetReqPathResults()[1]) != "Device.DeviceInfo.Manufacturer=" {
		t.Errorf("got %v, %v", resp, err)
	}
	if _, err := x.complete(append(always, "Device.DeviceInfo.Other"), nil, errTooLate); err == nil {
		t.Error("a Get of something else has no error")
	}
}

// What OpenUSP does to the ParameterMap of Boot!, with the index that ends it.
func splitMap(s string) map[string]string {
	out := map[string]string{}
	for _, pair := range strings.Split(strings.ReplaceAll(strings.Trim(s, "{}"), `"`, ""), ",") {
		t := strings.Split(pair, ":")
		out[t[0]] = t[1]
	}
	return out
}

func TestPlainMap(t *testing.T) {
	for _, found := range []map[string]string{nil, {"Device.A": ""}, {"Device.A": `1,2:"{}",\`, "Device.B": "x:y", "Device.C": "a, b"}} {
		s, err := plainMap("os::0A0B0C-SN1", found)
		if err != nil {
			t.Fatal(err)
		}
		back := map[string]string{}
		if err := json.Unmarshal([]byte(s), &back); err != nil || len(back) != max(len(found), 1) {
			t.Fatalf("%s: %v", s, err)
		}
		for k, v := range found {
			equal(t, back[k], v)
		}
		equal(t, len(splitMap(s)), len(back))
	}
}

func TestPlainBoot(t *testing.T) {
	for _, p := range []*profile.Profile{profile.Find("openusp"), nil} {
		humoured(t, p, func(r *rig, g *gated) {
			r.connect()
			r.subscribesTo("Device.Boot!", "false")
			r.boots()
			s := r.notify().GetBody().GetRequest().GetNotify().GetEvent().GetParams()["ParameterMap"]
			if p != nil {
				splitMap(s)
			} else {
				equal(t, s, "{}")
			}
		})
	}
}
