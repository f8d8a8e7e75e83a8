package profile

import (
	"reflect"
	"strings"
	"testing"

	"isthmus/usp"
)

func TestStrictIsTheSpecification(t *testing.T) {
	if p := Find("strict"); !reflect.DeepEqual(*p, Profile{Name: "strict"}) {
		t.Errorf("strict departs from the specification: %+v", *p)
	}
	if Find("") != Find("strict") || Find("oktopus") != nil {
		t.Error("no name is strict, and a name that there is not is none")
	}
}

func TestFits(t *testing.T) {
	for name, want := range map[string]string{"strict": "WebSocket MQTT STOMP", "oktopus-ws": "WebSocket", "oktopus-mqtt": "MQTT STOMP", "openusp": "WebSocket MQTT STOMP"} {
		var got []string
		for _, protocol := range []string{webSocket, mqtt, stomp} {
			if Find(name).Fits(protocol) {
				got = append(got, protocol)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s fits %v, want %s", name, got, want)
		}
	}
}

// Oktopus makes one token of a NATS subject, one level of a topic and one segment of a destination of an Endpoint ID. What has a meaning there is
// escaped in those that are made of a DeviceId, so that no Profile has to.
func FuzzEndpointIDsNeedNoEscaping(f *testing.F) {
	f.Add("00D09E", "Foo 1.2", "a*b>c/d#e+f")
	f.Add("00D09E", "", "10.0.0.1")
	f.Add("00D09E", "a.b", strings.Repeat(".", 60))
	f.Fuzz(func(t *testing.T, oui, class, serial string) {
		id, _, err := usp.AgentEndpointID(oui, class, serial)
		if err == nil && strings.ContainsAny(string(id), ". \t\r\n*>/#+$\x00") {
			t.Errorf("%q", id)
		}
	})
}
