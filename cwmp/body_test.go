package cwmp

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
)

// A large body is whole, whether its length was announced or not, and is refused where it goes on beyond the limit.
func TestReadLarge(t *testing.T) {
	const first, limit = 10, 300_000
	for _, size := range []int{first + 1, 64<<10 + first, 2 * (64 << 10), limit, limit + 1} {
		for _, announced := range []int64{-1, int64(size)} {
			want := strings.Repeat("0123456789", size/10+1)[:size]
			got, err := readLarge(bytes.NewBufferString(want[:first]), strings.NewReader(want[first:]), announced, limit)
			if size > limit {
				if !errors.Is(err, ErrTooLarge) {
					t.Error(size, err)
				}
			} else if err != nil || got != want {
				t.Error(size, announced, len(got), err)
			}
		}
	}
}

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
