package config

import (
	"errors"
	"os"

	"isthmus/usp/identity"
)

// checkIdentity looks at the CA of the Agents' certificates.
func (l *loader) checkIdentity(i *Identity) {
	const certKey, keyKey = "usp.identity.ca_cert_file", "usp.identity.ca_key_file"
	switch {
	case i.CACertFile == "" && i.CAKeyFile == "":
		return
	case i.CAKeyFile == "":
		l.add(certKey, "has no %s: set both", keyKey)
		return
	case i.CACertFile == "":
		l.add(keyKey, "has no %s: set both", certKey)
		return
	}
	cert, err := os.ReadFile(i.CACertFile)
	if err != nil {
		l.add(certKey, "cannot be read: %v", err)
	}
	key, keyErr := os.ReadFile(i.CAKeyFile)
	if keyErr != nil {
		l.add(keyKey, "cannot be read: %v", keyErr)
	}
	if err != nil || keyErr != nil {
		return
	}
	switch _, err := identity.New(cert, key); {
	case err == nil:
	case errors.Is(err, identity.ErrKeyType):
		l.add(keyKey, "%v: give isthmus a CA with an ECDSA P-256 key", err)
	case errors.Is(err, identity.ErrExpired):
		l.add(certKey, "%v: renew it", err)
	case errors.Is(err, identity.ErrNotCA):
		l.add(certKey, "%v", err)
	default:
		l.add(certKey, "does not load together with ca_key_file: %v", err)
	}
}
