// Package mqtt carries Records over MQTT 5.0 and 3.1.1 (TR-369, "MQTT Binding"): one Record is the payload of one PUBLISH. A Pool keeps the
// connections of many Agents, each as one of its own with its broker or as a share of a few; Controller is the other side.
package mqtt

import (
	"context"

	"isthmus/usp/mtp/broker"
	"isthmus/usp/mtp/mqtt/client"
)

// Protocol is the value of the Protocol parameter of an MTP row.
const Protocol = "MQTT"

// Pool is the mtp.Dialer of MQTT.
type Pool struct {
	*broker.Pool
	wheel  *client.Wheel
	trunks broker.Trunks[*trunkConn, *member]
}

// NewPool makes a Pool. It dials no more when ctx is done; Close ends it. Protocol and Open of the options are the Pool's own.
func NewPool(ctx context.Context, o broker.Options) *Pool {
	p := &Pool{wheel: client.NewWheel()}
	o.Protocol, o.Open = Protocol, p.open
	p.Pool = broker.New(ctx, o)
	return p
}

// Close ends all connections, each with DISCONNECT until ctx is done, and returns when that is done.
func (p *Pool) Close(ctx context.Context) {
	p.Pool.Close(ctx)
	p.trunks.Close()
	p.wheel.Close()
}
