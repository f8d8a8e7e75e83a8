package cwmp

import "time"

// Inform opens a session: who the CPE is, why it calls and what it wants known (TR-069 A.3.3.1).
type Inform struct {
	DeviceId      DeviceID
	Event         []EventStruct
	MaxEnvelopes  int
	CurrentTime   time.Time // zero: unknown
	RetryCount    int
	ParameterList []ParameterValueStruct
}

// EventStruct is one reason for an Inform. CommandKey is empty but for the "M" events.
type EventStruct struct {
	EventCode  string
	CommandKey string
}

// InformResponse acknowledges an Inform and its events.
type InformResponse struct {
	MaxEnvelopes int // 1, says Amendment 1 and later
}

// Name is "Inform".
func (*Inform) Name() string { return "Inform" }

// Name is "InformResponse".
func (*InformResponse) Name() string { return "InformResponse" }

func (*Inform) answeredBy(*InformResponse) {}

func (m *Inform) arguments(a *args) {
	a.group("DeviceId", m.DeviceId.arguments)
	list(a, "Event", "EventStruct", &m.Event, (*EventStruct).arguments)
	a.number("MaxEnvelopes", &m.MaxEnvelopes)
	a.time("CurrentTime", &m.CurrentTime)
	a.number("RetryCount", &m.RetryCount)
	list(a, "ParameterList", "ParameterValueStruct", &m.ParameterList, (*ParameterValueStruct).arguments)
}

func (m *InformResponse) arguments(a *args) { a.number("MaxEnvelopes", &m.MaxEnvelopes) }

func (d *DeviceID) arguments(a *args) {
	a.token("Manufacturer", &d.Manufacturer)
	a.token("OUI", &d.OUI)
	a.token("ProductClass", &d.ProductClass)
	a.token("SerialNumber", &d.SerialNumber)
}

func (e *EventStruct) arguments(a *args) {
	a.token("EventCode", &e.EventCode)
	a.text("CommandKey", &e.CommandKey)
}
