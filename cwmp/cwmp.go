// Package cwmp speaks TR-069 (CWMP, Amendment 6) in both roles: messages as Go structs, SOAP envelopes, and the ACS side of a
// session as straight-line code. A Handler's Run is a goroutine that meets the CPE's POSTs: it calls
//
//	resp, err := cwmp.Call(ctx, caller, &cwmp.GetParameterValues{ParameterNames: names})
//
// and gets the answer, or a *Fault, or the reason why there will be none. Nothing in here knows USP.
package cwmp

import (
	"context"
	"errors"
	"fmt"
)

// DeviceID is the DeviceIdStruct of an Inform: the identity a CPE claims (TR-069 A.3.3.1).
type DeviceID struct {
	Manufacturer, OUI, ProductClass, SerialNumber string
}

// RPC is a request or response of TR-069 Annex A: a struct named after the method, fields named after its arguments. All of them
// are in this package.
type RPC interface {
	// Name is the element's local name: "GetParameterValues", "InformResponse".
	Name() string

	// arguments walks over the arguments in the order of the schema, for reading and for writing.
	arguments(*args)
}

// Request is an RPC whose answer is of type R.
type Request[R RPC] interface {
	RPC
	answeredBy(R)
}

// Caller makes one RPC to a CPE at a time. ctx governs until the request leaves: a call whose ctx has ended is never sent. Once
// it was sent, Call returns with the answer, or when the session ends, whatever ctx says: what the CPE did is not to be guessed.
// Errors: *Fault for a fault that the CPE answered; ctx's where nothing was sent; ErrUnknownOutcome (in the chain) where
// the request was sent and no answer came; ErrSessionClosed where the session had ended before.
type Caller interface {
	Call(ctx context.Context, req RPC) (RPC, error)
}

// Call is Caller.Call with the answer's type. An answer of another type is ErrUnexpectedAnswer.
func Call[R RPC](ctx context.Context, c Caller, req Request[R]) (R, error) {
	var zero R
	resp, err := c.Call(ctx, req)
	if err != nil {
		return zero, err
	}
	r, ok := resp.(R)
	if !ok {
		return zero, fmt.Errorf("%s answered with %s: %w", req.Name(), resp.Name(), ErrUnexpectedAnswer)
	}
	return r, nil
}

// The errors of a session that callers tell apart.
var (
	ErrSessionClosed    = errors.New("cwmp: session has ended")
	ErrUnknownOutcome   = errors.New("cwmp: session was lost before the CPE answered")
	ErrSuperseded       = errors.New("cwmp: a newer Inform of the same CPE took over")
	ErrTimeout          = errors.New("cwmp: CPE was silent for too long")
	ErrUnexpectedAnswer = errors.New("cwmp: unexpected answer")
	ErrDisconnected     = errors.New("cwmp: CPE hung up")
	ErrTooLarge         = errors.New("cwmp: message over the size limit")
	ErrServerClosed     = errors.New("cwmp: server is shutting down")
)

// Handler is the ACS behind a Server. For one CPE the methods are never called concurrently: a newer Inform first ends the old
// session, and End has returned before the next Begin.
type Handler interface {
	// Begin takes the Inform. When it returns nil the InformResponse goes out, which acknowledges the events: what they raise
	// must be on disk by then. A *Fault is answered as it is; any other error ends the session with 8002. An error that is a
	// *Refused is answered with its HTTP status.
	Begin(ctx context.Context, s *Session) error
	// Request answers an RPC of the CPE other than Inform and GetRPCMethods, which may come at any point of a session: also while
	// Run waits in a Call, and for a few seconds after End.
	Request(ctx context.Context, s *Session, req RPC) (RPC, error)
	// Run is the ACS half of the session; s is its Caller. It is called once the CPE sent its first empty POST, in the session's own
	// goroutine; ctx ends with the session. As long as Run neither calls nor returns, the CPE's POST is held open. Returning ends the
	// session with 204.
	Run(ctx context.Context, s *Session)
	// End says that the session is over: err is nil after a 204, else what ended it. It is called once for each Begin that
	// returned nil.
	End(s *Session, err error)
}

// Idler is a Handler that tells, from memory, whether Run would return at once. It is asked at the first POST after the Inform if that is
// empty; a session in which nobody has anything to ask ends there, without a goroutine. Without it every session has one.
type Idler interface {
	Idle(s *Session) bool
}

// Refused is an error of Begin that is answered on the HTTP level.
type Refused struct {
	Status     int // 503
	RetryAfter int // seconds, to which up to half are added, that not all come at once; 0: no header
	Reason     string
}

func (r *Refused) Error() string { return "cwmp: refused: " + r.Reason }
