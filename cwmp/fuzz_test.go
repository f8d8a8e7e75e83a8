package cwmp

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzDecode: no input panics, and what was read from one can be written and read again with the same result.
func FuzzDecode(f *testing.F) {
	seeds, err := filepath.Glob("../testdata/cwmp/*.xml")
	if err != nil || len(seeds) == 0 {
		f.Fatal("no seeds in testdata/cwmp", err)
	}
	for _, s := range seeds {
		b, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "text/xml; charset=iso-8859-1")
		f.Add(b, "")
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		e, err := Decode(body, contentType)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrDoctype) && !errors.Is(err, ErrLimit) {
				t.Fatal("another error:", err)
			}
			return
		}
		first, err := Encode(e)
		if errors.Is(err, ErrUnencodable) {
			return
		}
		if err != nil || !utf8.Valid(first) {
			t.Fatalf("%v: %q", err, first)
		}
		again, err := Decode(first, "")
		if err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		e.Namespace, e.Repaired, e.Skipped = published(e.Namespace), false, 0
		again.Skipped = 0
		second, err := Encode(again)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(first), string(second), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}
