package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"isthmus/cmd/isthmus/admin"
)

type traceCmd struct {
	adminFlags `embed:""`
	ID         string `arg:"" help:"Endpoint ID of the device; or the ID of a trace, such as an exemplar names, whose exchange is shown."`
	Follow     bool   `short:"f" help:"Go on with what happens from now on, until interrupted."`
	JSON       bool   `help:"Print JSON, as the admin address gives it; with --follow one exchange a line, with --soap one message."`

	SOAP bool          `name:"soap" help:"Capture the messages between CPE and proxy from now on, without secrets, until the time is over or interrupted."`
	For  time.Duration `default:"5m" placeholder:"DURATION" help:"How long --soap captures, an hour at most (${default})."`
}

// followInterval is how often --follow asks.
const followInterval = time.Second

func (c *traceCmd) Run(a *app) error {
	ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if c.SOAP {
		return c.soap(ctx, a)
	}
	if !strings.Contains(c.ID, "::") && !c.Follow { // which every Endpoint ID has
		return c.traced(ctx, a)
	}
	t, err := c.read(ctx)
	if err != nil {
		return err
	}
	if c.JSON && !c.Follow {
		return printJSON(a, t)
	}
	for last := ""; ; {
		fresh := t.Exchanges // the last that ended first
		if i := slices.IndexFunc(fresh, func(e admin.Exchange) bool { return e.TraceID == last }); i >= 0 {
			fresh = fresh[:i]
		}
		for _, e := range slices.Backward(fresh) {
			if err := c.print(a, &e); err != nil {
				return err
			}
			last = e.TraceID
		}
		if !c.Follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followInterval):
		}
		if t, err = c.read(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

func (c *traceCmd) read(ctx context.Context) (*admin.Trace, error) {
	t := new(admin.Trace)
	return t, c.get(ctx, "devices/"+admin.Segment(c.ID)+"/trace", t)
}

// traced shows the exchange of one trace.
func (c *traceCmd) traced(ctx context.Context, a *app) error {
	var t admin.Traced
	if err := c.get(ctx, "traces/"+admin.Segment(c.ID), &t); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(a, &t)
	}
	if _, err := fmt.Fprintln(a.stdout, t.EndpointID); err != nil {
		return err
	}
	return c.print(a, &t.Exchange)
}

// print shows one exchange, and below it the RPCs that it became.
func (c *traceCmd) print(a *app, e *admin.Exchange) error {
	if c.JSON {
		return json.NewEncoder(a.stdout).Encode(e)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-14s  %s  %s  %.1f ms  %s  %s\n", clock(e.Time), e.Message, e.Controller, e.Result, e.DurationMS, e.Why, e.TraceID)
	if len(e.Paths) > 0 {
		fmt.Fprintf(&b, "    %s\n", strings.Join(e.Paths, "\n    "))
	}
	for _, r := range e.CWMP {
		fmt.Fprintf(&b, "    %s  %s  %s  %.1f ms", clock(r.Time), r.RPC, r.Result, r.DurationMS)
		if r.Session != "" {
			fmt.Fprintf(&b, "  session %s", r.Session)
		}
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(a.stdout, printable(b.String()))
	return err
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
