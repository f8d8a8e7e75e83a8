package translate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/store"
	"isthmus/translate/datamodel"
	"isthmus/usp"
	"isthmus/usp/agent"
)

// operation is an asynchronous command that a CPE carries out. It is on disk from before the Controller is told that it runs until its
// OperationComplete is, under Token, so that it survives a kill, a restart and a day without the CPE. How CPE do it is a kind's business.
//
// Its life: begin checks the arguments; it is queued until a session has nothing else to do and no older operation of the same lane is left;
// it is marked as sent, on disk, before send makes its first RPC, and never sent twice after an RPC may have reached the CPE; look sees to it at
// the start of each session that follows, and whatever else the CPE tells of it (TransferComplete) ends it with Device.complete. What nobody
// ends expires.
type operation struct {
	// These are set when it begins and do not change.
	Request    string            `json:"request"` // its row in Device.LocalAgent.Request., with the final dot
	Command    string            `json:"command"`
	CommandKey string            `json:"command_key,omitempty"` // the Controller's
	Controller usp.EndpointID    `json:"controller"`
	Args       map[string]string `json:"args,omitempty"`
	Begun      time.Time         `json:"begun"`
	Memo       map[string]string `json:"memo,omitempty"` // what its kind has found out in begin
	Token      string            `json:"-"`              // the CommandKey in CWMP

	// Device.mu guards the rest. What is not in memory alone is on disk before it counts.
	NotBefore time.Time `json:"not_before,omitzero"`
	Sent      time.Time `json:"sent,omitzero"`              // zero: queued
	Software  string    `json:"software_version,omitempty"` // of the CPE, then
	Answered  bool      `json:"answered,omitempty"`         // the CPE has taken it
	Claimed   bool      `json:"claimed,omitempty"`          // and says that it is done already
	Occupied  time.Time `json:"occupied,omitzero"`          // since when the CPE is at a test of somebody else

	kind    kind
	tried   *cwmp.Session // the last session that it was to be sent in
	active  bool          // a session is at it
	ending  bool          // somebody completes it
	there   bool          // what the relay was to fetch for it
	alarmed bool          // something waits for NotBefore
	resumed bool          // its Request is there still after a restart
	looked  time.Time     // when look saw to it
	missed  *cwmp.Inform  // of the session in which the CPE did not know of it, which is believed if it says so again
}

// kind is a way in which CPE carry out commands: Download and Upload, ChangeDUState, a diagnostics object. kindOf says which command is of which
// kind; datamodel's offered says which CPE have it. A kind has no state of its own.
type kind interface {
	// begin checks the arguments of a command and may put something in op.Memo and op.NotBefore. An error is the cmd_failure of the OperateResp.
	// There is no session.
	begin(ctx context.Context, d *Device, op *operation) error
	// lane names what can do one thing at a time: an operation waits for the older ones of its lane.
	lane(op *operation) string
	// send sets the CPE to work, in a session, which ends afterwards. With a nil outcome the end is awaited. An error that is a *cwmp.Fault or an
	// *usp.Error ends the operation; after cwmp.ErrUnknownOutcome it counts as sent; after any other it is sent in a later session.
	send(ctx context.Context, c cwmp.Caller, d *Device, op *operation) (*outcome, error)
	// look says at the start of a session, after the CPE has said what it has to say, whether an operation that was sent is over; a nil outcome is
	// no. errNotBegun says that one whose answer was lost has not reached the CPE.
	look(ctx context.Context, c cwmp.Caller, d *Device, op *operation, in *cwmp.Inform) (*outcome, error)
	// poll is after how long without a look at an operation that was sent the CPE is asked for a session; 0 is never. Device.mu is held.
	poll(op *operation) time.Duration
	// cancel has the CPE give up what was sent, in a session. An error is the cmd_failure of Cancel(), and the operation goes on.
	cancel(ctx context.Context, c cwmp.Caller, d *Device, op *operation) error
	// expire is the outcome of what was sent and has not ended in time, as far as that can be told; nil is that it cannot.
	expire(d *Device, op *operation) *outcome
}

// errNotBegun is the error of look where an operation is to be sent again.
var errNotBegun = errors.New("the CPE has not begun")

// outcome is how an operation has ended. Events are raised before its OperationComplete.
type outcome struct {
	output map[string]string
	err    *usp.Error // nil: it succeeded
	events []agent.Happening
	stale  bool // the CPE has other values now, and perhaps other rows
	late   bool // its time was over before the CPE reported anything
}

const opExpired = "expired" // a label of the metrics

// label is how an operation ended, for the metrics.
func (o *outcome) label() string {
	switch {
	case o.late:
		return opExpired
	case o.err == nil:
		return "done"
	case o.err.Code == usp.CommandCanceled:
		return "canceled"
	}
	return "failed"
}

// failed is the outcome of a command that the CPE answered with a Fault, or reported as failed.
func failed(code cwmp.FaultCode, text string) *outcome {
	return &outcome{err: usp.Errorf(usp.CommandFailure, cwmpFault+"%d %s", code, text)}
}

// kindOf finds the kind of an asynchronous command, nil where there is none.
func kindOf(command string) kind {
	c, ok := datamodel.LookupCommand(agent.GenericPath(command))
	if !ok {
		return nil
	}
	if agent.GenericPath(command) == activateCommand {
		return activate{}
	}
	switch {
	case c.Class == classDiagnostics && c.Async:
		return diagnosis{}
	case c.Class == triggerParam:
		return triggered{}
	case agent.GenericPath(command) == envRestartCommand:
		return envRestart
	}
	switch c.Class + " " + c.Target {
	case "rpc Download", "rpc Upload":
		return transferOf(c.Name)
	case "rpc ChangeDUState":
		return duOf(c.Name)
	}
	return nil
}

const (
	// maxOperations bounds the operations of one CPE.
	maxOperations = 32
	// defaultExpiry is Options.ExpireAfter where that is not set.
	defaultExpiry = 24 * time.Hour
)

// putOperation keeps an operation, unless it is over; it is on disk on return.
func (d *Device) putOperation(ctx context.Context, op *operation) error {
	d.mu.RLock()
	over := !slices.Contains(d.operations, op)
	b, err := json.Marshal(op)
	d.mu.RUnlock()
	if over {
		return nil
	}
	if err == nil {
		err = d.put(ctx, store.Op{Key: d.key(store.Operation, op.Token), Value: b})
	}
	if err != nil {
		return fmt.Errorf("keeping an operation of %s: %w", d.id, err)
	}
	return nil
}

// restoreOperation takes in what putOperation kept.
func (d *Device) restoreOperation(id string, data []byte) error {
	op := &operation{Token: id}
	if err := json.Unmarshal(data, op); err != nil {
		return fmt.Errorf("operation %s of %s: %w", id, d.id, err)
	}
	op.kind = kindOf(op.Command)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addOperation(op)
	return nil
}

// object is the object that a command belongs to, without the final dot: a path reference.
func (op *operation) object() string { return strings.TrimSuffix(objectOf(op.Command), ".") }
