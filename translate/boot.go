package translate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/usp/agent"
)

// CPE boot without M Reboot, without its key, without 1 BOOT, and say 1 BOOT when nothing but their CWMP client was started (row S9). What
// they say of a boot is believed; where they say nothing, or not which boot it is, their UpTime tells.

const upTimeName = "DeviceInfo.UpTime"

// booted says whether an Inform tells of a boot.
func booted(in *cwmp.Inform) bool {
	return hasEvent(in, cwmp.EventBoot) || hasEvent(in, cwmp.EventMReboot)
}

// upTime is how long ago the CPE has booted, by its Inform or another list of values; 0 where it does not tell.
func upTime(list []cwmp.ParameterValueStruct) time.Duration {
	for i := range list {
		if strings.HasSuffix(list[i].Name, "."+upTimeName) {
			seconds, _ := strconv.ParseUint(strings.TrimSpace(list[i].Value), 10, 32)
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

// How far the clocks of a CPE may be off: its UpTime may fall a little, and its boot seem to be before its last Inform.
const (
	upTimeFall = 10 * time.Second
	upTimeSlip = time.Minute
)

// restarted says whether the CPE has booted since its last Inform without telling.
func (r *informRecord) restarted(up time.Duration, now time.Time) bool {
	return up > 0 && up+upTimeFall < r.upTime && now.Add(upTimeSlip-up).After(r.at)
}

// caused says whether a boot is the effect of what was asked: by its CommandKey, by 0 BOOTSTRAP for a FactoryReset, or, where a CPE keeps
// no key, by time.
func (p *pending) caused(in *cwmp.Inform, bootstrap bool, up time.Duration) bool {
	if p.Reset {
		return bootstrap
	}
	reboot := false
	for _, e := range in.Event {
		if e.EventCode == cwmp.EventMReboot {
			reboot = true
			if strings.HasPrefix(p.Token, e.CommandKey) { // cut, or none
				return true
			}
		}
	}
	return !reboot && p.due(time.Now().Add(-up))
}

// due says whether the boot that was asked for may be one at this time.
func (p *pending) due(at time.Time) bool { return !at.Before(p.At) && at.Sub(p.At) < pendingFor }

// awaited says whether a boot is still to come: the CPE says 1 BOOT, and its UpTime that it runs since before it was told to.
func (p *pending) awaited(up time.Duration) bool { return up > 0 && time.Now().Add(-up).Before(p.At) }

// missed finds out whether a CPE that was told to boot did so and says nothing of it: its UpTime is read in the sessions that follow.
func (d *Device) missed(ctx context.Context, s *cwmp.Session) error {
	d.mu.RLock()
	p, root := d.head.Pending, d.head.Root
	d.mu.RUnlock()
	if p == nil || p.Reset || !p.due(time.Now()) {
		return nil
	}
	resp, err := cwmp.Call(ctx, &caller{d: d, next: s}, &cwmp.GetParameterValues{ParameterNames: []string{root + upTimeName}})
	var f *cwmp.Fault
	switch {
	case errors.As(err, &f), errors.Is(err, cwmp.ErrUnexpectedAnswer):
		return nil // it has none
	case err != nil:
		return fmt.Errorf("reading the UpTime: %w", err)
	}
	up := upTime(resp.ParameterList)
	if up == 0 || !p.due(time.Now().Add(-up)) {
		return nil
	}
	d.mu.Lock()
	h := &d.head
	info := agent.BootInfo{Cause: p.Cause, CommandKey: p.CommandKey, Reason: cmp.Or(p.Reason, "Unknown"),
		FirmwareUpdated: h.ShapeOf != "" && h.ShapeOf != h.Software}
	h.StaleBefore, d.inform.upTime, d.rebooted = time.Now().UnixMilli(), up, true
	h.Owed = &info
	d.announce()
	d.mu.Unlock()
	if err := d.payBoot(ctx, false); err != nil {
		return err
	}
	if err := d.forgotten(ctx, false, false); err != nil {
		return err
	}
	return d.setPending(ctx, nil)
}

// announce tells who waits for a boot that it has come. d.mu is held.
func (d *Device) announce() {
	if d.booted != nil {
		close(d.booted)
		d.booted = nil
	}
}

// payBoot raises the Boot! that is owed; it is on disk on return, and the head is the caller's to put.
func (d *Device) payBoot(ctx context.Context, first bool) error {
	d.mu.RLock()
	info := d.head.Owed
	d.mu.RUnlock()
	if info == nil {
		return nil
	}
	if !first {
		d.p.reboot(d) // before Boot!, which then is the first thing said over the new connection
	}
	if err := d.agent.Boot(ctx, *info); err != nil {
		return fmt.Errorf("raising Boot! of %s: %w", d.id, err)
	}
	d.mu.Lock()
	d.head.Owed = nil
	d.mu.Unlock()
	return nil
}

// payOwed raises a Boot! that had to wait: what the boot has ended was told, or the session is over and nothing more will be.
func (d *Device) payOwed(ctx context.Context) error {
	d.mu.RLock()
	owed := d.head.Owed != nil
	d.mu.RUnlock()
	if !owed {
		return nil
	}
	if err := d.payBoot(ctx, false); err != nil {
		return err
	}
	return d.putHead(context.WithoutCancel(ctx))
}
