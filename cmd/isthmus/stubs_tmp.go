package main

import (
	"context"
	"errors"

	"isthmus/usp/usppb"
)

type serveCmd struct {
	Config string `placeholder:"FILE" help:"Configuration file (YAML)."`
}

func (c *serveCmd) Run(a *app) error { return errors.New("soon") }

type demoCmd struct{}

func (c *demoCmd) Run(a *app) error { return errors.New("soon") }

type cpeCmd struct{}

func (c *cpeCmd) Run(a *app) error { return errors.New("soon") }

func (u *uspCmd) dial(context.Context, *usppb.Msg) (*usppb.Msg, error) {
	return nil, errors.New("soon")
}
