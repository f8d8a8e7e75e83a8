package controller

import (
	"context"
	"fmt"
	"net"

	"isthmus/usp"
	"isthmus/usp/mtp"
	"isthmus/usp/mtp/websocket"
)

const listenPath = "/usp"

// Listen lets Agents dial in over WebSocket at addr, host:port, and gives the URL that they dial. Close ends it.
func (c *Controller) Listen(ctx context.Context, addr string) (url string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("controller listening: %w", err)
	}
	o := websocket.ServerOptions{Path: listenPath, Logger: c.o.Logger}
	scheme := "ws://"
	if t := c.o.TLS; t != nil && (len(t.Certificates) > 0 || t.GetCertificate != nil) {
		o.TLS, scheme = t, "wss://"
	}
	s := websocket.NewServer(func(usp.EndpointID) (mtp.Endpoint, bool) { return c, true }, o)
	c.wg.Go(func() {
		if err := s.Serve(l); err != nil {
			c.o.Logger.Error("controller stopped listening", "controller", c.o.EndpointID, "err", err)
		}
	})
	c.onClose(s.Shutdown)
	return scheme + l.Addr().String() + listenPath, nil
}

// Dial connects to the WebSocket of an Agent, or of many behind one URL if agent is "", and keeps the connection until Close. It
// returns when a connection to the Agent is up, or with the error of ctx.
func (c *Controller) Dial(ctx context.Context, url string, agent usp.EndpointID) error {
	client, err := websocket.NewClient(c.ctx, websocket.ClientOptions{URL: url, Controller: agent, TLS: c.o.TLS, Logger: c.o.Logger})
	if err != nil {
		return err
	}
	c.onClose(client.Close)
	client.Add(c)
	if agent == "" {
		return nil
	}
	return c.Agent(agent).WaitUp(ctx)
}

func (c *Controller) onClose(f func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closer = append(c.closer, f)
}
