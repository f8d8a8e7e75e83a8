package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// BootInfo is what Boot! says.
type BootInfo struct {
	Cause, CommandKey, Reason string
	FirmwareUpdated           bool
}

// Raise notifies every Subscription that asks for what happened. What matched is on disk when it returns; delivery follows in the background,
// in order for each Controller. With the context of a request the notifications to its sender leave after the response.
func (a *Agent) Raise(ctx context.Context, hs ...Happening) error {
	if err := a.use(ctx); err != nil {
		return err
	}
	defer a.leave()
	rows := a.rows()
	notes := a.match(ctx, rows, rows, "", hs)
	met := a.crossings(ctx, rows, hs)
	if len(notes)+len(met) == 0 {
		return nil
	}
	return a.update(ctx, "", func(t *tx) error {
		t.notes = notes
		t.cross(ctx, met)
		return nil
	})
}

// OnBoard sends an OnBoardRequest to every enabled Controller but those that have not answered an earlier one. The requests are on disk when it
// returns.
func (a *Agent) OnBoard(ctx context.Context) error {
	if err := a.use(ctx); err != nil {
		return err
	}
	defer a.leave()
	return a.update(ctx, "", func(t *tx) error {
		for _, p := range t.rows.instances(controllerTable) {
			if t.rows.is(p, "Enable") {
				t.onBoard(ctx, p)
			}
		}
		return nil
	})
}

// onBoard adds an OnBoardRequest for one Controller: no subscription, no expiry (R-NOT.5 to R-NOT.7).
func (t *tx) onBoard(ctx context.Context, path string) {
	to := usp.EndpointID(t.rows.get(path, "EndpointID"))
	t.agent.mu.Lock()
	q := t.agent.st.queues[to]
	waiting := q != nil && q.onBoarding()
	t.agent.mu.Unlock()
	if waiting || to == "" {
		return
	}
	id := t.agent.id
	t.notes = append(t.notes, &note{To: to, Kind: onBoardRequest, Retry: true, after: afterResponse(ctx, to), notify: &usppb.Notify{
		SendResp: true,
		Notification: &usppb.Notify_OnBoardReq{OnBoardReq: &usppb.Notify_OnBoardRequest{
			Oui: usp.ValidUTF8(id.OUI), ProductClass: usp.ValidUTF8(id.ProductClass), SerialNumber: usp.ValidUTF8(id.SerialNumber),
			AgentSupportedProtocolVersions: usp.SupportedVersions,
		}},
	}})
}

// Boot raises Boot! to the Subscriptions in force, then ends those that are not persistent. Both are on disk when it returns.
func (a *Agent) Boot(ctx context.Context, info BootInfo) error {
	if err := a.use(ctx); err != nil {
		return err
	}
	defer a.leave()
	a.bootContexts()
	return a.update(ctx, "", func(t *tx) error {
		for _, p := range t.rows.instances(controllerTable) {
			parameters, err := a.bootParameters(ctx, t.rows, p)
			if err != nil {
				return err
			}
			e := &Event{Object: "Device.", Name: bootEvent, Args: map[string]string{
				"CommandKey": info.CommandKey, "Cause": info.Cause, "Reason": info.Reason,
				"FirmwareUpdated": formatBool(info.FirmwareUpdated), "ParameterMap": parameters,
			}}
			t.notes = append(t.notes, a.match(ctx, t.before, t.before, p, []Happening{e})...)
		}
		for _, p := range t.rows.instances(subscriptionTable) {
			if !t.rows.is(p, "Persistent") {
				t.drop(p)
				delete(t.purge, p) // what it was promised is still delivered
			}
		}
		t.put(ownRoot, bootKey, itoa(t.now.Unix()))
		return nil
	})
}

// bootParameters is the ParameterMap of a Controller: a JSON object of what its BootParameter rows name, as far as it is known.
func (a *Agent) bootParameters(ctx context.Context, rs *rowSet, controller string) (string, error) {
	g := rs.grant(usp.EndpointID(rs.get(controller, "EndpointID")))
	x := &exchange{a: a, may: g.may.bind(ctx, a, true), secrets: g.secrets, legacy: g.legacy}
	var queries []Query
	for _, p := range rs.instances(controller + "BootParameter.") {
		if name := rs.get(p, "ParameterName"); name != "" && rs.is(p, "Enable") {
			t := newTarget(name)
			x.resolve(ctx, []*target{t}, true)
			for _, path := range t.paths() {
				queries = append(queries, Query{Path: path, Cached: true})
			}
		}
	}
	found := map[string]string{}
	for _, r := range x.read(ctx, queries) {
		for _, o := range r.Objects {
			for _, p := range o.Params {
				found[o.Path+p.Name] = usp.ValidUTF8(p.Value)
			}
		}
	}
	if p := a.fleet.profiles[usp.EndpointID(rs.get(controller, "EndpointID"))]; p != nil && p.PlainBoot {
		return plainMap(a.id.ID, found)
	}
	data, err := json.Marshal(found)
	if err != nil {
		return "", fmt.Errorf("encode ParameterMap: %w", err)
	}
	return string(data), nil
}

// Reset takes the Agent's own rows back to the fleet's, as a FactoryReset does. What was promised to a Controller of the fleet, such as the Boot! of
// this very reset, is still delivered; what waits for another is withdrawn.
func (a *Agent) Reset(ctx context.Context) error {
	if err := a.use(ctx); err != nil {
		return err
	}
	defer a.leave()
	if err := a.takeTurn(ctx); err != nil {
		return err
	}
	defer func() { <-a.turn() }()
	records, err := a.keeper.Load(ctx)
	if err != nil {
		return fmt.Errorf("reset %s: %w", a.id.ID, err)
	}
	records = slices.DeleteFunc(records, func(r Record) bool { return r.Kind != RowRecord })
	for i := range records {
		records[i].Data = nil
	}
	a.mu.Lock()
	st := a.st
	var gone []*note
	for to, q := range st.queues {
		if a.fleet.base.controller(to) == "" {
			gone = append(gone, q.notes...)
		}
	}
	a.mu.Unlock()
	for _, n := range gone {
		records = append(records, Record{Kind: NotificationRecord, ID: n.ID})
	}
	if err := a.keep(ctx, nil, records); err != nil {
		return fmt.Errorf("reset %s: %w", a.id.ID, err)
	}
	a.mu.Lock()
	before := st.rows
	for _, n := range gone {
		a.forget(n, withdrawn)
	}
	st.rows, st.bound, st.answers, st.triggers, a.times = a.fleet.base, false, nil, nil, timetable{}
	parted := a.rearrange(ctx, before, st.rows, map[string]bool{controllerTable: true})
	changed := !st.interest.equal(Interest{})
	st.interest = Interest{}
	a.mu.Unlock()
	if changed && a.onInterest != nil {
		a.onInterest(Interest{})
	}
	a.seeOff(parted)
	a.reschedule()
	return nil
}
