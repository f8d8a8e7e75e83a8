package mtp

import (
	"time"

	"isthmus/usp"
)

// Target is where a Controller is reached, and how: what its MTP row and the rows that this refers to say. Targets are compared with ==. In the
// strings of MQTT and STOMP "{endpoint_id}" stands for the Agent's Endpoint ID, so that a fleet has one Target for all of its Agents.
type Target struct {
	Controller usp.EndpointID
	Protocol   string // as Channel.Protocol
	Added      bool   // a Controller has said where the broker is: nothing of what the configuration says of the way there holds
	Host       string
	Port       int
	Path       string // of the URL (RFC 3986, section 3.3), where there is one
	Encrypted  bool
	KeepAlive  time.Duration // interval of Pings; the heart-beats of STOMP are its own
	Retry      usp.Retry     // of sessions
	MQTT       MQTT          // where Protocol is "MQTT"
	STOMP      STOMP         // where Protocol is "STOMP"
}

// SameWay says whether a Channel to one Target serves another as well: where the Endpoint itself listens, and as whom, a Dialer changes by itself.
func (t Target) SameWay(o Target) bool {
	for _, t := range []*Target{&t, &o} {
		t.MQTT.ClientID, t.MQTT.Subscriptions, t.STOMP.OwnDestination = "", "", ""
	}
	return t == o
}

// MQTT is what a Target at an MQTT broker says besides. Controllers whose rows refer to one row of Device.MQTT.Client. share its connection.
type MQTT struct {
	Client             string // path of the row of Device.MQTT.Client.
	Version            string // "5.0" or "3.1.1"
	WebSocket          bool   // MQTT over WebSocket, at Path
	ClientID           string // "": the broker assigns one (R-MQTT.9)
	Username           string
	Password           Secret
	CleanStart         bool
	SessionExpiry      uint32 // seconds
	Subscriptions      string // enabled rows of Subscription., one a line: QoS, a space, the topic filter
	ResponseTopic      string // ResponseTopicConfigured of the Agent's MTP
	QoS                byte   // PublishQoS of the Agent's MTP
	Topic              string // where the Controller listens
	RetainResponse     bool   // PublishRetainResponse
	RetainNotification bool   // PublishRetainNotify
}

// STOMP is what a Target at a STOMP server says besides. Controllers whose rows refer to one row of Device.STOMP.Connection. share its connection.
type STOMP struct {
	Connection     string // path of the row of Device.STOMP.Connection.
	Username       string
	Password       Secret
	VirtualHost    string        // "": Host
	Outgoing       time.Duration // heart-beats, at least so often; 0: none
	Incoming       time.Duration // heart-beats wanted of the server; 0: none
	OwnDestination string        // where the Agent listens unless the server says (R-STOMP.15)
	Destination    string        // where the Controller listens
}

// Secret is a string that is not printed.
type Secret string

// String implements fmt.Stringer.
func (Secret) String() string { return "[secret]" }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return "[secret]" }

// Status is how a connection with a broker is.
type Status int

// What a connection may be.
const (
	Disabled Status = iota // no Target has it
	Connecting
	Connected
	Misconfigured // it cannot be made from what the rows say: R-MQTT.16, R-MQTT.17
	Unreachable   // the broker does not answer
	Failed        // the broker has refused
)

// State is what a Dialer knows of the way from an Endpoint to a Controller.
type State struct {
	Status   Status
	Since    time.Time // when Status came to be; zero where that is not known
	Failures int       // attempts that have failed in a row
	// ClientID is the one in use; Assigned says that the broker has chosen it.
	ClientID string
	Assigned bool
	// Subscribed are the topic filters that the broker has granted.
	Subscribed []string
	// ResponseInformation is that of the broker's CONNACK, Listens the topic or destination where the Controllers' Records arrive.
	ResponseInformation string
	Listens             string
}

// Counts are of the connection of a row of Device.MQTT.Client.: since it leads where it does, over all the times it was made anew.
type Counts struct {
	Sent, Received uint64 // packets
	Errors         uint32 // attempts that have failed, and connections that were lost
}

// Counter is implemented by Dialers that count what crosses their connections.
type Counter interface {
	// Counts are those of the connection with one Controller.
	Counts(e, controller usp.EndpointID) Counts
}

// Learner is implemented by Endpoints that keep what a broker assigns (R-MQTT.9, R-STOMP.14).
type Learner interface {
	// Learnt tells it before the Channel comes up. It must not block. A Target that then differs from the one in use only by what was assigned
	// does not make the connection anew.
	Learnt(controller usp.EndpointID, s State)
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
	// State is what is known of the way to one Controller.
	State(e, controller usp.EndpointID) State
}
