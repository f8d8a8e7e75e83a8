package usp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// EndpointID names a USP Endpoint: authority-scheme:[authority-id]:instance-id (TR-369, "Endpoint Identifier").
type EndpointID string

const (
	// maxInstanceID is the longest instance-id that an Endpoint ID may have (R-ARC.6).
	maxInstanceID = 50
	// maxEndpointID bounds what a peer may call itself; it leaves room for peers that exceed R-ARC.6.
	maxEndpointID = 256
	// urn is what an Endpoint ID is prefixed with in certificates and in the names of our version 5 UUIDs.
	urn = "urn:bbf:usp:id:"
)

// URN is how certificates name the Endpoint (R-SEC.0a).
func (id EndpointID) URN() string { return urn + string(id) }

// ErrEndpointID is in the chain of every error that says why a string is no Endpoint ID.
var ErrEndpointID = errors.New("not an Endpoint ID")

// ErrNoIdentity says that a DeviceId without OUI or SerialNumber names no Agent.
var ErrNoIdentity = errors.New("OUI or SerialNumber is empty")

// ParseEndpointID checks that s has the form of an Endpoint ID. It is as lenient as peers in the field need: scheme and authority are
// not looked up, the 50 characters of R-ARC.6 are not enforced, and any printable ASCII character but the blank may stand in the
// instance-id.
func ParseEndpointID(s string) (EndpointID, error) {
	if len(s) > maxEndpointID {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrEndpointID, maxEndpointID)
	}
	scheme, rest, ok := strings.Cut(s, ":")
	_, instance, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || scheme == "" || instance == "" {
		return "", fmt.Errorf("%w: %q is not scheme:[authority]:instance", ErrEndpointID, s)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "", fmt.Errorf("%w: %q has a byte that is no printable ASCII character", ErrEndpointID, s)
		}
	}
	return EndpointID(s), nil
}

// AgentEndpointID gives the Endpoint ID of the Agent of the CPE with this DeviceId, and its long form, which differs only where the
// long form's instance-id is over the 50 characters of R-ARC.6. The long form is ops::OUI-ProductClass-SerialNumber, or
// os::OUI-SerialNumber where there is no ProductClass; in each field every byte that is no ASCII letter, digit or "_" is
// percent-encoded, so that no two DeviceIds share one. The only error is ErrNoIdentity.
func AgentEndpointID(oui, productClass, serial string) (id EndpointID, long string, err error) {
	if oui == "" || serial == "" {
		return "", "", ErrNoIdentity
	}
	b := make([]byte, 0, 64) // of most a part of the stack: every Inform's Agent is found by its Endpoint ID
	b = append(b, "os::"...)
	if productClass != "" {
		b = append(b[:0], "ops::"...)
	}
	scheme := len(b)
	b = append(appendField(b, oui), '-')
	if productClass != "" {
		b = append(appendField(b, productClass), '-')
	}
	b = appendField(b, serial)
	long = string(b)
	if len(b)-scheme <= maxInstanceID {
		return EndpointID(long), long, nil
	}
	return EndpointID("uuid::" + uuid.NewSHA1(uuid.NameSpaceURL, []byte(urn+long)).String()), long, nil
}

func appendField(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; isAlnum(c) || c == '_' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlnum(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' }
