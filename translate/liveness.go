package translate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// Secured implements agent.Securer, by the standard's data model: what a CPE gives of a password is kept from most Controllers.
func (d *Device) Secured(object, name string) bool {
	return datamodel.Secured(object, name) || agent.Legacy(object) && isSecret(name)
}

// maxFaultText bounds what is kept of a CPE's FaultString, in bytes.
const maxFaultText = 256

// heard is what the last RPCs came to. Device.mu guards it.
type heard struct {
	read  time.Time // the last GetParameterValuesResponse
	fault string    // the last Fault
	// retries are the RetryCount of the last Inform: how often the session before had failed, as the CPE sees it.
	retries int
}

// note takes down what an RPC came to.
func (d *Device) note(req cwmp.RPC, err error) {
	now := time.Now()
	var f *cwmp.Fault
	d.mu.Lock()
	defer d.mu.Unlock()
	switch _, read := req.(*cwmp.GetParameterValues); {
	case err == nil && read:
		d.heard.read = now
	case errors.As(err, &f):
		text := usp.ValidUTF8(f.String[:min(len(f.String), maxFaultText)])
		d.heard.fault = fmt.Sprintf("%s %s: %d %s", now.UTC().Format(time.RFC3339), req.Name(), f.Code, text)
	}
}

// Liveness implements agent.Liveness.
func (d *Device) Liveness() agent.LivenessInfo {
	d.mu.RLock()
	defer d.mu.RUnlock()
	i := agent.LivenessInfo{LastInform: d.inform.at, LastRead: d.inform.at, InSession: d.session != nil, QueueLength: len(d.queue),
		LastFault: d.heard.fault}
	if d.heard.read.After(i.LastRead) {
		i.LastRead = d.heard.read
	}
	if !d.inform.at.IsZero() && d.head.Interval > 0 {
		i.NextInformDue = d.inform.at.Add(time.Duration(d.head.Interval) * time.Second)
	}
	tried := d.contact.attempts()
	failed := len(tried) > 0 && d.contact.promising() == nil && tried[0].at.After(d.inform.at)
	i.Reachable = i.InSession || d.summaryLocked().Online && !failed
	return i
}

// Refresh implements agent.Liveness: what was read until now is not trusted any more, as after a boot.
func (d *Device) Refresh(ctx context.Context) error {
	d.mu.Lock()
	d.head.StaleBefore = time.Now().UnixMilli() + 1 // not even what was read in this millisecond
	d.mu.Unlock()
	return d.putHead(ctx)
}
