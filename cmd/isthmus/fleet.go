package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"isthmus/cmd/isthmus/admin"
	"isthmus/translate"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// self is the Controller that a person at the admin address is: in no Controller table, with full access.
const self usp.EndpointID = "self::isthmus"

// fleet shows a Proxy to the admin address.
type fleet struct{ proxy *translate.Proxy }

func (f fleet) Devices(after string, by admin.Filter, limit int) []admin.Device {
	found := f.proxy.Devices(after, translate.Filter{Text: by.Text, Root: by.Root, State: translate.State(by.State)}, limit)
	list := make([]admin.Device, len(found))
	for i := range found {
		list[i] = deviceOf(&found[i])
	}
	return list
}

func (f fleet) Device(id string) (*admin.Detail, bool) {
	d, ok := f.proxy.Device(usp.EndpointID(id))
	if !ok {
		return nil, false
	}
	return &admin.Detail{
		Quirks: notNil(d.Quirks),
		Device: deviceOf(&d.Summary), HardwareVersion: d.HardwareVersion, ModelName: d.ModelName, FirstInform: moment(d.Since),
		RPCMethods: notNil(d.RPCMethods), Discovered: d.Discovered, PendingOperations: notNil(d.Running),
		Queued: d.Queued, ConnectionRequest: lastTry(d.Attempts), Reset: admin.Reset{Time: moment(d.Reset.Time), From: sourceText(d.Reset.From)},
		Events: notNil(d.Events), Cache: admin.Cache{Parameters: d.Cached}, SubscribedPaths: d.Subscribed,
	}, true
}

// sourceText is empty where there is none.
func sourceText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func lastTry(attempts []translate.Attempt) admin.LastTry {
	last := admin.LastTry{Tries: []admin.Try{}}
	for _, a := range attempts {
		last.Try = admin.Try{Time: moment(a.Time), Method: a.Method, Error: a.Error}
		last.Tries = append(last.Tries, last.Try)
	}
	return last
}

func (f fleet) Trace(id string) ([]admin.Exchange, bool) {
	found, ok := f.proxy.Trace(usp.EndpointID(id))
	list := make([]admin.Exchange, len(found))
	for i := range found {
		e := &found[i]
		list[i] = admin.Exchange{TraceID: e.TraceID.String(), Time: e.Time.UTC(), Controller: string(e.Controller), Message: e.Message, MsgID: e.MsgID, Paths: notNil(e.Paths),
			Result: e.Result, DurationMS: milliseconds(e.Duration), Why: e.Why, CWMP: []admin.CWMPCall{}}
		for _, c := range e.CWMP {
			list[i].CWMP = append(list[i].CWMP, admin.CWMPCall{Time: c.Time.UTC(), RPC: c.RPC, Session: c.Session, Result: c.Result, DurationMS: milliseconds(c.Duration)})
		}
	}
	return list, ok
}

func (f fleet) Traced(id string) (string, bool) {
	trace, ok := translate.ParseTraceID(id)
	if !ok {
		return "", false
	}
	device, ok := f.proxy.Traced(trace)
	return string(device), ok
}

func (f fleet) Do(ctx context.Context, id string, req *usppb.Msg) (*usppb.Msg, error) {
	resp, ok := f.proxy.Do(ctx, usp.EndpointID(id), self, req)
	if !ok {
		return nil, admin.ErrNoDevice
	}
	return resp, nil
}

func (f fleet) Sessions(limit int) []admin.Session {
	list := []admin.Session{}
	for _, s := range f.proxy.Sessions(limit) {
		list = append(list, admin.Session{EndpointID: string(s.ID), From: s.From.String(), Since: s.Since.UTC(), Events: notNil(s.Events), Queued: s.Queued})
	}
	return list
}

func (f fleet) Len() int { return f.proxy.Len() }

func (f fleet) Act(ctx context.Context, id string, a admin.Action) error {
	agent := usp.EndpointID(id)
	var err error
	switch a {
	case admin.Refresh:
		err = f.proxy.Refresh(ctx, agent)
	case admin.Ask:
		err = f.proxy.Ask(ctx, agent)
	case admin.Quarantine, admin.Release:
		err = f.proxy.Quarantine(ctx, agent, a == admin.Quarantine)
	case admin.Forget:
		err = f.proxy.Forget(ctx, agent)
	default:
		err = fmt.Errorf("%s is no action", a)
	}
	switch {
	case errors.Is(err, translate.ErrNoDevice):
		return admin.ErrNoDevice
	case errors.Is(err, translate.ErrInSession):
		return admin.ErrBusy
	}
	return err
}

func deviceOf(s *translate.Summary) admin.Device {
	return admin.Device{EndpointID: string(s.ID), Manufacturer: s.Manufacturer, OUI: s.OUI, ProductClass: s.ProductClass,
		SerialNumber: s.SerialNumber, Root: s.Root, SoftwareVersion: s.SoftwareVersion, LastInform: moment(s.LastInform),
		Online: s.Online, ConnectionRequestURL: s.ConnectionRequestURL, Quarantine: s.Quarantine,
		InSession: s.InSession, Unreachable: s.Unreachable, Retries: s.Retries}
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
