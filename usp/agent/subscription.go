package agent

import (
	"context"
	"slices"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// interest is what the subscriptions in force ask for.
func interest(rs *rowSet) Interest {
	var in Interest
	for _, p := range rs.instances(subscriptionTable) {
		if !inForce(rs, p) {
			continue
		}
		refs := splitList(rs.get(p, "ReferenceList"))
		switch rs.get(p, "NotifType") {
		case valueChange:
			in.ValueChange = append(in.ValueChange, refs...)
		case objectCreation, objectDeletion:
			in.Objects = append(in.Objects, refs...)
		case event:
			for _, ref := range refs {
				if !isOwn(ref) && ref != "Device."+bootEvent {
					in.Events = append(in.Events, ref)
				}
			}
		}
	}
	for _, p := range rs.instances(thresholdTable) {
		if rs.watchful(p) {
			in.ValueChange = append(in.ValueChange, rs.watches(p))
		}
	}
	return Interest{unique(in.ValueChange), unique(in.Objects), unique(in.Events)}
}

func unique(paths []string) []string {
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (in Interest) equal(other Interest) bool {
	return slices.Equal(in.ValueChange, other.ValueChange) && slices.Equal(in.Objects, other.Objects) && slices.Equal(in.Events, other.Events)
}

// inForce says that a Subscription and its Recipient are enabled.
func inForce(rs *rowSet, path string) bool {
	return rs.is(path, "Enable") && rs.is(rs.get(path, "Recipient")+".", "Enable")
}

// match makes the notifications for what happened: one for each Subscription that asks for it. Only Subscriptions that were there before and
// still are count, and only those of one Controller row if only says so.
func (a *Agent) match(ctx context.Context, before, after *rowSet, only string, hs []Happening) []*note {
	if len(hs) == 0 {
		return nil
	}
	m := matcher{ctx: ctx, a: a, resolved: map[string][]string{}, asked: map[string][]string{}}
	var notes []*note
	bound, triggered := someNotes, map[string]bool{}
	for _, h := range hs {
		for _, p := range before.instances(subscriptionTable) {
			if _, ok := after.values[p]; !ok || !inForce(before, p) || only != "" && before.get(p, "Recipient")+"." != only {
				continue
			}
			if m.wants(before, p, h) && before.wantsTransfer(p, h) {
				n := newNote(ctx, before, p, h)
				if c, ok := h.(*OperationComplete); ok && n.after == nil && before.get(c.request, "Originator") == string(n.To) {
					n.after = a.answered(c.request)
				}
				if n.triggers() && triggered[p] {
					if n.action == triggerConfig {
						continue
					}
					n.action = "" // once is enough
				}
				triggered[p] = true
				notes = append(notes, n)
			}
		}
		if len(notes) >= bound {
			notes = a.newest(notes)
			bound = max(someNotes, 2*len(notes))
		}
	}
	return notes
}

// newNote makes the notification for one Subscription.
func newNote(ctx context.Context, rs *rowSet, path string, h Happening) *note {
	n := &note{
		To:           usp.EndpointID(rs.get(rs.get(path, "Recipient")+".", "EndpointID")),
		Subscription: path,
		Kind:         rs.get(path, "NotifType"),
		Retry:        rs.is(path, "NotifRetry"),
		notify:       &usppb.Notify{SubscriptionId: rs.get(path, "ID")},
	}
	n.action = rs.get(path, "TriggerAction")
	n.notify.SendResp = n.Retry
	if s := rs.number(path, "NotifExpiration"); n.Retry && s > 0 {
		n.Expires = time.Now().Add(time.Duration(s) * time.Second)
	}
	n.after = afterResponse(ctx, n.To)
	fill(n.notify, h)
	return n
}

func fill(n *usppb.Notify, h Happening) {
	switch h := h.(type) {
	case *ValueChange:
		n.Notification = &usppb.Notify_ValueChange_{ValueChange: &usppb.Notify_ValueChange{ParamPath: h.Path, ParamValue: usp.ValidUTF8(h.Value)}}
	case *ObjectCreation:
		n.Notification = &usppb.Notify_ObjCreation{ObjCreation: &usppb.Notify_ObjectCreation{ObjPath: h.Path, UniqueKeys: valid(h.Keys)}}
	case *ObjectDeletion:
		n.Notification = &usppb.Notify_ObjDeletion{ObjDeletion: &usppb.Notify_ObjectDeletion{ObjPath: h.Path}}
	case *Event:
		n.Notification = &usppb.Notify_Event_{Event: &usppb.Notify_Event{ObjPath: h.Object, EventName: h.Name, Params: valid(h.Args)}}
	case *OperationComplete:
		c := &usppb.Notify_OperationComplete{ObjPath: h.Object, CommandName: h.Command, CommandKey: h.CommandKey}
		if h.Err != nil {
			c.OperationResp = &usppb.Notify_OperationComplete_CmdFailure{CmdFailure: &usppb.Notify_OperationComplete_CommandFailure{
				ErrCode: uint32(h.Err.Code), ErrMsg: usp.ValidUTF8(h.Err.Msg)}}
		} else {
			c.OperationResp = &usppb.Notify_OperationComplete_ReqOutputArgs{
				ReqOutputArgs: &usppb.Notify_OperationComplete_OutputArgs{OutputArgs: valid(h.Output)}}
		}
		n.Notification = &usppb.Notify_OperComplete{OperComplete: c}
	}
}

// valid gives a map that can be encoded.
func valid(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[usp.ValidUTF8(k)] = usp.ValidUTF8(v)
	}
	return out
}

// matcher looks subscriptions up for one message; what a search in a ReferenceList finds is asked for once.
type matcher struct {
	ctx      context.Context
	a        *Agent
	resolved map[string][]string
	asked    map[string][]string // by Subscription
}

func (m *matcher) wants(rs *rowSet, path string, h Happening) bool {
	kind, subject, named := "", "", false
	switch h := h.(type) {
	case *ValueChange:
		kind, subject, named = valueChange, h.Path, h.Quiet
	case *ObjectCreation:
		kind, subject = objectCreation, h.Path
	case *ObjectDeletion:
		kind, subject = objectDeletion, h.Path
	case *Event:
		kind, subject = event, h.Object+h.Name
	case *OperationComplete:
		kind, subject = operationComplete, h.Object+h.Command
	}
	if rs.get(path, "NotifType") != kind {
		return false
	}
	table, _ := splitRow(subject)
	for _, pattern := range m.references(rs, path) {
		if Legacy(subject) && !Legacy(pattern) {
			continue
		}
		switch kind {
		case objectCreation:
			if same(pattern, table) {
				return true
			}
		case objectDeletion:
			if same(pattern, table) || same(pattern, subject) {
				return true
			}
		default:
			if covers(pattern, subject) && (!named || same(pattern, subject)) {
				return true
			}
		}
	}
	return false
}

// references are the patterns that a Subscription's ReferenceList comes to.
func (m *matcher) references(rs *rowSet, path string) []string {
	found, ok := m.asked[path]
	if !ok {
		for _, ref := range splitList(rs.get(path, "ReferenceList")) {
			found = append(found, m.patterns(rs, rs.get(path, "Recipient"), ref)...)
		}
		m.asked[path] = found
	}
	return found
}

// patterns turns a reference into paths with at most "*" in them, from what is known without asking the CPE, and what the Recipient may read: a
// search must not tell it what else there is.
func (m *matcher) patterns(rs *rowSet, recipient, ref string) []string {
	if !strings.ContainsAny(ref, "[+") {
		return []string{ref}
	}
	key := recipient + " " + ref
	if found, ok := m.resolved[key]; ok {
		return found
	}
	g := rs.grant(usp.EndpointID(rs.get(recipient+".", "EndpointID")))
	x := &exchange{a: m.a, may: g.may.bind(m.ctx, m.a, true), secrets: g.secrets, legacy: g.legacy}
	t := newTarget(ref)
	x.resolve(m.ctx, []*target{t}, true)
	m.resolved[key] = t.paths() // nil where it cannot be told
	return m.resolved[key]
}

// covers says whether pattern names path or an object above it. "*" stands for any instance number.
func covers(pattern, path string) bool {
	_, ok := match(pattern, path)
	return ok
}

// same says whether pattern names the object path; the final dot may be missing.
func same(pattern, path string) bool {
	rest, ok := match(pattern, path)
	return ok && rest == ""
}

// match takes pattern's segments off path.
func match(pattern, path string) (rest string, ok bool) {
	for pattern != "" {
		seg, more, _ := strings.Cut(pattern, ".")
		have, left, _ := strings.Cut(path, ".")
		if path == "" || seg != have && (seg != "*" || !IsInstance(have)) {
			return path, false
		}
		pattern, path = more, left
	}
	return path, true
}
