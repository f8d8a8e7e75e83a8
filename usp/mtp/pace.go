package mtp

import "time"

// Pace is how gently a fleet's connections are made. The zero value adds nothing to the transport's own limits.
type Pace struct {
	// Connects is the least time between two Endpoints' beginning to connect with one peer.
	Connects time.Duration
	// AfterLoss is the least wait before a connection is made anew that the peer has not closed.
	AfterLoss time.Duration
}
