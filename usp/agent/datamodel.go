package agent

import (
	"context"

	"isthmus/usp"
)

// DataModel is a source of objects behind an Agent: the tree of a CPE, or the Agent's own LocalAgent tables. It takes whole
// messages: all paths of a request in one call, one result for each, in order. Every ctx carries the deadline of the answer;
// an implementation answers by then, with an error if need be. All paths are Device:2 paths with instance numbers. Errors that
// are *usp.Error go to the Controller as they are.
//
// A DataModel knows nothing of messages, allow_partial, search expressions or roles: the Agent does that once, for all sources.
type DataModel interface {
	// Supported gives the supported data model. It may wait (until ctx ends, then 7800) until the model is known as a whole.
	Supported(ctx context.Context) (*Model, error)
	// Read resolves and reads. A Reading without objects and without error means: supported, but nothing there.
	Read(ctx context.Context, queries []Query) []Reading
	// Set writes all of the parameters or none and returns them with the values they have now. An *usp.Error with Params
	// names the offenders. 7801 says that the outcome is unknown.
	Set(ctx context.Context, writes []Write) ([]Write, error)
	// Add creates rows, in order. With atomic, either all are created or none, and then the one that failed carries its
	// error and the others 7002. A failed required parameter undoes its row; a failed other one is listed in Failed.
	Add(ctx context.Context, rows []Creation, atomic bool) []Created
	// Delete removes instances, in order, one error (or nil) each. An instance that is not there is no error.
	Delete(ctx context.Context, instances []string) []error
	// Operate runs a synchronous command and returns its output arguments.
	Operate(ctx context.Context, inv *Invocation) (map[string]string, error)
}

// Query asks for what one path denotes.
type Query struct {
	// Path is a parameter ("Device.X.Y") or an object with its final dot ("Device.X.", a table "Device.T." or an instance
	// "Device.T.1."). "*" may stand for instance numbers. An object path asks for everything below it.
	Path string
	// Depth limits the object levels, counted as R-GET.5 does; 1 is the object itself (of a table: its instances); 0 is no limit.
	Depth int
	// RowsOnly asks which objects exist, without their parameters.
	RowsOnly bool
	// Cached forbids to ask the CPE: what is known is given, whatever its age. It is asked for while the Agent is raising something, so the
	// answer must not wait for anyone who might be in Agent.Raise.
	Cached bool
}

// Reading is the answer to one Query.
type Reading struct {
	// Objects are concrete, parents before children, instances by number. With a parameter query each has that one parameter.
	Objects []Object
	// Err is a *usp.Error: 7026 where the supported data model lacks the path, 7800 and 7803 where the CPE could not be asked.
	Err error
}

// Object is one object instance that exists; Path has its final dot.
type Object struct {
	Path   string
	Params []Param
}

// Param is a parameter of an Object: a relative name without dots and a value in USP's lexical form.
type Param struct{ Name, Value string }

// Write sets one parameter, named by its full path.
type Write struct{ Path, Value string }

// Creation asks for one row. Table is concrete and ends in a dot.
type Creation struct {
	Table  string
	Params []Setting
}

// Setting is a parameter of a new row; Name is relative to the row and may descend into single-instance sub-objects.
type Setting struct {
	Name, Value string
	Required    bool
}

// Created is the outcome of one Creation.
type Created struct {
	Path   string            // the new instance, with its final dot
	Keys   map[string]string // its unique keys, as far as the row has them
	Failed []usp.ParamError  // parameters that are not required and failed; Path is relative
	Err    error             // set: no row was created, and the other fields are void
}

// ErrCollateral is the Err of a row of an atomic Add that was not created only because another one failed.
var ErrCollateral = usp.Errorf(usp.RequestDenied, "another object of the message could not be created")

// Invocation is one command to run.
type Invocation struct {
	Command    string // concrete, with "()" at its end
	CommandKey string
	Controller usp.EndpointID
	Args       map[string]string
}

// Happening is something that subscriptions may ask for: *ValueChange, *ObjectCreation, *ObjectDeletion, *Event,
// *OperationComplete.
type Happening interface{ happening() }

// ValueChange says that a parameter has a new value, whoever changed it.
// Old is what it was before, empty where that cannot be told; Thresholds go by it. Quiet says that it is a counter or clock: only Subscriptions
// that name the parameter itself, not an object above it, are told.
type ValueChange struct {
	Path, Value, Old string
	Quiet            bool
}

// ObjectCreation says that a row is there that was not.
type ObjectCreation struct {
	Path string
	Keys map[string]string
}

// ObjectDeletion says that a row is gone.
type ObjectDeletion struct{ Path string }

// Event is an event of the data model: Event{"Device.", "Boot!", …}.
type Event struct {
	Object, Name string
	Args         map[string]string
}

// OperationComplete is the end of an asynchronous command; Err set means that it failed.
type OperationComplete struct {
	Object, Command, CommandKey string
	Output                      map[string]string
	Err                         *usp.Error

	request string // the row it had; "" if none of this Agent
}

func (*ValueChange) happening()       {}
func (*ObjectCreation) happening()    {}
func (*ObjectDeletion) happening()    {}
func (*Event) happening()             {}
func (*OperationComplete) happening() {}
