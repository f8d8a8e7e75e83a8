package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// readyCmd is the health check of places that have no HTTP client, such as a container that holds isthmus alone.
type readyCmd struct {
	adminFlags `embed:""`
	Alive      bool `help:"Ask only whether the process can serve, not whether it does."`
}

const readyTimeout = 5 * time.Second

func (c *readyCmd) Run(a *app) error {
	ctx, cancel := context.WithTimeout(a.ctx, readyTimeout)
	defer cancel()
	path := "/readyz"
	if c.Alive {
		path = "/healthz"
	}
	state, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s", state)
	return err
}
