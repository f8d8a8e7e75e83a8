package translate

import (
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/usp/usppb"
)

// A transfer of the CPE's own becomes TransferComplete!, once however often the CPE tells of it, and by each Controller's policy.
func TestAutonomousTransferComplete(t *testing.T) {
	w := newWorld(t, nil)
	c, id := w.boot(nil)
	w.subscribe(id, "transfers", "Event", "Device.LocalAgent.TransferComplete!", nil)
	const policy = "Device.LocalAgent.Controller.1.TransferCompletePolicy."
	w.want(id, policy+"ResultTypeFilter", "Both")
	if _, err := w.set(id, policy, map[string]string{"ResultTypeFilter": "Failure"}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	fine := &cwmp.AutonomousTransferComplete{TransferURL: "http://files.example/a", IsDownload: true, StartTime: at, CompleteTime: at.Add(time.Minute)}
	broken := *fine
	broken.FaultStruct = cwmp.FaultStruct{FaultCode: 9010, FaultString: strings.Repeat("é", 400)}
	last := broken
	last.TransferURL = "http://files.example/b"
	for _, m := range []*cwmp.AutonomousTransferComplete{fine, &broken, &broken, &last} {
		sessions := c.Sessions()
		c.Send(m, cwmp.EventAutonomousTransferComplete)
		w.must(c.WaitSessions(w.in(deadline), sessions+1))
		w.must(c.WaitIdle(w.in(deadline)))
	}
	told := func(n *usppb.Notify) bool { return n.GetEvent().GetEventName() == "TransferComplete!" }
	args := w.notified(1, told).GetEvent().GetParams()
	for name, want := range map[string]string{"Command": "", "Requestor": "", "TransferType": "Download", "TransferURL": "http://files.example/a",
		"StartTime": "2026-11-23T03:00:00Z", "CompleteTime": "2026-11-23T03:01:00Z", "FaultCode": "7022"} {
		if got, ok := args[name]; !ok || got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if s := args["FaultString"]; !strings.HasPrefix(s, "CWMP fault 9010 é") || len([]rune(s)) != maxFaultString {
		t.Errorf("FaultString %q", s)
	}
	// A success that is not wanted, or the repetition, would have come before.
	if url := w.notified(2, told).GetEvent().GetParams()["TransferURL"]; url != last.TransferURL {
		t.Errorf("the second notification is of %s", url)
	}
}
