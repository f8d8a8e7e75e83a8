package agent

import "testing"

func TestMeets(t *testing.T) {
	for _, c := range []struct {
		operator, old, value, limit string
		want                        bool
	}{
		{rise, "90", "100", "100", false}, {rise, "100", "101", "100", true}, {rise, "90", "110", "100", true}, {rise, "101", "110", "100", false},
		{rise, "110", "90", "100", false}, {fall, "110", "100", "100", false}, {fall, "100", "99", "100", true}, {fall, "99", "98", "100", false},
		{cross, "90", "110", "100", true}, {cross, "110", "90", "100", true}, {cross, "90", "100", "100", false}, {cross, "101", "102", "100", false},
		{eq, "99", "100", "100", true}, {eq, "100", "100", "100", false}, {eq, "1", "0100", "100", true}, {notEq, "100", "99", "100", true},
		{notEq, "99", "98", "100", false}, {notEq, "99", "100", "100", false}, {rise, "-2", "-1", "-2", true},
		{rise, "18446744073709551614", "18446744073709551615", "18446744073709551614", true},
	} {
		old, _ := integer(c.old)
		value, _ := integer(c.value)
		limit, _ := integer(c.limit)
		if got := meets(c.operator, old, value, limit); got != c.want {
			t.Errorf("%s %s: from %s to %s: %v", c.operator, c.limit, c.old, c.value, got)
		}
	}
	for _, s := range []string{"", "1.0", "1e3", "0x10", "1_0", "a", "123456789012345678901234567890123"} {
		if n, ok := integer(s); ok {
			t.Errorf("%q is %v", s, n)
		}
	}
}

// A Threshold whose Controller is not known is nobody's; rows are bounded.
func TestThresholdRows(t *testing.T) {
	r := newRig(t)
	row := obj{thresholdTable, []param{req("ReferencePath", "Device.X"), req("ThresholdParam", "RowNumberOfEntries"), req("ThresholdValue", "1"), req("Enable", "true")}}
	denied := r.a.Do(t.Context(), "self::isthmus", mustRequest(r, addReq(false, row)))
	equal(t, denied.GetBody().GetError().GetErrCode(), 7002)
	for range maxThresholds {
		r.added(row)
	}
	equal(t, r.ask(addReq(false, row)).GetError().GetErrCode(), 7005)
	if in, err := r.a.Interest(t.Context()); err != nil || len(in.ValueChange) != 1 || in.ValueChange[0] != "Device.X.RowNumberOfEntries" {
		t.Error(in, err)
	}
	r.ask(setReq(false, obj{thresholdTable + "*.", []param{req("Enable", "false")}}))
	if in, err := r.a.Interest(t.Context()); err != nil || len(in.ValueChange) != 0 {
		t.Error(in, err)
	}
	// A change of which nobody can tell what the value was before meets nothing.
	r.ask(setReq(false, obj{thresholdTable + "1.", []param{req("Enable", "true")}}))
	r.added(obj{subscriptionTable, []param{req("Enable", "true"), req("NotifType", event), req("ReferenceList", thresholdTable)}})
	for _, c := range []*ValueChange{{Path: "Device.X.RowNumberOfEntries", Value: "5"}, {Path: "Device.X.RowNumberOfEntries", Value: "6", Old: "1"}} {
		if err := r.a.Raise(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, r.notify().GetBody().GetRequest().GetNotify().GetEvent().GetParams()["ParamValue"], "6")
}
