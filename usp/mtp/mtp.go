// Package mtp is the seam between a USP Endpoint and the Message Transfer Protocols that carry its Records (TR-369, chapter
// "Message Transfer Protocols"). The engine knows Channels; only a transport package knows sockets, topics or destinations.
package mtp

import (
	"context"
	"crypto/x509"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// Channel reaches one peer for one Endpoint: a connection of its own, or a share of a connection that carries many Endpoints.
type Channel interface {
	// Peer is the Endpoint at the other side, "" where the transport cannot say.
	Peer() usp.EndpointID
	// Protocol is the value of the Protocol parameter of an MTP row: "WebSocket", "MQTT", "STOMP".
	Protocol() string
	// Send returns when the peer's MTP has the encoded Record as surely as this MTP can say, or with an error that says why not
	// (ErrTooBig, ErrDown, ctx's). It may be called from any goroutine. To is the reply address of a request that was received,
	// "" for anything unsolicited.
	Send(ctx context.Context, record []byte, to Address) error
	// MaxSize is the largest Record in bytes that can be sent, 0 for no limit.
	MaxSize() int
	// ConnectRecord has the record type that announces the Endpoint on this MTP (R-MTP.6); the engine fills in the rest and
	// sends it first.
	ConnectRecord() *usppb.Record
	// Close ends this Endpoint's use of the channel. The peer is told code and reason where the MTP can.
	Close(reason CloseReason)
}

// Address is where the answer to a received Record goes, in the transport's own terms; "" is the peer itself.
type Address string

// CloseReason says why an Endpoint closes a Channel.
type CloseReason int

// The reasons to close.
const (
	Normal     CloseReason = iota // shutdown, removal
	BadRecord                     // something that is no Record came in (WebSocket: 1003, R-WS.16)
	Superseded                    // another channel to the same peer took over (R-WS.4)
)

// Endpoint is what a transport serves: an Agent or a Controller. None of the methods may block; Up, Receive and Down of one
// Channel are called in that order from one goroutine.
type Endpoint interface {
	EndpointID() usp.EndpointID
	// Up says that a channel is ready to send.
	Up(ch Channel)
	// Receive hands over one encoded Record, which the callee owns. reply is where an answer goes. An error ends the
	// channel as BadRecord: the bytes were no Record.
	Receive(ch Channel, record []byte, reply Address) error
	// Down says that the channel is gone, and why.
	Down(ch Channel, reason error)
}

type mtpError string

func (e mtpError) Error() string { return string(e) }

// The errors of Send that callers tell apart.
const (
	ErrTooBig mtpError = "mtp: record is larger than the channel takes"
	ErrDown   mtpError = "mtp: channel is down"
)

// Truster is implemented by Channels that know how far Peer is proven. A Channel without it was set up by configuration.
type Truster interface {
	// Trusted says that the peer is the Endpoint it says it is: we dialled it, its certificate names it, or the operator vouches.
	Trusted() bool
}

// Certified is implemented by Channels that know what certificates the peer has shown together with the proof that they are its own.
type Certified interface {
	// Certificates are the peer's, its own first; none if it showed none. The caller must not change them.
	Certificates() []*x509.Certificate
}

// Authenticator is implemented by Endpoints that judge by themselves what a certificate is worth. A transport that has one asks it, besides
// or instead of having CAs of its own.
type Authenticator interface {
	// Authenticate judges what a peer has shown, its own certificate first, and proven to have the key of. Proven says that it is the
	// Endpoint that it says it is; neither that nor an error, that its certificate is good and names no Endpoint. With an error there
	// must be no channel. It may wait for a disk.
	Authenticate(ctx context.Context, peer usp.EndpointID, shown []*x509.Certificate) (proven bool, err error)
}

// Exclusive is implemented by Channels whose Endpoint may take the time of a Send within Receive, since nobody else waits for it: a
// connection that the Endpoint shares with none.
type Exclusive interface{ Exclusive() }
