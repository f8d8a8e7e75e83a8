package agent

import (
	"context"
	"slices"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

const (
	resetCommand = "Reset()"
	// keepAlive is the interval of Pings, in seconds, unless a Controller's MTP row has another.
	keepAlive = "30"
	// maxMTPs bounds the MTP rows of a Controller; each has another Protocol.
	maxMTPs = 4
)

// webSocketColumns say how a Controller is dialled.
func webSocketColumns() []column {
	return []column{
		text("Host", "", 256),
		number("Port", "443", 1, 65535),
		text("Path", "", 0),
		enabled("EnableEncryption"),
		number("KeepAliveInterval", keepAlive, 1, maxUint32),
		quiet(computed("CurrentRetryCount", TypeUnsignedInt, func(v *view, path string) string {
			d := v.agent.fleet.opts.Dialer
			if d == nil {
				return "0"
			}
			return itoa(d.State(v.agent.id.ID, usp.EndpointID(v.rows.values[controllerOf(path)]["EndpointID"])).Failures)
		})),
		number("SessionRetryMinimumWaitInterval", "5", 1, 65535),
		number("SessionRetryIntervalMultiplier", "2000", 1000, 65535),
	}
}

// controllerOf gives the Controller's row that a path is in, "" if it is in none.
func controllerOf(path string) string {
	rest, ok := strings.CutPrefix(path, controllerTable)
	n, _, _ := strings.Cut(rest, ".")
	if !ok || n == "" {
		return ""
	}
	return controllerTable + n + "."
}

// mtpOf gives the row of a Controller's MTP that a path is in, "" if it is in none.
func mtpOf(path string) string {
	rest, ok := strings.CutPrefix(path, controllerOf(path)+"MTP.")
	n, _, _ := strings.Cut(rest, ".")
	if !ok || n == "" || controllerOf(path) == "" {
		return ""
	}
	return controllerOf(path) + "MTP." + n + "."
}

// target is what an MTP row says.
func (rs *rowSet) target(row string) mtp.Target {
	to := mtp.Target{Controller: usp.EndpointID(rs.get(controllerOf(row), "EndpointID")), Protocol: rs.get(row, "Protocol")}
	if to.Protocol == mqttMTP {
		return rs.mqttTarget(row, to)
	}
	if to.Protocol == stompMTP {
		return rs.stompTarget(row, to)
	}
	ws := row + "WebSocket."
	return mtp.Target{
		Controller: to.Controller, Protocol: to.Protocol,
		Host: rs.get(ws, "Host"), Port: int(rs.number(ws, "Port")), Path: rs.get(ws, "Path"), Encrypted: rs.is(ws, "EnableEncryption"),
		KeepAlive: time.Duration(rs.number(ws, "KeepAliveInterval")) * time.Second,
		Retry: usp.Retry{Minimum: time.Duration(rs.number(ws, "SessionRetryMinimumWaitInterval")) * time.Second,
			Multiplier: uint32(rs.number(ws, "SessionRetryIntervalMultiplier"))},
	}
}

// targets are whom the tables have the Agent dial: every Controller that is enabled, by the first of its MTPs that is and that names a host.
func (rs *rowSet) targets() []mtp.Target {
	var out []mtp.Target
	for _, c := range rs.instances(controllerTable) {
		first := ""
		for _, m := range rs.instances(c + "MTP.") {
			if rs.is(m, "Enable") && rs.target(m).Host != "" && (first == "" || rs.number(m, "Order") < rs.number(first, "Order")) {
				first = m
			}
		}
		if first != "" && rs.is(c, "Enable") && rs.get(c, "EndpointID") != "" {
			out = append(out, rs.target(first))
		}
	}
	return out
}

// checkMTP says what is wrong with an MTP row that a Controller has made or changed.
func (t *tx) checkMTP(row string) (bad usp.ParamError, ok bool) {
	d := t.agent.fleet.opts.Dialer
	to := t.rows.target(row)
	if d == nil || to.Host == "" || !t.exists(row) || !to.Added && t.rows.values[controllerOf(row)][fleetMark] != "" {
		return bad, true
	}
	if err := d.Check(to); err != nil {
		e := usp.AsError(err)
		if to.Protocol == mqttMTP {
			return usp.ParamError{Path: row + mqttName + "AgentMTPReference", Code: e.Code, Msg: e.Msg}, false
		}
		if to.Protocol == stompMTP {
			return usp.ParamError{Path: row + stompName + "Reference", Code: e.Code, Msg: e.Msg}, false
		}
		return usp.ParamError{Path: row + "WebSocket.Host", Code: e.Code, Msg: e.Msg}, false
	}
	return bad, true
}

// outward is an Agent as the Dialer knows it: channels that come up there are those that were dialled.
type outward struct{ *Agent }

// Up implements mtp.Endpoint.
func (o outward) Up(ch mtp.Channel) { o.up(ch, true) }

// Connect has the Agent connected with the Controllers of its tables, from now on and whatever becomes of the tables. An Agent that has rows of
// its own must have been loaded since the process started.
func (a *Agent) Connect() {
	if !a.enter() {
		return
	}
	defer a.leave()
	a.mu.Lock()
	a.dials = true
	a.mu.Unlock()
	a.redial()
}

// redial has the Dialer follow the tables. A channel that parts is kept until nothing is left to say, and its Controller dialled anew when it is down.
func (a *Agent) redial() {
	if a.fleet.opts.Dialer == nil || a.takeTurn(a.life()) != nil {
		return
	}
	defer func() { <-a.turn() }()
	a.mu.Lock()
	dials, to := a.dials && !a.closing, a.wanted()
	for _, l := range a.links {
		if l.parting != nil && l.dialled {
			to = slices.DeleteFunc(slices.Clone(to), func(t mtp.Target) bool { return t.Controller == l.peer })
			if !l.parting.over {
				to = append(to, l.parting.from)
			}
		}
	}
	a.mu.Unlock()
	if dials {
		a.fleet.opts.Dialer.Connect(outward{a}, to)
	}
}

// wanted are whom the Agent's tables have it dial. It is called with a.mu held.
func (a *Agent) wanted() []mtp.Target {
	if a.targets != nil {
		return *a.targets
	}
	return a.fleet.targets
}

// retarget notes whom new tables have the Agent dial, and says whether that has changed. It is called with a.mu held.
func (a *Agent) retarget(rs *rowSet) bool {
	before, now := a.wanted(), rs.targets()
	if a.targets = &now; slices.Equal(now, a.fleet.targets) {
		a.targets = nil
	}
	return !slices.Equal(before, now)
}

// targetOf finds a Controller among those that are dialled.
func targetOf(id usp.EndpointID, among []mtp.Target) mtp.Target {
	for _, t := range among {
		if t.Controller == id {
			return t
		}
	}
	return mtp.Target{}
}

// resetSession runs Reset(), when its response has left.
func (x *exchange) resetSession(controller usp.EndpointID) error {
	a, d := x.a, x.a.fleet.opts.Dialer
	if d == nil || !a.enter() {
		return usp.Errorf(usp.CommandFailure, "there is no session to reset")
	}
	go func() {
		defer a.leave()
		select {
		case <-x.sent:
			d.Reset(a.id.ID, controller)
		case <-a.life().Done():
		}
	}()
	return nil
}

// afterwards runs f once ch is closed, nil being closed already; not at all if the Agent is closed first. It is called with a.mu held.
func (a *Agent) afterwards(ch <-chan struct{}, f func()) {
	a.busy++
	a.work.Add(1)
	go func() {
		defer a.leave()
		if wait(a.life(), ch) == nil {
			f()
		}
	}()
}

// wait waits for ch to be closed; nil is closed already.
func wait(ctx context.Context, ch <-chan struct{}) error {
	if ch == nil {
		return ctx.Err()
	}
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
