package main

import (
	"testing"

	"isthmus/cmd/isthmus/config"
)

func TestDeployedConfiguration(t *testing.T) {
	c, _, err := config.Load("../../deploy/isthmus.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.USP.Controllers) != 1 || len(c.Cache.Rules) != 2 {
		t.Errorf("read %d Controllers and %d rules", len(c.USP.Controllers), len(c.Cache.Rules))
	}
}
