package agent

import (
	"context"
	"time"

	"isthmus/usp"
)

const (
	// cpeObject is about the CPE behind the Agent.
	cpeObject      = ownRoot + "X_ISTHMUS_CPE."
	refreshCommand = "Refresh()"
)

// Liveness is a DataModel that knows how the CPE behind it is doing: Device.LocalAgent.X_ISTHMUS_CPE.
type Liveness interface {
	// Liveness answers at once, from memory.
	Liveness() LivenessInfo
	// Refresh makes all cached values stale: whoever reads next has the CPE asked. That holds over a restart of the process.
	Refresh(ctx context.Context) error
}

// LivenessInfo is how the CPE behind an Agent is doing. A zero time is not known.
type LivenessInfo struct {
	LastInform    time.Time
	NextInformDue time.Time
	Reachable     bool      // it is in a session, or informs when it should and answered the last Connection Request
	InSession     bool      // a CWMP session is open
	QueueLength   int       // requests that wait for a session
	LastRead      time.Time // when the CPE was last heard of a value, in an Inform or an answer; CacheAge counts from it
	LastFault     string    // what it last refused: when, the RPC, and the code with the CPE's text; "" for nothing
}

// live makes a parameter of cpeObject.
func live(name string, typ ValueType, get func(i *LivenessInfo, now time.Time) string) column {
	return quiet(computed(name, typ, func(v *view, _ string) string {
		if v.live == nil {
			v.live = &LivenessInfo{}
			if l, ok := v.agent.device.(Liveness); ok {
				*v.live = l.Liveness()
			}
		}
		return get(v.live, v.now)
	}))
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return unknownTime
	}
	return t.UTC().Format(time.RFC3339)
}

func liveColumns() []column {
	return []column{
		live("LastInform", TypeDateTime, func(i *LivenessInfo, _ time.Time) string { return formatTime(i.LastInform) }),
		live("NextInformDue", TypeDateTime, func(i *LivenessInfo, _ time.Time) string { return formatTime(i.NextInformDue) }),
		live("Reachable", TypeBoolean, func(i *LivenessInfo, _ time.Time) string { return formatBool(i.Reachable) }),
		live("InSession", TypeBoolean, func(i *LivenessInfo, _ time.Time) string { return formatBool(i.InSession) }),
		live("QueueLength", TypeUnsignedInt, func(i *LivenessInfo, _ time.Time) string { return itoa(i.QueueLength) }),
		live("CacheAge", TypeUnsignedInt, func(i *LivenessInfo, now time.Time) string {
			if i.LastRead.IsZero() {
				return "0"
			}
			return itoa(int64(max(0, now.Sub(i.LastRead)) / time.Second))
		}),
		live("LastFault", TypeString, func(i *LivenessInfo, _ time.Time) string { return usp.ValidUTF8(i.LastFault) }),
	}
}

// refresh runs Refresh().
func (a *Agent) refresh(ctx context.Context) error {
	l, ok := a.device.(Liveness)
	if !ok {
		return usp.Errorf(usp.CommandFailure, "there is nothing to read anew")
	}
	return l.Refresh(ctx)
}
