package translate

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"isthmus/cwmp"
	"isthmus/translate/quirks"
	"isthmus/translate/relay"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// A transfer that a CPE cannot be told of as it is goes through the relay, under a token that dies with the operation. What is downloaded is fetched and
// verified before the CPE hears of it; it is fetched anew after a restart.

const memoRelay = "relay" // the token

// unfit says why a CPE cannot be told of a transfer as it is, "" if it can.
func (d *Device) unfit(args map[string]string) string {
	for _, name := range []string{"URL", "Username", "Password"} {
		if utf8.RuneCountInString(args[name]) > maxTransferField {
			return fmt.Sprintf("%s is longer than the %d characters that CWMP has for it", name, maxTransferField)
		}
	}
	if args["CheckSum"] != "" {
		return "CWMP cannot verify a CheckSum"
	}
	d.mu.RLock()
	plain := d.habit().TransferScheme == quirks.HTTP
	d.mu.RUnlock()
	if u, err := url.Parse(args["URL"]); err == nil && u.Scheme == "https" && plain {
		return "the CPE cannot use https"
	}
	return ""
}

// relayed gives an operation that needs the relay its token.
func (d *Device) relayed(op *operation) error {
	why := d.unfit(op.Args)
	if why == "" {
		return nil
	}
	if d.p.opts.Relay == nil {
		return usp.Errorf(usp.InvalidArguments, "%s: the file would have to go through isthmus, for which transfers.listen is not set", why)
	}
	file := relayFile(op)
	if err := file.Check(); err != nil {
		return usp.Errorf(usp.InvalidArguments, "%v", err)
	}
	var token [relay.TokenLength / 2]byte
	_, _ = rand.Read(token[:]) // it does not fail
	op.Memo[memoRelay] = hex.EncodeToString(token[:])
	return nil
}

func relayFile(op *operation) relay.File {
	size, _ := strconv.ParseInt(op.Args["FileSize"], 10, 64) // begin has checked it
	return relay.File{URL: op.Args["URL"], Username: op.Args["Username"], Password: op.Args["Password"],
		Algorithm: op.Args["CheckSumAlgorithm"], CheckSum: op.Args["CheckSum"], Size: size}
}

// placeOf is where a CPE finds its file, or brings it.
func (d *Device) placeOf(op *operation) relay.File {
	if token := op.Memo[memoRelay]; token != "" && d.p.opts.Relay != nil {
		return relay.File{URL: d.p.opts.Relay.URL(token, relay.NameOf(op.Args["URL"]))}
	}
	return relayFile(op)
}

// fetching says that an operation waits for the relay. Device.mu is held.
func (op *operation) fetching() bool {
	t, ok := op.kind.(transfer)
	return ok && !t.upload && op.Memo[memoRelay] != "" && !op.there && op.Sent.IsZero()
}

// relayAll has the relay do what it did before a restart.
func (d *Device) relayAll() {
	d.mu.RLock()
	ops := slices.Clone(d.operations)
	d.mu.RUnlock()
	for _, op := range ops {
		d.relay(op)
	}
}

// relay has the relay do its part of an operation, if it has one.
func (d *Device) relay(op *operation) {
	token, r := op.Memo[memoRelay], d.p.opts.Relay
	t, ok := op.kind.(transfer)
	switch {
	case token == "" || !ok:
	case r == nil:
		d.fetched(op, 0, errNoRelay)
	case t.upload:
		r.Upload(token, relayFile(op))
	default:
		r.Download(token, relayFile(op), func(size int64, err error) { d.fetched(op, size, err) })
	}
}

var errNoRelay = errors.New("transfers.listen is not set any more")

// fetched goes on with an operation whose file is there, or ends it.
func (d *Device) fetched(op *operation, size int64, err error) {
	d.mu.Lock()
	sent := !op.Sent.IsZero()
	if err == nil && !sent {
		op.there, op.Memo = true, withSize(op.Memo, size)
	}
	d.mu.Unlock()
	switch {
	case err == nil:
		d.press()
		return
	case sent:
		d.p.log.Warn("the file of a transfer that the CPE was told of cannot be had again", "device", d.id, "err", err)
		return
	}
	if err := d.giveUp(op, err); err != nil {
		d.p.log.Error("a transfer without its file could not be ended", "device", d.id, "err", err)
	}
}

// giveUp ends an operation whose file could not be had.
func (d *Device) giveUp(op *operation, why error) error {
	ctx, out := d.p.ctx, unfetched(op, why)
	if errors.Is(why, relay.ErrCheckSum) {
		if err := d.load(ctx); err != nil {
			return err
		}
		out.events = append(out.events, d.reject(op)...)
		if err := d.putHead(ctx); err != nil {
			return err
		}
	}
	return d.complete(ctx, op, out)
}

// withSize is a memo that has the FileSize.
func withSize(memo map[string]string, size int64) map[string]string {
	out := map[string]string{}
	for k, v := range memo {
		out[k] = v
	}
	out[memoSize] = strconv.FormatInt(size, 10)
	return out
}

// unfetched is the outcome of a download whose file could not be had; the CPE was not told of it.
func unfetched(op *operation, why error) *outcome {
	err := usp.Errorf(usp.CommandFailure, "isthmus could not get the file for the CPE: %v", why)
	t, _ := op.kind.(transfer)
	out := t.ended(op, cwmp.FaultStruct{}, op.Begun, time.Now())
	for _, h := range out.events {
		if e, ok := h.(*agent.Event); ok {
			e.Args["FaultCode"], e.Args["FaultString"] = strconv.Itoa(int(err.Code)), cutTo(err.Msg, maxFaultString)
		}
	}
	out.err, out.stale = err, false
	return out
}

// delivered says whether what a CPE uploads has come to where it was to go.
func (d *Device) delivered(op *operation) bool {
	t, ok := op.kind.(transfer)
	return ok && t.upload && op.Memo[memoRelay] != "" && d.p.opts.Relay != nil && d.p.opts.Relay.Delivered(op.Memo[memoRelay])
}
