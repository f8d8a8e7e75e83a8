package translate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"isthmus/cwmp"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// The file types of TR-069 (A.3.2.8, A.4.1.5). Those for uploads end in the number of a row; a CPE of CWMP 1.0 or 1.1, or without the table, knows
// the ones without.
const (
	firmwareUpgrade  = "1 Firmware Upgrade Image"
	storedFirmware   = "6 Stored Firmware Image"
	configDownload   = "3 Vendor Configuration File"
	configUpload     = "3 Vendor Configuration File "
	configUploadOld  = "1 Vendor Configuration File"
	vendorLog        = "4 Vendor Log File "
	vendorLogOld     = "2 Vendor Log File"
	maxTransferField = 256 // characters of URL, Username, Password and TargetFileName
)

// transfer is the kind of the commands that are a Download or an Upload.
type transfer struct {
	upload   bool
	fileType string // of an upload with the number of a row behind it
	old      string // what is tried where the CPE does not know fileType
}

// transferOf is the kind of a command by its name.
func transferOf(command string) kind {
	switch command {
	case "Download()":
		return transfer{fileType: firmwareUpgrade}
	case "Restore()":
		return transfer{fileType: configDownload}
	case "Backup()":
		return transfer{upload: true, fileType: configUpload, old: configUploadOld}
	case "Upload()":
		return transfer{upload: true, fileType: vendorLog, old: vendorLogOld}
	}
	return nil
}

// What begin notes down of a transfer.
const (
	memoType = "file_type"
	memoSize = "file_size"
)

func (t transfer) begin(ctx context.Context, d *Device, op *operation) error {
	if op.Args["URL"] == "" {
		return usp.Errorf(usp.InvalidArguments, "URL is empty")
	}
	if utf8.RuneCountInString(op.Args["TargetFileName"]) > maxTransferField {
		return usp.Errorf(usp.InvalidArguments, "TargetFileName is longer than the %d characters that CWMP has for it", maxTransferField)
	}
	op.Memo = map[string]string{memoType: t.fileType, memoSize: "0"}
	if err := d.relayed(op); err != nil {
		return err
	}
	if err := d.accept(ctx, op); err != nil {
		return err
	}
	if size := op.Args["FileSize"]; size != "" {
		n, err := strconv.ParseUint(size, 10, 32)
		if err != nil {
			return usp.Errorf(usp.InvalidArguments, "FileSize must be from 0 to 4294967295")
		}
		op.Memo[memoSize] = strconv.FormatUint(n, 10)
	}
	switch {
	case t.upload:
		d.mu.RLock()
		row := d.view().Row(objectOf(op.Command))
		d.mu.RUnlock()
		number := row[strings.LastIndexByte(strings.TrimSuffix(row, "."), '.')+1:]
		op.Memo[memoType] = t.fileType + strings.TrimSuffix(number, ".")
	case t.fileType == firmwareUpgrade:
		switch activate := op.Args["AutoActivate"]; activate {
		case "true", "1":
		case "false", "0":
			d.mu.RLock()
			one := d.head.OneImage
			d.mu.RUnlock()
			if one {
				return usp.Errorf(usp.InvalidArguments, "AutoActivate must be true: the CPE keeps no image beside the one that runs")
			}
			op.Memo[memoType] = storedFirmware
		default:
			return usp.Errorf(usp.InvalidArguments, "AutoActivate is no boolean: %q", activate)
		}
	}
	return nil
}

// lane: one firmware at a time, and one transfer of any other object.
func (t transfer) lane(op *operation) string {
	if t.fileType == firmwareUpgrade {
		return firmwareLane
	}
	return objectOf(op.Command)
}

const firmwareLane = "firmware"

func (t transfer) send(ctx context.Context, c cwmp.Caller, d *Device, op *operation) (*outcome, error) {
	var status int
	var start, end time.Time
	at := d.placeOf(op)
	if t.upload {
		u := &cwmp.Upload{CommandKey: op.Token, FileType: op.Memo[memoType], URL: at.URL, Username: at.Username, Password: at.Password}
		resp, err := cwmp.Call(ctx, c, u)
		if f := (*cwmp.Fault)(nil); errors.As(err, &f) && f.Code == cwmp.FaultInvalidArguments {
			u.FileType = t.old
			resp, err = cwmp.Call(ctx, c, u)
		}
		if err != nil {
			return nil, err
		}
		status, start, end = resp.Status, resp.StartTime, resp.CompleteTime
	} else {
		size, err := strconv.Atoi(op.Memo[memoSize])
		if err != nil {
			return nil, fmt.Errorf("FileSize: %w", err)
		}
		resp, err := cwmp.Call(ctx, c, &cwmp.Download{CommandKey: op.Token, FileType: op.Memo[memoType], URL: at.URL,
			Username: at.Username, Password: at.Password, FileSize: size, TargetFileName: op.Args["TargetFileName"]})
		if err != nil {
			return nil, err
		}
		status, start, end = resp.Status, resp.StartTime, resp.CompleteTime
	}
	if status != 0 {
		return nil, nil
	}
	return t.claimed(ctx, c, d, op, start, end)
}

// claimed is for a CPE that says that a transfer is done already, which is true of few (row S15): it is believed where the transfer is in no list of
// those under way, and a firmware only when the CPE has booted.
func (t transfer) claimed(ctx context.Context, c cwmp.Caller, d *Device, op *operation, start, end time.Time) (*outcome, error) {
	queued, _, err := d.queuedTransfers(ctx, c)
	if err != nil && !isFault(err) {
		return nil, nil // sent it is; the rest is to be told later
	}
	if slices.Contains(queued, op.Token) {
		return nil, nil
	}
	d.mu.Lock()
	op.Claimed = true
	d.mu.Unlock()
	if op.Memo[memoType] == firmwareUpgrade {
		return nil, nil
	}
	return t.ended(op, cwmp.FaultStruct{}, start, end), nil
}

func isFault(err error) bool {
	var f *cwmp.Fault
	return errors.As(err, &f)
}

// queuedTransfers lists the CommandKeys of the transfers that the CPE has not done; known is false where it has no RPC for that.
func (d *Device) queuedTransfers(ctx context.Context, c cwmp.Caller) (keys []string, known bool, err error) {
	d.mu.RLock()
	rpcs := d.head.RPCs
	d.mu.RUnlock()
	switch {
	case slices.Contains(rpcs, "GetAllQueuedTransfers"):
		var resp *cwmp.GetAllQueuedTransfersResponse
		if resp, err = cwmp.Call(ctx, c, &cwmp.GetAllQueuedTransfers{}); err == nil {
			for _, t := range resp.TransferList {
				keys = append(keys, t.CommandKey)
			}
		}
	case slices.Contains(rpcs, "GetQueuedTransfers"):
		var resp *cwmp.GetQueuedTransfersResponse
		if resp, err = cwmp.Call(ctx, c, &cwmp.GetQueuedTransfers{}); err == nil {
			for _, t := range resp.TransferList {
				keys = append(keys, t.CommandKey)
			}
		}
	default:
		return nil, false, nil
	}
	return keys, err == nil, err
}

// look: a firmware is there when the CPE says that it runs another than before, whatever became of TransferComplete (row S13), or when it has booted
// and had said that it was done.
func (t transfer) look(ctx context.Context, c cwmp.Caller, d *Device, op *operation, in *cwmp.Inform) (*outcome, error) {
	d.mu.RLock()
	done, answered := op.Claimed && d.rebooted, op.Answered
	d.mu.RUnlock()
	if done {
		return t.ended(op, cwmp.FaultStruct{}, time.Time{}, time.Time{}), nil
	}
	if out := t.expire(d, op); out != nil || answered {
		return out, nil
	}
	// A Download is never repeated blindly (row S7). One that is in no list may have ended since the CPE has said what it has to say, which it then
	// says in its next session.
	queued, known, err := d.queuedTransfers(ctx, c)
	if err != nil && !isFault(err) {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	missed := op.missed
	if op.missed = nil; !known || slices.Contains(queued, op.Token) {
		return nil, nil
	}
	if missed == nil || missed == in {
		op.missed = in
		return nil, nil
	}
	return nil, errNotBegun
}

// poll has the CPE come once more where a transfer was missed in its list.
func (transfer) poll(op *operation) time.Duration {
	if op.missed != nil {
		return sweepEvery
	}
	return 0
}

func (transfer) cancel(ctx context.Context, c cwmp.Caller, d *Device, op *operation) error {
	d.mu.RLock()
	can := slices.Contains(d.head.RPCs, "CancelTransfer")
	d.mu.RUnlock()
	if !can {
		return usp.Errorf(usp.CommandFailure, "the CPE cannot cancel a transfer that it has begun")
	}
	_, err := cwmp.Call(ctx, c, &cwmp.CancelTransfer{CommandKey: op.Token})
	return err
}

func (t transfer) expire(d *Device, op *operation) *outcome {
	if d.delivered(op) {
		return t.ended(op, cwmp.FaultStruct{}, time.Time{}, time.Time{})
	}
	d.mu.RLock()
	replaced := op.Software != "" && d.head.Software != op.Software
	d.mu.RUnlock()
	if op.Memo[memoType] != firmwareUpgrade || !replaced {
		return nil
	}
	return t.ended(op, cwmp.FaultStruct{}, time.Time{}, time.Time{})
}

// ended is the outcome of a transfer, with its TransferComplete!.
func (t transfer) ended(op *operation, f cwmp.FaultStruct, start, end time.Time) *outcome {
	args := transferArgs(op.Args["URL"], !t.upload, f, start, end)
	args["Command"], args["CommandKey"], args["Requestor"], args["Affected"] = op.Command, op.CommandKey, string(op.Controller), op.object()
	if sum := op.Args["CheckSum"]; sum != "" {
		args["CheckSumAlgorithm"], args["CheckSum"] = op.Args["CheckSumAlgorithm"], sum
	}
	out := &outcome{stale: !t.upload}
	if f.FaultCode != 0 {
		out = failed(f.FaultCode, f.FaultString)
	}
	out.events = []agent.Happening{&agent.Event{Object: "Device.LocalAgent.", Name: agent.TransferComplete, Args: args}}
	return out
}

// reported takes a TransferComplete. Whatever it is of, the CPE is answered, or it would repeat it for ever (row S14).
func (p *Proxy) reported(ctx context.Context, s *cwmp.Session, m *cwmp.TransferComplete) error {
	d := p.byID(s.Inform.DeviceId)
	if d == nil || d.isOutsider(s) {
		return nil
	}
	op := d.meant(m.CommandKey, func(k kind) bool { _, ok := k.(transfer); return ok })
	if op == nil {
		p.log.Debug("a transfer has ended that nobody waits for", "device", d.id)
		return nil
	}
	t, _ := op.kind.(transfer)
	fault := m.FaultStruct
	if d.delivered(op) {
		fault = cwmp.FaultStruct{} // a CPE that did not wait for the last answer
	}
	if err := d.complete(ctx, op, t.ended(op, fault, m.StartTime, m.CompleteTime)); err != nil {
		return fmt.Errorf("ending a transfer of %s: %w", d.id, err)
	}
	return nil
}

// meant finds the operation of some kinds that a CommandKey of the CPE means: the one that has it, or that has it in full where the CPE has cut it, or
// the only one there is (rows S13, S14); nil where there is none. A key that has the form of ours, but is not known, is of one that is over.
func (d *Device) meant(key string, of func(kind) bool) *operation {
	open := slices.DeleteFunc(d.sent(), func(op *operation) bool { return !of(op.kind) })
	cut := slices.DeleteFunc(slices.Clone(open), func(op *operation) bool { return !strings.HasPrefix(op.Token, key) })
	switch {
	case key != "" && len(cut) == 1:
		return cut[0]
	case len(open) != 1 || isToken(key):
		return nil
	}
	return open[0]
}

// isToken says whether a CommandKey could be one of ours.
func isToken(key string) bool {
	return len(key) == tokenLength && strings.Trim(key, "0123456789abcdef") == ""
}
