package mtp

import (
	"time"

	"isthmus/usp"
)

// Target is where a Controller is reached, and how: what its MTP row says.
type Target struct {
	Controller usp.EndpointID
	Protocol   string // as Channel.Protocol
	Host       string
	Port       int
	Path       string // of the URL (RFC 3986, section 3.3)
	Encrypted  bool
	KeepAlive  time.Duration // interval of Pings
	Retry      usp.Retry     // of sessions
}

// Dialer keeps Agents connected with the Controllers of their tables: the MTP clients of a process. None of its methods waits for a peer.
type Dialer interface {
	// Connect has an Endpoint connected with these Controllers and no others, now and whenever a connection is lost. Connections that are
	// wanted still go on undisturbed. Calls for one Endpoint come one after the other.
	Connect(e Endpoint, to []Target)
	// Check says why a Target that a Controller has set must not be dialled: an *usp.Error.
	Check(t Target) error
	// Kick ends the wait before an Endpoint's next attempts: its device has shown a sign of life.
	Kick(e usp.EndpointID)
	// Reboot says that the device has restarted. Where the Endpoint's connections are to show that, they are made anew.
	Reboot(e usp.EndpointID)
	// Reset ends the connection with one Controller and makes it anew at once.
	Reset(e, controller usp.EndpointID)
	// Retries is how many attempts to connect with one Controller have failed in a row.
	Retries(e, controller usp.EndpointID) int
}
