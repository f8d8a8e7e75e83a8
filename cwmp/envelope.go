package cwmp

import (
	"errors"
	"time"
)

// The namespaces of CWMP. Versions 1.2, 1.3 and 1.4 share one.
const (
	NamespaceV1_0 = "urn:dslforum-org:cwmp-1-0"
	NamespaceV1_1 = "urn:dslforum-org:cwmp-1-1"
	NamespaceV1_2 = "urn:dslforum-org:cwmp-1-2"
)

// Envelope is one SOAP message.
type Envelope struct {
	ID                    string        // cwmp:ID: chosen by the requester, echoed in the answer
	HoldRequests          bool          // from the ACS: the CPE sends no request of its own
	SessionTimeout        time.Duration // from the CPE: how long it may be silent; whole seconds, 0: not said
	SupportedCWMPVersions []string      // from the CPE: "1.0", "1.1", …
	UseCWMPVersion        string        // from the ACS, to a CPE that sent SupportedCWMPVersions
	Namespace             string        // of the message; read as it was sent; a vendor's is answered as 1.0
	Body                  RPC           // a request, a response, a *Fault, an *Unknown; nil if the Body is empty

	Words    bool // written: Booleans as true and false, not as 1 and 0
	Declared bool // written: after an XML declaration

	Repaired bool // read: not XML until it was repaired
	Skipped  int  // read: entries without name or value
}

// Unknown is a message whose method is none of TR-069's.
type Unknown struct {
	Method string
}

// Name is the method's.
func (u *Unknown) Name() string { return u.Method }

func (*Unknown) arguments(*args) {}

// The errors of Decode and Encode.
var (
	ErrMalformed   = errors.New("cwmp: malformed message")
	ErrDoctype     = errors.New("cwmp: message with a DOCTYPE")
	ErrLimit       = errors.New("cwmp: message nested too deeply or with too many elements or attributes")
	ErrUnencodable = errors.New("cwmp: value that XML cannot carry")
)
