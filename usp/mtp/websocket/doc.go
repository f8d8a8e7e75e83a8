// Package websocket carries Records over WebSocket (TR-369, "WebSocket Binding"): one Record is one binary message. A Client keeps a
// connection to one Controller for each of many Agents; a Server takes the connections of Controllers that dial in, or of Agents if
// a Controller uses it. An idle connection costs one reading goroutine and small buffers: writers write themselves, write buffers are
// shared, one goroutine sends the Pings of all connections, and an Endpoint that waits to be dialled again is a timer.
package websocket

import "time"

const (
	subprotocol  = "v1.usp"                   // R-WS.9
	extension    = "bbf-usp-protocol"         // R-WS.10a, deprecated
	eidItem      = "eid"                      // R-WS.10b
	endpointHole = "{endpoint_id}"            // in the URLs of clients and the paths of servers
	extHeader    = "Sec-WebSocket-Extensions" // deliberately not in Go's canonical form: gorilla takes that one for itself and refuses it

	defaultKeepAlive = 30 * time.Second
	defaultMaxSize   = 5 << 20 // what the reference Agent takes

	writeTimeout     = 10 * time.Second      // for one Record; a peer that does not read costs only itself
	pingTimeout      = 50 * time.Millisecond // a Ping is left out while a Record is being written
	closeTimeout     = time.Second           // for our Close frame
	closeWait        = 2 * time.Second       // for the peer's
	handshakeTimeout = 15 * time.Second

	readBuffer = 512
	// writeBuffer is also the largest message that a client sends in one frame (R-WS.14a); buffers are only held while writing.
	writeBuffer = 64 << 10
)
