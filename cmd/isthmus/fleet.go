package main

import (
	"context"
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

func (f fleet) Devices(after, q string, limit int) []admin.Device {
	found := f.proxy.Devices(after, q, limit)
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
		RPCMethods: notNil(d.RPCMethods), Discovered: d.Discovered, InSession: d.InSession, PendingOperations: notNil(d.Running),
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
		list[i] = admin.Exchange{Time: e.Time.UTC(), Controller: string(e.Controller), Message: e.Message, Paths: notNil(e.Paths),
			Result: e.Result, DurationMS: milliseconds(e.Duration), Why: e.Why, CWMP: []admin.CWMPCall{}}
		for _, c := range e.CWMP {
			list[i].CWMP = append(list[i].CWMP, admin.CWMPCall{Time: c.Time.UTC(), RPC: c.RPC, Result: c.Result, DurationMS: milliseconds(c.Duration)})
		}
	}
	return list, ok
}

func (f fleet) Do(ctx context.Context, id string, req *usppb.Msg) (*usppb.Msg, error) {
	resp, ok := f.proxy.Do(ctx, usp.EndpointID(id), self, req)
	if !ok {
		return nil, admin.ErrNoDevice
	}
	return resp, nil
}

func deviceOf(s *translate.Summary) admin.Device {
	return admin.Device{EndpointID: string(s.ID), Manufacturer: s.Manufacturer, OUI: s.OUI, ProductClass: s.ProductClass,
		SerialNumber: s.SerialNumber, Root: s.Root, SoftwareVersion: s.SoftwareVersion, LastInform: moment(s.LastInform),
		Online: s.Online, ConnectionRequestURL: s.ConnectionRequestURL, Quarantine: s.Quarantine}
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
