package controller

import (
	"context"

	"isthmus/usp/mtp/mqtt"
	"isthmus/usp/mtp/stomp"
)

// MQTT has the Controller listen at a topic of a broker until Close, and returns when it does.
func (c *Controller) MQTT(o mqtt.ControllerOptions) error {
	if o.Logger == nil {
		o.Logger = c.o.Logger
	}
	m, err := mqtt.NewController(c.ctx, c, o)
	if err != nil {
		return err
	}
	c.onClose(func(context.Context) { m.Close() })
	return nil
}

// STOMP has the Controller listen at a destination of a server until Close, and returns when it does.
func (c *Controller) STOMP(o stomp.ControllerOptions) error {
	if o.Logger == nil {
		o.Logger = c.o.Logger
	}
	s, err := stomp.NewController(c.ctx, c, o)
	if err != nil {
		return err
	}
	c.onClose(func(context.Context) { s.Close() })
	return nil
}
