package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

const closeTimeout = time.Second // of a WebSocket's closing handshake

// dial sends a request as a Controller of its own.
func (u *uspCmd) dial(ctx context.Context, msg *usppb.Msg) (*usppb.Msg, error) {
	agent, err := usp.ParseEndpointID(u.Agent)
	if err != nil {
		return nil, fmt.Errorf("--agent: %w: %w", err, errUse)
	}
	as, err := usp.ParseEndpointID(u.As)
	if err != nil {
		return nil, fmt.Errorf("--as: %w: %w", err, errUse)
	}
	up, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	c := controller.New(context.WithoutCancel(ctx), controller.Options{EndpointID: as, Logger: slog.New(firstError{giveUp})})
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		c.Close(ctx)
	}()
	// The client would put our own Endpoint ID there, as an Agent's does.
	at := strings.ReplaceAll(u.Connect, "{endpoint_id}", url.PathEscape(u.Agent))
	if err := c.Dial(up, at, agent); err != nil {
		if cause := context.Cause(up); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("no USP Agent is reached at %s: %w", u.Connect, err)
	}
	resp, err := c.Agent(agent).Do(ctx, msg.GetBody().GetRequest())
	id := msg.GetHeader().GetMsgId()
	if e := (*usp.Error)(nil); errors.As(err, &e) {
		return usp.ErrorMsg(id, e), nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%s did not answer within %s: an Agent does not answer a Controller that it does not know: is %s in its Controller table?", agent, u.Timeout, as)
	}
	if err != nil {
		return nil, err
	}
	return usp.NewResponse(id, resp), nil
}

// firstError is a log that gives up at the first failure: the Controller would go on trying, but a person waits.
type firstError struct{ giveUp context.CancelCauseFunc }

func (firstError) Enabled(context.Context, slog.Level) bool { return true }

func (f firstError) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok && a.Key == "err" {
			f.giveUp(err)
		}
		return true
	})
	return nil
}

func (f firstError) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f firstError) WithGroup(string) slog.Handler      { return f }
