package admin

import (
	"context"
	"errors"
	"time"

	"isthmus/usp/usppb"
)

// What Fleet refuses.
var (
	ErrNoDevice = errors.New("no such device")
	ErrBusy     = errors.New("the CPE is in a session: try again when that is over")
)

// Action is what an operator does to a device, the last segment of its path in the API.
type Action string

// The Actions.
const (
	Refresh    Action = "refresh"            // what is read from now on is read from the CPE
	Ask        Action = "connection-request" // have the CPE open a session, and wait for it
	Quarantine Action = "quarantine"         // read and write nothing until Release
	Release    Action = "release"
	Forget     Action = "forget" // remove the device and its Agent, with all that is known
)

// Filter selects devices; its zero value all of them.
type Filter struct {
	Text  string // in any of the identity values
	Root  string // "Device." or "InternetGatewayDevice."
	State string // one of States
}

// States are what Filter.State may be, besides "".
var States = []string{"online", "offline", "session", "quarantined", "unreachable", "retrying"}

// Fleet is what the admin address shows: the CPEs of a running proxy. It is safe for concurrent use.
type Fleet interface {
	// Devices gives the devices with Endpoint IDs after the given one that a Filter takes, by Endpoint ID, limit at most.
	Devices(after string, by Filter, limit int) []Device
	// Len is how many devices there are.
	Len() int
	// Sessions are the CWMP sessions that are open now, by Endpoint ID, limit at most.
	Sessions(limit int) []Session
	// Act does something to a device. The errors are ErrNoDevice, ErrBusy, and what a person can be told.
	Act(ctx context.Context, id string, a Action) error
	// Device gives one device; false where there is none.
	Device(id string) (*Detail, bool)
	// Trace gives the last exchanges of a device, newest first; false where there is no such device.
	Trace(id string) ([]Exchange, bool)
	// Traced gives the device whose trace has the exchange with an ID; false where none has.
	Traced(traceID string) (id string, ok bool)
	// Do answers a USP request to a device's Agent as Controller self::isthmus with full access would get it, by ctx's
	// deadline. The answer may be a USP Error. ErrNoDevice where there is none.
	Do(ctx context.Context, id string, req *usppb.Msg) (*usppb.Msg, error)
}

// Device is one CPE in a list.
type Device struct {
	EndpointID           string     `json:"endpoint_id"`
	Manufacturer         string     `json:"manufacturer"`
	OUI                  string     `json:"oui"`
	ProductClass         string     `json:"product_class"`
	SerialNumber         string     `json:"serial_number"`
	Root                 string     `json:"root"` // "Device." or "InternetGatewayDevice."
	SoftwareVersion      string     `json:"software_version"`
	LastInform           *time.Time `json:"last_inform"` // in UTC; nil: never
	Online               bool       `json:"online"`
	ConnectionRequestURL string     `json:"connection_request_url"`
	InSession            bool       `json:"in_session"`
	Unreachable          string     `json:"unreachable"` // what became of the last Connection Request, where none since the last Inform was accepted
	Retries              int        `json:"retries"`     // RetryCount of the last Inform
	Quarantine           string     `json:"quarantine"`  // why the CPE is not served as others are; "": it is
}

// Detail is one CPE.
type Detail struct {
	Device
	HardwareVersion   string     `json:"hardware_version"`
	ModelName         string     `json:"model_name"`
	FirstInform       *time.Time `json:"first_inform"`
	Events            []string   `json:"events"`             // event codes of the last Inform
	RPCMethods        []string   `json:"rpc_methods"`        // what GetRPCMethods answered
	Discovered        bool       `json:"discovered"`         // the whole data model is known
	PendingOperations []string   `json:"pending_operations"` // commands whose end the CPE has not reported
	Queued            int        `json:"queued"`             // requests that wait for a session
	ConnectionRequest LastTry    `json:"connection_request"`
	Reset             Reset      `json:"reset"`
	Quirks            []string   `json:"quirks"` // the profiles that hold for the CPE, and what was learnt about its model
	Cache             Cache      `json:"cache"`
	SubscribedPaths   int        `json:"subscribed_paths"`
}

// Reset is the last time that the CPE, or another, came with the fleet's credentials after it had shown its own and was believed.
type Reset struct {
	Time *time.Time `json:"time"` // nil: never
	From string     `json:"from"` // address
}

// LastTry is the last Connection Request, and those that were made to the same end before it.
type LastTry struct {
	Try
	Tries []Try `json:"tries"` // all of them, oldest first
}

// Try is one Connection Request.
type Try struct {
	Time   *time.Time `json:"time"`
	Method string     `json:"method"` // "http", "udp" or "xmpp"; "" for none
	Error  string     `json:"error"`  // "" where the CPE accepted it, or does not say
}

// Cache is what is known of a CPE's tree.
type Cache struct {
	Parameters int `json:"parameters"` // in memory; 0 while nobody asks
}

// Session is a CWMP session that is open.
type Session struct {
	EndpointID string    `json:"endpoint_id"`
	From       string    `json:"from"` // host:port
	Since      time.Time `json:"since"`
	Events     []string  `json:"events"`
	Queued     int       `json:"queued"` // requests that wait for their turn in it
}

// Sessions is the answer to GET /api/v1/sessions.
type Sessions struct {
	Sessions []Session `json:"sessions"`
}

// Exchange is one USP message to an Agent beside the CWMP RPCs it became. It holds no values of parameters that may be secret.
type Exchange struct {
	TraceID    string     `json:"trace_id"` // of OpenTelemetry and of exemplars
	Time       time.Time  `json:"time"`
	Controller string     `json:"controller"`
	Message    string     `json:"message"` // "GET", "SET", …
	MsgID      string     `json:"msg_id"`
	Paths      []string   `json:"paths"`
	Result     string     `json:"result"` // "ok" or an error's code and text
	DurationMS float64    `json:"duration_ms"`
	Why        string     `json:"why"` // why the CPE was asked, or was not
	CWMP       []CWMPCall `json:"cwmp"`
}

// CWMPCall is one RPC to a CPE.
type CWMPCall struct {
	Time       time.Time `json:"time"`
	RPC        string    `json:"rpc"`
	Session    string    `json:"session"` // its ID in logs; "" of a Connection Request
	Result     string    `json:"result"`
	DurationMS float64   `json:"duration_ms"`
}

// List is the answer to GET /api/v1/devices.
type List struct {
	Devices []Device `json:"devices"`
	Next    string   `json:"next"`
}

// Trace is the answer to GET /api/v1/devices/{endpoint_id}/trace.
type Trace struct {
	Exchanges []Exchange `json:"exchanges"`
}

// Traced is the answer to GET /api/v1/traces/{trace_id}.
type Traced struct {
	EndpointID string   `json:"endpoint_id"`
	Exchange   Exchange `json:"exchange"`
}

// Done is the answer to a POST that has done what it says.
type Done struct {
	Result string `json:"result"`
}

// Error is the answer where something is wrong.
type Error struct {
	Error string `json:"error"`
}
