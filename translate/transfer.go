package translate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp/agent"
)

// What TransferComplete! may say (Device:2.19).
const (
	maxFaultString = 256
	maxTransferURL = 2048
)

// transferred raises TransferComplete! for a transfer that nobody asked the CPE for (TR-069 A.3.3.3). It is on disk when it returns. A CPE that has
// not got the answer says the same again, which is no news.
func (p *Proxy) transferred(ctx context.Context, s *cwmp.Session, m *cwmp.AutonomousTransferComplete) error {
	d := p.byID(s.Inform.DeviceId)
	if d == nil || d.isOutsider(s) {
		return nil
	}
	args := transferArgs(m.TransferURL, m.IsDownload, m.FaultStruct, m.StartTime, m.CompleteTime)
	return d.autonomous(ctx, &agent.Event{Object: "Device.LocalAgent.", Name: agent.TransferComplete, Args: args})
}

// autonomous raises what a CPE tells of by itself, once however often it does.
func (d *Device) autonomous(ctx context.Context, events ...agent.Happening) error {
	var h xxhash.Digest
	h.Reset()
	for _, e := range events {
		fmt.Fprint(&h, e) // a hash takes everything
	}
	said := h.Sum64()
	d.mu.Lock()
	again := d.transfer == said
	d.mu.Unlock()
	if again {
		return nil
	}
	if err := d.agent.Raise(ctx, events...); err != nil {
		return fmt.Errorf("raising what %s has done by itself: %w", d.id, err)
	}
	d.mu.Lock()
	d.transfer = said
	d.mu.Unlock()
	return nil
}

// transferArgs are the arguments of TransferComplete! for a transfer that nobody asked for.
func transferArgs(url string, download bool, f cwmp.FaultStruct, start, end time.Time) map[string]string {
	args := map[string]string{
		"Command": "", "CommandKey": "", "Requestor": "", "Affected": "",
		"TransferType": "Upload", "TransferURL": cutTo(url, maxTransferURL),
		"StartTime": eventTime(start), "CompleteTime": eventTime(end),
		"FaultCode": "0", "FaultString": "", "CheckSumAlgorithm": "Unknown", "CheckSum": "",
	}
	if download {
		args["TransferType"] = "Download"
	}
	if f.FaultCode != 0 {
		args["FaultCode"] = strconv.Itoa(int(faultCode(f.FaultCode, operating)))
		args["FaultString"] = cutTo(fmt.Sprintf(cwmpFault+"%d %s", f.FaultCode, f.FaultString), maxFaultString)
	}
	return args
}

func eventTime(t time.Time) string {
	if t.IsZero() {
		return datamodel.UnknownTime
	}
	return t.UTC().Format(time.RFC3339)
}

// cutTo gives the first n characters.
func cutTo(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	for i := range s {
		if n--; n < 0 {
			return s[:i]
		}
	}
	return s
}
