package cwmp

import (
	"context"
	"strconv"
	"strings"
	"testing"
)

// A session that is held open after a large answer does not keep the place that its body had.
func TestServerLargeAnswersOfHeldSessions(t *testing.T) {
	got := make(chan error)
	h := &acs{run: func(ctx context.Context, s *Session) {
		_, err := Call(ctx, s, &GetParameterValues{ParameterNames: []string{"Device."}})
		got <- err
		<-ctx.Done()
	}}
	_, addr := start(t, h, &ServerOptions{MaxFirstBody: 8000})
	big := &GetParameterValuesResponse{ParameterList: []ParameterValueStruct{{Name: "a", Value: strings.Repeat("x", 15000)}}}
	for i := range maxLargeBodies + 1 {
		m := testInform()
		m.DeviceId.SerialNumber = strconv.Itoa(i)
		c := dial(t, addr)
		c.post("1", m).want(t, "InformResponse")
		c.send(message(t, c.empty().env.ID, big))
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	}
}
