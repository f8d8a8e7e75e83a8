package translate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
)

const (
	activateCommand = "Device.DeviceInfo.FirmwareImage.{i}.Activate()"
	bootImage       = "DeviceInfo.BootFirmwareImage"
	activeImage     = "DeviceInfo.ActiveFirmwareImage"
)

// activate is the kind of Device.DeviceInfo.FirmwareImage.{i}.Activate(), which CWMP has no RPC for: BootFirmwareImage is set and the CPE told to
// reboot, in one of the time windows.
type activate struct{}

// window is when an image may be activated, in seconds from when the command began.
type window struct{ start, end time.Duration }

const memoWindows = "windows"

func (activate) begin(_ context.Context, _ *Device, op *operation) error {
	windows, err := parseWindows(op.Args)
	if err != nil || windows == nil {
		return err
	}
	var text []string
	for _, w := range windows {
		text = append(text, fmt.Sprintf("%d-%d", int64(w.start.Seconds()), int64(w.end.Seconds())))
	}
	op.Memo = map[string]string{memoWindows: strings.Join(text, ",")}
	op.NotBefore = op.Begun.Add(windows[0].start)
	return nil
}

// maxWindows is how many time windows a command may have.
const maxWindows = 16

// parseWindows reads the TimeWindow.{i}. of Activate(), the first to begin first; none is at once. Whether a CPE is idle, or its user agrees, cannot be
// found out, so windows that ask for that are not used.
func parseWindows(args map[string]string) (windows []window, err error) {
	given := 0
	for name, mode := range args {
		object, ok := strings.CutSuffix(name, ".Mode")
		if !ok {
			continue
		}
		if given++; given > maxWindows {
			return nil, usp.Errorf(usp.InvalidArguments, "there are more than %d time windows", maxWindows)
		}
		start, err1 := strconv.ParseUint(args[object+".Start"], 10, 32)
		end, err2 := strconv.ParseUint(args[object+".End"], 10, 32)
		if err1 != nil || err2 != nil || end < start {
			return nil, usp.Errorf(usp.InvalidArguments, "%s. has no Start and End in seconds, the latter not before the former", object)
		}
		switch mode {
		case "AnyTime", "Immediately":
			windows = append(windows, window{time.Duration(start) * time.Second, time.Duration(end) * time.Second})
		case "WhenIdle", "ConfirmationNeeded":
		default:
			return nil, usp.Errorf(usp.InvalidArguments, "%s is no Mode of a time window", mode)
		}
	}
	if given > 0 && windows == nil {
		return nil, usp.Errorf(usp.InvalidArguments, "no time window has Mode AnyTime or Immediately: a CPE that speaks CWMP cannot be asked whether it is idle, nor its user")
	}
	slices.SortFunc(windows, func(a, b window) int { return int(a.start - b.start) })
	return windows, nil
}

// open says whether a window is open; if none is, when the next one opens, the zero time for never.
func (op *operation) open(now time.Time) (open bool, next time.Time) {
	if op.Memo[memoWindows] == "" {
		return true, time.Time{}
	}
	for w := range strings.SplitSeq(op.Memo[memoWindows], ",") {
		start, end, _ := strings.Cut(w, "-")
		s, err1 := strconv.ParseInt(start, 10, 64)
		e, err2 := strconv.ParseInt(end, 10, 64)
		begins, ends := op.Begun.Add(time.Duration(s)*time.Second), op.Begun.Add(time.Duration(e)*time.Second)
		switch {
		case err1 != nil || err2 != nil || ends.Before(now):
		case begins.After(now):
			if next.IsZero() || begins.Before(next) {
				next = begins
			}
		default:
			return true, begins
		}
	}
	return false, next
}

func (activate) lane(*operation) string { return firmwareLane }

func (activate) send(ctx context.Context, c cwmp.Caller, d *Device, op *operation) (*outcome, error) {
	switch open, next := op.open(time.Now()); {
	case open:
	case next.IsZero():
		return nil, usp.Errorf(usp.CommandFailure, "the CPE could not be reached while a time window was open")
	default:
		d.mu.Lock()
		op.NotBefore = next
		d.mu.Unlock()
		return nil, errNotBegun
	}
	if err := d.load(ctx); err != nil {
		return nil, err
	}
	d.mu.RLock()
	root, row := d.head.Root, d.view().Row(objectOf(op.Command))
	d.mu.RUnlock()
	spv, err := d.setValues([]cpeWrite{{path: root + bootImage, value: strings.TrimSuffix(row, ".")}}, func(int) string { return root + bootImage })
	if err != nil {
		return nil, err
	}
	if _, err := cwmp.Call(ctx, c, spv); err != nil {
		return nil, err
	}
	if err := d.setPending(ctx, &pending{Token: op.Token, CommandKey: op.CommandKey, Cause: "RemoteReboot", At: time.Now()}); err != nil {
		return nil, err
	}
	if _, err = cwmp.Call(ctx, c, &cwmp.Reboot{CommandKey: op.Token}); err != nil && !errors.Is(err, cwmp.ErrUnknownOutcome) {
		return nil, errors.Join(err, d.setPending(ctx, nil)) // it will not boot
	}
	return nil, err
}

// look: once the CPE has booted, its ActiveFirmwareImage tells.
func (activate) look(ctx context.Context, c cwmp.Caller, d *Device, op *operation, _ *cwmp.Inform) (*outcome, error) {
	d.mu.RLock()
	p, root, row, answered := d.head.Pending, d.head.Root, d.view().Row(objectOf(op.Command)), op.Answered
	d.mu.RUnlock()
	if p != nil && p.Token == op.Token {
		return nil, nil // it has not booted
	}
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: []string{root + activeImage}})
	if err != nil && !isFault(err) {
		return nil, err
	}
	active := ""
	if err == nil && len(resp.ParameterList) == 1 {
		active = strings.TrimSuffix(resp.ParameterList[0].Value, ".") + "."
	}
	switch {
	case active == row:
		return &outcome{stale: true}, nil
	case !answered:
		return nil, errNotBegun
	}
	return &outcome{stale: true, err: usp.Errorf(usp.CommandFailure, "the CPE has booted, but runs %q", active)}, nil
}

func (activate) poll(*operation) time.Duration { return 0 }

func (activate) cancel(context.Context, cwmp.Caller, *Device, *operation) error {
	return usp.Errorf(usp.CommandFailure, "the CPE is booting the image already")
}

func (activate) expire(*Device, *operation) *outcome { return nil }

// alarm has an operation sent when its time has come, if that is soon; else the sweep looks again.
func (d *Device) alarm(op *operation) {
	d.mu.Lock()
	wait := time.Until(op.NotBefore)
	soon := wait > 0 && wait <= sweepEvery && !op.alarmed
	op.alarmed = op.alarmed || soon
	d.mu.Unlock()
	if !soon {
		return
	}
	d.p.wg.Go(func() {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
			d.mu.Lock()
			op.alarmed = false
			d.mu.Unlock()
			d.press()
		case <-d.p.ctx.Done():
		}
	})
}
