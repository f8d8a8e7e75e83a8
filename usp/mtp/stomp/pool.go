// Package stomp carries Records over STOMP 1.2 (TR-369, "STOMP Binding"): one Record is the body of one SEND. A Pool keeps the connections of many
// Agents, each as one of its own with its server or as a share of a few; Controller is the other side.
package stomp

import (
	"context"

	"isthmus/usp/mtp/broker"
)

// Protocol is the value of the Protocol parameter of an MTP row.
const Protocol = "STOMP"

// Pool is the mtp.Dialer of STOMP.
type Pool struct {
	*broker.Pool
	trunks broker.Trunks[*trunkConn, *member]
}

// NewPool makes a Pool. It dials no more when ctx is done; Close ends it. Protocol and Open of the options are the Pool's own.
func NewPool(ctx context.Context, o broker.Options) *Pool {
	p := &Pool{}
	o.Protocol, o.Open = Protocol, p.open
	p.Pool = broker.New(ctx, o)
	return p
}

// Close ends all connections, each with DISCONNECT until ctx is done, and returns when that is done.
func (p *Pool) Close(ctx context.Context) {
	p.Pool.Close(ctx)
	p.trunks.Close()
}
