package main

import "isthmus/cmd/isthmus/config"

type checkCmd struct {
	Config string `required:"" placeholder:"FILE" help:"Configuration file (YAML)."`
}

func (c *checkCmd) Run(a *app) error {
	_, _, err := config.Load(c.Config, a.environ)
	return err
}
