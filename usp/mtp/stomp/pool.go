// Package stomp carries Records over STOMP 1.2 (TR-369, "STOMP Binding"): one Record is the body of one SEND. A Pool keeps the connections of many
// Agents, each as one of its own with its server; Controller is the other side.
package stomp

import (
	"context"

	"isthmus/usp/mtp/broker"
)

// Protocol is the value of the Protocol parameter of an MTP row.
const Protocol = "STOMP"

// NewPool makes the mtp.Dialer of STOMP. It dials no more when ctx is done; Close ends it. Protocol and Open of the options are its own.
func NewPool(ctx context.Context, o broker.Options) *broker.Pool {
	o.Protocol, o.Open = Protocol, open
	return broker.New(ctx, o)
}
