package translate

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"isthmus/cwmp"
)

// largeAnswer is the size of the largest answer in BenchmarkLargeAnswer, in bytes.
const largeAnswer = 20 << 20

// BenchmarkLargeAnswer has a CPE answer with 20 MB in one message, in the forms that this can have, and reports the most memory that the
// proxy takes from then on, above what it had before, as a multiple of 20 MB: until it asks the next thing (peak-ratio: all has been decoded
// and is in the cache), and until the end of the session, with what else it reads of the CPE, the data model that is made of it and the snapshot.
func BenchmarkLargeAnswer(b *testing.B) {
	for _, c := range []struct {
		name  string
		w     wordy
		burst bool
	}{
		{"80000-values", wordy{params: 80_000, name: 8, value: 125}, true},
		{"80000-values-1-odd", wordy{params: 80_000, name: 8, value: 125, odd: true}, true},
		{"64-values", wordy{params: 64, name: 8, value: largeAnswer / 64}, true},
		{"95000-names", wordy{params: 95_000, name: 100, value: 4}, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				s := startServer(b, "proxy")
				c.w.meet(b, s, c.burst)
			}
		})
	}
}

// wordy is a CPE with a data model of any size: so many parameters, their last names and their values so long.
type wordy struct {
	params, name, value int
	odd                 bool // one attribute is in single quotes
}

// meet is a first session, in which the CPE answers the first GetParameterValues with all values where burst says so, and reports what the
// largest answer took.
func (w wordy) meet(b *testing.B, s *benchServer, burst bool) {
	b.Helper()
	value := strings.Repeat("v", w.value)
	var all []cwmp.ParameterValueStruct
	names := []cwmp.ParameterInfoStruct{{Name: "Device.X_WORDY."}}
	for i := range w.params {
		path := fmt.Sprintf("Device.X_WORDY.%06d_%s", i, strings.Repeat("n", w.name))
		all = append(all, cwmp.ParameterValueStruct{Name: path, Value: value, Type: "string"})
		names = append(names, cwmp.ParameterInfoStruct{Name: path})
	}
	var say cwmp.RPC = &cwmp.Inform{DeviceId: cwmp.DeviceID{OUI: "00D09E", ProductClass: "Wordy", SerialNumber: "1"}, MaxEnvelopes: 1,
		Event: []cwmp.EventStruct{{EventCode: cwmp.EventBoot}}}
	var before int64 // 0: the large answer has not been
	for measured := false; ; {
		var body []byte
		if say != nil {
			var err error
			if body, err = cwmp.Encode(&cwmp.Envelope{ID: "1", Namespace: cwmp.NamespaceV1_2, Body: say}); err != nil {
				b.Fatal(err)
			}
		}
		if len(body) > largeAnswer*9/10 && before == 0 {
			s.ask(b, "inuse")
			before = s.ask(b, "rss")
			s.ask(b, "peak")
		}
		if w.odd {
			body = bytes.Replace(body, []byte(`xsi:type="xsd:string"`), []byte(`xsi:type='xsd:string'`), 1)
		}
		question := post(b, s.url, body)
		if before > 0 && !measured {
			b.ReportMetric(float64(s.ask(b, "peak")-before)/largeAnswer, "peak-ratio")
			measured = true
		}
		switch m := question.(type) {
		case nil:
			if !measured {
				b.Fatal("no answer was large")
			}
			b.ReportMetric(float64(s.ask(b, "peak")-before)/largeAnswer, "session-peak-ratio")
			return
		case *cwmp.InformResponse:
			say = nil
		case *cwmp.GetParameterNames:
			say = &cwmp.GetParameterNamesResponse{ParameterList: names}
			if m.NextLevel {
				say = &cwmp.GetParameterNamesResponse{ParameterList: names[:1]}
			}
		case *cwmp.GetParameterValues:
			answer := &cwmp.GetParameterValuesResponse{ParameterList: all}
			if !burst {
				answer.ParameterList = nil
				for _, name := range m.ParameterNames {
					answer.ParameterList = append(answer.ParameterList, cwmp.ParameterValueStruct{Name: name, Value: value, Type: "string"})
				}
			}
			say, burst = answer, false
		default:
			say = cwmp.NewFault(cwmp.FaultMethodNotSupported)
		}
	}
}

// post posts a message and returns what the ACS says to it, nil for nothing.
func post(b *testing.B, acs string, body []byte) cwmp.RPC {
	b.Helper()
	resp, err := http.Post(acs, "text/xml", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	said, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode/100 != 2 {
		b.Fatal(resp.Status, err)
	}
	if len(said) == 0 {
		return nil
	}
	e, err := cwmp.Decode(said, "")
	if err != nil {
		b.Fatal(err)
	}
	return e.Body
}
