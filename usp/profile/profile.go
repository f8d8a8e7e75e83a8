// Package profile says how far an Agent humours the known faults of Controllers: as data, a named Profile for each kind of Controller. The
// specification is "strict"; each of the others keeps a Controller alive, or useful, that legal messages would crash or confuse.
package profile

import (
	"slices"
	"time"

	"isthmus/usp/mtp"
)

// Profile is what differs from the specification; the zero value is strict. Times and sizes of 0 are not limited.
type Profile struct {
	Name string
	// Protocols are the MTPs that it is meant for, as in mtp.Channel; none: any.
	Protocols []string
	// AnyName takes a Controller that calls itself by what is no Endpoint ID (R-ARC.1).
	AnyName bool
	// NoConnect leaves out Connect Records, and the Disconnect Records that go with them.
	NoConnect bool
	// Gap is the least time between two Records on a channel, and between its coming up and the first.
	Gap time.Duration
	// Hold keeps notifications back, for at most so long, until the first Get on a channel is answered, and while a request is being answered.
	Hold time.Duration
	// Mute is how long a channel may be up without a Get; then it is made anew.
	Mute time.Duration
	// Once are the notifications that are not repeated, since the Controller answers none of them.
	Once Notifications
	// Deadline is when a request is answered at the latest: with an error, and what comes later is dropped.
	Deadline time.Duration
	// MaxResponse is the largest Record in bytes; a response that would be larger is Error 7005.
	MaxResponse int
	// Always are parameters that a Get finds, as empty ones, even where the device lacks them.
	Always []string
	// PlainBoot has the ParameterMap of Boot! survive a reader that splits it at commas and colons: never empty, and neither in its strings.
	PlainBoot bool
	// Pace is for the transport.
	Pace mtp.Pace
}

// Notifications are some of those that an Agent sends.
type Notifications int

// The kinds that Once may name.
const (
	None Notifications = iota
	Boots
	All
)

// The Protocols of MTPs.
const (
	webSocket = "WebSocket"
	mqtt      = "MQTT"
	stomp     = "STOMP"
)

// identity is what Oktopus asks for first, and takes by position: a path with an error there ends its adapter.
var identity = []string{"Device.DeviceInfo.Manufacturer", "Device.DeviceInfo.ModelName", "Device.DeviceInfo.SoftwareVersion",
	"Device.DeviceInfo.SerialNumber", "Device.DeviceInfo.ProductClass"}

const (
	// restDeadline is less than the 10 s after which Oktopus's REST call is over, and its answer the next call's.
	restDeadline = 9 * time.Second
	// natsPayload is less than the 1 MiB that a message may have on Oktopus's message bus.
	natsPayload = 900_000
)

var profiles = []*Profile{
	{Name: "strict"},
	{
		Name: "oktopus-ws", Protocols: []string{webSocket}, AnyName: true, NoConnect: true, Gap: 250 * time.Millisecond,
		Hold: 30 * time.Second, Mute: 15 * time.Second, Once: All, Deadline: restDeadline, MaxResponse: natsPayload, Always: identity,
		// Its hub loses a connection that comes back before the old one was missed, which takes 10 s.
		Pace: mtp.Pace{Connects: 250 * time.Millisecond, AfterLoss: 11 * time.Second},
	},
	{
		Name: "oktopus-mqtt", Protocols: []string{mqtt, stomp}, AnyName: true, NoConnect: true, Once: All,
		Deadline: restDeadline, MaxResponse: natsPayload, Always: identity,
	},
	{Name: "openusp", Once: Boots, PlainBoot: true},
}

// Find gives the Profile of a name, the strict one for none, nil if there is no such Profile.
func Find(name string) *Profile {
	if name == "" {
		return profiles[0]
	}
	if i := slices.IndexFunc(profiles, func(p *Profile) bool { return p.Name == name }); i >= 0 {
		return profiles[i]
	}
	return nil
}

// Fits says whether the Profile is meant for an MTP.
func (p *Profile) Fits(protocol string) bool {
	return len(p.Protocols) == 0 || slices.Contains(p.Protocols, protocol)
}
