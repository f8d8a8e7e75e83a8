package agent

import (
	"context"
	"testing"
	"time"

	"isthmus/usp"
)

type lively struct {
	*tree
	info      LivenessInfo
	refreshed int
	fail      error
}

func (l *lively) Liveness() LivenessInfo        { return l.info }
func (l *lively) Refresh(context.Context) error { l.refreshed++; return l.fail }

func TestLiveness(t *testing.T) {
	l := &lively{info: LivenessInfo{LastInform: time.Unix(1e9, 0), NextInformDue: time.Unix(1e9+300, 0), Reachable: true, QueueLength: 3,
		LastRead: time.Now().Add(-90 * time.Second), LastFault: "9005"}}
	r := &rig{t: t, tree: newTree(), keep: &kept{}, over: func(tr *tree) DataModel { l.tree = tr; return l },
		controllers: []ControllerConfig{{EndpointID: ctl1, OnlyDialsIn: true}}}
	r.start()
	r.connect()
	const o = cpeObject
	equal(t, r.get(o + "CacheAge")[:len(o+"CacheAge=9")], o+"CacheAge=9")
	l.info.LastRead = time.Time{}
	equal(t, r.get(o), o+"CacheAge=0\n"+o+"InSession=false\n"+o+"LastFault=9005\n"+o+"LastInform=2001-09-09T01:46:40Z\n"+
		o+"NextInformDue=2001-09-09T01:51:40Z\n"+o+"QueueLength=3\n"+o+"Reachable=true")
	wantError(t, r.ask(setOf(o+"Reachable", "true")), 7004, o+"Reachable 7013")
	equal(t, r.operated(operateReq(o+refreshCommand, "", true))[0], "ok")
	equal(t, l.refreshed, 1)
	l.fail = usp.Errorf(usp.Unreachable, "no")
	equal(t, r.operated(operateReq(o+refreshCommand, "", true))[0], "7800")
	r.stop()

	r = newRig(t) // whose DataModel knows nothing of it
	equal(t, r.get(o+"LastInform"), o+"LastInform="+unknownTime)
	equal(t, r.operated(operateReq(o+refreshCommand, "", true))[0], "7022")
}
