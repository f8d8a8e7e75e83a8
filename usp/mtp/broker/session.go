// Package broker keeps Agents connected with Controllers behind message brokers: what the Dialers of MQTT and STOMP have in common. Each Agent has
// one connection for each row of Device.MQTT.Client. or Device.STOMP.Connection. that its Controllers' MTPs refer to, and on it one Channel for each
// of those Controllers. Connections are set up a bounded number at a time and lost ones are made anew after the Target's back-off, so that a
// broker that comes back meets no herd.
//
// An Agent that waits costs a timer; one that is connected what its protocol's Session costs, and a Channel for each Controller.
package broker

import (
	"context"
	"net"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

// Opener makes the connection of an Endpoint and subscribes to where its Controllers' Records arrive. ctx bounds that. Of an error, a Refusal
// says what it means for the next attempt.
type Opener func(ctx context.Context, s *Setup) (Session, error)

// Setup is what a Session is made of.
type Setup struct {
	Endpoint usp.EndpointID
	// To are the Controllers behind the connection, at least one. All but Controller and what says where it listens is the same in all.
	To []mtp.Target
	// Assigned is the ClientID that the broker has chosen earlier, "" if it has not.
	Assigned string
	// Shared is how many connections the Agents share that have the same Way; 0: each has its own.
	Shared int
	Way    any
	Host
}

// Host is what a Session calls.
type Host interface {
	// Dial opens what the protocol runs over: TCP, TLS, or a WebSocket of that subprotocol.
	Dial(ctx context.Context) (net.Conn, error)
	// Hosts says whether an Endpoint is another one of this process.
	Hosts(id usp.EndpointID) bool
	// Receive takes a Record from the Session's goroutine, also before Opener returns. It does not wait.
	Receive(record []byte, reply mtp.Address)
	// Refuse counts a message that is not handed over, and says in the log why: once for each reason and broker.
	Refuse(reason, text string)
	// Down is called once, when a Session that Opener has returned is over; perhaps before Opener returns.
	Down(err error)
}

// Session is a connection with a broker that is up.
type Session interface {
	// Send publishes a Record: to a Controller's own address, or where a request wanted its answer.
	Send(ctx context.Context, record []byte, controller *mtp.Target, to mtp.Address) error
	// MaxSize is the largest Record in bytes, 0 for no limit.
	MaxSize() int
	ConnectRecord() *usppb.Record
	// State is what the broker has assigned; Status, Since and Failures are left out.
	State() mtp.State
	// Resubscribe follows Targets of which only where the Endpoint listens has changed (R-MQTT.34, R-STOMP.29). With an error the connection is
	// made anew.
	Resubscribe(ctx context.Context, to []mtp.Target) error
	// Close ends the Session: in order, once ctx is done without a word.
	Close(ctx context.Context)
}

// Refusal is an error of an Opener that says more than that it will be tried again.
type Refusal struct {
	Err    error
	Status mtp.Status // Misconfigured: no new attempt until the Target changes, the Agent is reset or its device restarts
}

func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Err }
