package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// The values of TriggerAction.
const (
	triggerNotify = "Notify"
	triggerConfig = "Config"
	triggerBoth   = "NotifyAndConfig"
)

const (
	// maxTriggerSettings is how many items TriggerConfigSettings may have.
	maxTriggerSettings = 16
	// triggerGap is the least time between two runs of one Subscription's settings, so that Subscriptions that set each other off do no harm.
	triggerGap = time.Second
	// triggerPatience is how long the response to a write waits for the settings that it has triggered, so that a Controller which reads next sees
	// them, as TP-469 1.93 wants it; those of a CPE may take longer.
	triggerPatience = 500 * time.Millisecond
	// triggeredKey is in a Subscription whose settings are to be made: when that was found out.
	triggeredKey = ".triggered"
)

// trigger is what became of a Subscription's settings so far.
type trigger struct {
	at       time.Time // not to be run before
	attempts int       // that failed because the CPE could not be reached
}

// triggerSetting reads an item of TriggerConfigSettings: path=value, where a "=" in a search expression is not the one.
func triggerSetting(item string) (path, value string, err *usp.Error) {
	depth, quoted := 0, false
	for i := 0; i < len(item); i++ {
		switch c := item[i]; {
		case c == '"':
			quoted = !quoted && depth > 0
		case quoted:
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '=':
			if depth == 0 {
				path, value = item[:i], item[i+1:]
				p, err := usp.ParsePath(path)
				if err != nil {
					return "", "", usp.Errorf(usp.InvalidValue, "%s in TriggerConfigSettings: %v", path, err)
				}
				if p.Kind != usp.OpenPath || !strings.HasPrefix(path, "Device.") {
					return "", "", usp.Errorf(usp.InvalidValue, "%s in TriggerConfigSettings is no parameter", path)
				}
				return path, value, nil
			}
		}
	}
	return "", "", usp.Errorf(usp.InvalidValue, "%s in TriggerConfigSettings is no path=value", item)
}

func (t *tx) checkTrigger(path string) *usp.Error {
	items := splitList(t.rows.get(path, "TriggerConfigSettings"))
	if len(items) > maxTriggerSettings {
		return usp.Errorf(usp.InvalidValue, "TriggerConfigSettings has more than %d items", maxTriggerSettings)
	}
	for _, item := range items {
		if _, _, err := triggerSetting(item); err != nil {
			return err
		}
	}
	return nil
}

// trigger notes down, with the notifications, whose settings are to be made, and leaves out the notifications that are not to be sent.
func (t *tx) trigger() {
	t.notes = slices.DeleteFunc(t.notes, func(n *note) bool {
		if n.triggers() {
			if t.exists(n.Subscription) {
				t.rows.put(n.Subscription, map[string]string{triggeredKey: itoa(t.now.UnixNano())})
				t.changed[n.Subscription] = true
			}
			if n.action == triggerConfig {
				return true
			}
			n.action = "" // seen to
		}
		return false
	})
}

// retrying says that settings wait for the CPE to be reached.
func (st *state) retrying() bool {
	for _, t := range st.triggers {
		if t.attempts > 0 {
			return true
		}
	}
	return false
}

// triggerDue is when a Subscription's settings are to be made, the zero time for never. It is called with a.mu held.
func (a *Agent) triggerDue(path string, now time.Time) time.Time {
	if a.st.rows.values[path][triggeredKey] == "" || a.st.triggering != nil {
		return time.Time{}
	}
	return later(now, a.st.triggers[path].at)
}

// nextTrigger finds a Subscription whose settings can be made now, "" if there is none. It is called with a.mu held.
func (a *Agent) nextTrigger(now time.Time) string {
	for path, t := range a.st.triggers {
		if _, ok := a.st.rows.values[path]; !ok || t.attempts == 0 && !t.at.After(now) {
			delete(a.st.triggers, path)
		}
	}
	for _, p := range a.st.rows.instances(subscriptionTable) {
		if a.st.rows.values[p][triggeredKey] != "" && !a.st.triggers[p].at.After(now) {
			return p
		}
	}
	return ""
}

// runTriggers makes the settings of all Subscriptions that something has triggered. There is one for an Agent at most.
func (a *Agent) runTriggers() {
	defer a.leave()
	for {
		a.mu.Lock()
		path := a.nextTrigger(time.Now())
		if path == "" || a.closing {
			close(a.st.triggering)
			a.st.triggering = nil
			a.mu.Unlock()
			a.reschedule()
			return
		}
		rs := a.st.rows
		a.mu.Unlock()
		again := a.configure(rs, path)

		a.mu.Lock()
		t := trigger{at: time.Now().Add(triggerGap)}
		if again {
			t.attempts = a.st.triggers[path].attempts + 1
			t.at = time.Now().Add(usp.Retry{}.Wait(t.attempts, rand.Float64))
		}
		if a.st.triggers == nil {
			a.st.triggers = make(map[string]trigger)
		}
		a.st.triggers[path] = t
		a.mu.Unlock()
	}
}

// awaitTriggers gives the settings that a write has triggered the time to be made.
func (x *exchange) awaitTriggers(ctx context.Context) {
	x.a.mu.Lock()
	done := x.a.st.triggering
	x.a.mu.Unlock()
	if done == nil || x.trigger {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, triggerPatience)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// configure makes the settings of one Subscription as its Recipient would, each for itself. It says whether that has to be done again, because the
// CPE could not be reached.
func (a *Agent) configure(rs *rowSet, path string) (again bool) {
	ctx, cancel := context.WithTimeoutCause(a.life(), a.fleet.opts.RequestTimeout, errTooLate)
	defer cancel()
	m := &usppb.Set{AllowPartial: true}
	for _, item := range splitList(rs.get(path, "TriggerConfigSettings")) {
		param, value, err := triggerSetting(item)
		if err != nil {
			continue // it was checked when it was written
		}
		dot := leafOf(param)
		m.UpdateObjs = append(m.UpdateObjs, &usppb.Set_UpdateObject{ObjPath: param[:dot],
			ParamSettings: []*usppb.Set_UpdateParamSetting{{Param: param[dot:], Value: value, Required: true}}})
	}
	if len(m.UpdateObjs) > 0 {
		from := usp.EndpointID(rs.get(rs.get(path, "Recipient")+".", "EndpointID"))
		g := rs.grant(from)
		x := &exchange{a: a, from: from, may: g.may, secrets: g.secrets, legacy: g.legacy, sent: make(chan struct{}), trigger: true}
		resp := x.answer(ctx, usp.NewRequest(triggerConfig+"-"+rs.values[path][triggeredKey],
			&usppb.Request{ReqType: &usppb.Request_Set{Set: m}}))
		close(x.sent)
		code := failureOf(resp)
		if again = code == usp.Unreachable || code == usp.OutcomeUnknown; again {
			return true
		}
		if code != 0 {
			a.fleet.log.Warn("a triggered setting failed", "device", a.id.ID, "subscription", path, "code", uint32(code))
		}
	}
	err := a.update(ctx, "", func(t *tx) error {
		if t.exists(path) && t.rows.values[path][triggeredKey] == rs.values[path][triggeredKey] {
			t.put(path, triggeredKey, "")
		}
		return nil
	})
	if err != nil && a.life().Err() == nil {
		a.fleet.log.Error("a triggered setting cannot be ticked off", "device", a.id.ID, "error", err)
	}
	return err != nil
}

// leafOf is where the last segment of a path begins.
func leafOf(path string) int { return strings.LastIndexByte(path, '.') + 1 }

// failureOf gives the code of what failed of a Set, that of an unreachable CPE before others; 0 if nothing did.
func failureOf(resp *usppb.Msg) usp.ErrorCode {
	code := usp.ErrorCode(resp.GetBody().GetError().GetErrCode())
	for _, o := range resp.GetBody().GetResponse().GetSetResp().GetUpdatedObjResults() {
		c := usp.ErrorCode(o.GetOperStatus().GetOperFailure().GetErrCode())
		if code == 0 || c >= usp.Unreachable {
			code = max(code, c)
		}
	}
	return code
}
