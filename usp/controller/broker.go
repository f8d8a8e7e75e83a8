package controller

import (
	"context"

	"isthmus/usp/mtp/mqtt"
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
