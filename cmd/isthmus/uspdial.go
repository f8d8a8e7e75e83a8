package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/mtp/mqtt"
	"isthmus/usp/mtp/stomp"
	"isthmus/usp/usppb"
)

const closeTimeout = time.Second // of a Controller's connections

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
	switch {
	case strings.HasPrefix(u.Connect, "mqtt"):
		err = u.overBroker(up, c, true)
	case strings.HasPrefix(u.Connect, "stomp"):
		err = u.overBroker(up, c, false)
	default:
		err = u.overWebSocket(up, c, agent)
	}
	if err != nil {
		return nil, err
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

// overWebSocket reaches the Agent where it listens.
func (u *uspCmd) overWebSocket(ctx context.Context, c *controller.Controller, agent usp.EndpointID) error {
	// The client would put our own Endpoint ID there, as an Agent's does.
	at := strings.ReplaceAll(u.Connect, "{endpoint_id}", url.PathEscape(u.Agent))
	if err := c.Dial(ctx, at, agent); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("no USP Agent is reached at %s: %w", u.Connect, err)
	}
	return nil
}

// overBroker listens at an MQTT broker or a STOMP server.
func (u *uspCmd) overBroker(ctx context.Context, c *controller.Controller, overMQTT bool) error {
	at, err := url.Parse(u.Connect)
	if err != nil {
		return fmt.Errorf("--connect: no URL: write mqtt://host:port or stomp://host:port: %w", errUse)
	}
	user := at.User
	at.User = nil
	b, problem := config.BrokerURL(at.String(), overMQTT)
	if problem != "" {
		return fmt.Errorf("--connect: %s: %w", problem, errUse)
	}
	password, _ := user.Password()
	dial := func(context.Context) (net.Conn, error) { // which would go on when the person has given up
		if b.TLS {
			return (&tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", b.String())
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", b.String())
	}
	if overMQTT {
		err = c.MQTT(mqtt.ControllerOptions{Dial: dial, Version: u.MQTTVersion, Username: user.Username(), Password: password,
			Topic: cmp.Or(u.ReplyTopic, "usp/controller/"+u.As), AgentTopic: cmp.Or(u.Topic, "usp/agent/{endpoint_id}")})
	} else {
		err = c.STOMP(stomp.ControllerOptions{Dial: dial, Login: user.Username(), Passcode: password, Host: "/",
			Destination: cmp.Or(u.ReplyTopic, "/queue/usp.controller."+u.As), AgentDestination: cmp.Or(u.Topic, "/queue/usp.agent.{endpoint_id}")})
	}
	if err != nil {
		return fmt.Errorf("the broker at %s is of no use: %w", b, err)
	}
	return nil
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
