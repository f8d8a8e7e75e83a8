package main

import (
	"errors"
)

type demoCmd struct{}

func (c *demoCmd) Run(a *app) error { return errors.New("soon") }
