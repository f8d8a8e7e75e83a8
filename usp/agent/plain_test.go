package agent

import (
	"testing"

	"isthmus/usp"
)

// FuzzPlain holds the short way for plain paths to what the parser says.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"Device.", "Device.A.1.B", "Device.A.1.2.", "Device.A.*.*", "Device.A.1", "Device.A.0.", "Device.A.1x", "Device.A.*x", "Device.A-b.*.C", "Device..A", "Device.10000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		object, leaf, ok := plain(s)
		if !ok {
			return
		}
		p, err := usp.ParsePath(s)
		if err != nil {
			t.Fatalf("%q is plain, but %v", s, err)
		}
		if want := object + leaf; p.Kind == usp.ObjectPath && p.String() != want || p.Kind != usp.ObjectPath && s != want {
			t.Fatalf("%q is %q, want %q", s, want, p)
		}
	})
}
