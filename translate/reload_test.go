package translate

import (
	"errors"
	"testing"
	"time"
)

// TestSetAges: what was fresh is read again once a rule says so, and the other way round.
func TestSetAges(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxAge = time.Hour })
	c, id := w.boot(nil)
	reads := func() int {
		t.Helper()
		before := len(c.Calls("GetParameterValues"))
		_, err := w.get(id, ssid)
		w.must(err)
		return len(c.Calls("GetParameterValues")) - before
	}
	reads()
	if n := reads(); n != 0 {
		t.Fatalf("%d GetParameterValues for a fresh value", n)
	}
	w.p.SetAges(time.Hour, []AgeRule{{Path: "Device.WiFi."}})
	if n := reads(); n != 1 {
		t.Errorf("%d GetParameterValues where the rule is always live", n)
	}
	w.p.SetAges(time.Hour, nil)
	if n := reads(); n != 0 {
		t.Errorf("%d GetParameterValues without the rule", n)
	}
}

// TestSetQuirks: other profiles hold at once, with what was learnt; other mappings are refused.
func TestSetQuirks(t *testing.T) {
	const mapped = "- { name: m, match: { product_class: \"*\" }, set: { mapping: huawei } }\n"
	table := func(text string) (o Options) {
		profiles(t, mapped+text)(&o)
		return o
	}
	w := newWorld(t, profiles(t, mapped+"- { name: a, match: { product_class: \"*\" }, set: { names_per_get: 3 } }\n"))
	_, id := w.boot(nil)
	names := func() int {
		w.p.mu.RLock()
		d := w.p.devices[id]
		w.p.mu.RUnlock()
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.habit().NamesPerGet
	}
	if n := names(); n != 3 {
		t.Fatalf("names_per_get %d", n)
	}
	if err := w.p.SetQuirks(table("").Quirks); err != nil {
		t.Fatal(err)
	}
	if n := names(); n == 3 {
		t.Error("the profile that is gone holds still")
	}
	if err := w.p.SetQuirks(table("- { name: b, match: { product_class: \"*\" }, set: { names_per_get: 5 } }\n").Quirks); err != nil {
		t.Fatal(err)
	}
	if n := names(); n != 5 {
		t.Errorf("names_per_get %d, want 5", n)
	}
	if err := w.p.SetQuirks(nil); !errors.Is(err, ErrMappings) {
		t.Errorf("without the mapping: %v", err)
	}
	if n := names(); n != 5 {
		t.Errorf("after the refusal names_per_get %d, want 5", n)
	}
}
