package main

import (
	"crypto/tls"
	"os"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp"
	"isthmus/usp/identity"
)

// issuer gives an Agent its certificate; nil where the configuration names no CA.
type issuer func(usp.EndpointID) (*tls.Certificate, error)

func identityCA(c *config.Identity) (*identity.CA, error) {
	if c.CACertFile == "" {
		return nil, nil
	}
	cert, err := os.ReadFile(c.CACertFile)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(c.CAKeyFile)
	if err != nil {
		return nil, err
	}
	return identity.New(cert, key)
}
