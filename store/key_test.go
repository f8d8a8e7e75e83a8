package store

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzParseKey(f *testing.F) {
	f.Add(Key{Device: "os::012345-A", Kind: Row, ID: "LocalAgent.Subscription.1."}.Append(nil))
	f.Add([]byte("d"))
	f.Add([]byte{'d', 0, 'h', 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKey(b)
		if err != nil {
			if !errors.Is(err, ErrKey) {
				t.Errorf("ParseKey: %v, want ErrKey", err)
			}
			return
		}
		if got := k.Append(nil); !bytes.Equal(got, b) {
			t.Errorf("% x is %+v, which is % x", b, k, got)
		}
	})
}

func TestKey(t *testing.T) {
	for _, k := range []Key{
		{Device: "os::012345-A", Kind: Head},
		{Device: "os::012345-A", Kind: Operation, ID: "zero\x00inside"},
	} {
		b := k.Append(nil)
		if !bytes.HasPrefix(b, AppendKind(nil, Shard(k.Device), k.Kind)) {
			t.Errorf("% x does not begin with its shard and kind", b)
		}
		if got, err := ParseKey(b); err != nil || got != k {
			t.Errorf("ParseKey(% x) = %+v, %v, want %+v", b, got, err, k)
		}
	}
	damaged := Key{Device: "a", Kind: Head}.Append(nil)
	damaged[1]++ // of another shard
	if _, err := ParseKey(damaged); !errors.Is(err, ErrKey) {
		t.Errorf("ParseKey(% x): %v, want ErrKey", damaged, err)
	}
}

func TestPromised(t *testing.T) {
	for kind, want := range map[Kind]bool{Head: true, Row: true, Notification: true, Operation: true, Journal: true, Snapshot: false, Inform: false} {
		if kind.Promised() != want {
			t.Errorf("%c: promised %v, want %v", kind, !want, want)
		}
	}
}
