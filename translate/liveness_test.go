package translate

import (
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp/agent"
)

var (
	_ agent.Liveness = (*Device)(nil)
	_ agent.Securer  = (*Device)(nil)
)

const cpeObject = "Device.LocalAgent.X_ISTHMUS_CPE."

func TestRefreshMakesTheCacheStale(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = time.Hour })
	c, id := w.boot(nil)
	before := c.Value(ssid) // which the CPE is not told to report
	w.must(c.SetValue(ssid, "behind the proxy's back"))
	w.want(id, ssid, before)
	calls := len(c.Calls("GetParameterValues"))
	if r := w.operate(id, cpeObject+"Refresh()", ""); r.GetReqOutputArgs() == nil {
		t.Fatal(r)
	}
	if n := len(c.Calls("GetParameterValues")); n != calls {
		t.Error("Refresh() read what nobody has asked for")
	}
	w.want(id, ssid, "behind the proxy's back")
	w.stop()
	w.start()
	w.want(id, ssid, "behind the proxy's back")
}

func TestLivenessOfTheCPE(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	got, err := w.get(id, cpeObject)
	w.must(err)
	informed, err := time.Parse(time.RFC3339, got[cpeObject+"LastInform"])
	w.must(err)
	due, err := time.Parse(time.RFC3339, got[cpeObject+"NextInformDue"])
	w.must(err)
	if time.Since(informed) > time.Minute || !due.After(informed) || got[cpeObject+"Reachable"] != "true" || got[cpeObject+"QueueLength"] != "0" {
		t.Fatal(got)
	}

	c.SetFaults(cpe.Faults{SetFault: map[string]cwmp.FaultCode{"Device.DeviceInfo.ProvisioningCode": cwmp.FaultRequestDenied}})
	if _, err := w.set(id, "Device.DeviceInfo.", map[string]string{"ProvisioningCode": "x"}); err == nil {
		t.Fatal("the CPE did not refuse")
	}
	got, err = w.get(id, cpeObject+"LastFault")
	w.must(err)
	if f := got[cpeObject+"LastFault"]; !strings.Contains(f, "SetParameterValues: 9003 ") {
		t.Error(f)
	}

	w.must(c.WaitIdle(w.in(deadline)))
	c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop})
	if _, err := w.set(id, "Device.DeviceInfo.", map[string]string{"ProvisioningCode": "x"}); code(err) != 7800 {
		t.Fatal(err)
	}
	w.want(id, cpeObject+"Reachable", "false")
	w.want(id, cpeObject+"InSession", "false")
}
