package legacy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// namesOfVersion is the fingerprint of what Version stands for.
const namesOfVersion = "025933ce4157027d"

// TestVersion: whoever was discovered with other names or numbers has to be discovered again, so a change of these is a change of Version, once between two
// releases.
func TestVersion(t *testing.T) {
	h := sha256.New()
	for _, w := range worlds {
		shown := project(w.m(), w.top(t)).settable
		var paths []string
		for path, settable := range shown {
			paths = append(paths, fmt.Sprint(path, settable))
		}
		slices.Sort(paths)
		fmt.Fprintln(h, w.name, strings.Join(paths, "\n"))
	}
	for _, m := range []*Map{TR098(), Device1()} {
		for _, r := range rules(m) {
			path, ok := r.place([]uint32{2, 3, 4, 5, 6, 7})
			fmt.Fprintln(h, r.source, path, ok, r.reads, r.writes)
		}
	}
	if is := hex.EncodeToString(h.Sum(nil))[:16]; is != namesOfVersion {
		t.Errorf("names or numbers are others (%s) than those of Version %d: is it a new one?", is, Version)
	}
}
