package agent

import (
	"maps"
	"testing"

	"isthmus/usp"
)

// R-OPR.5, R-OPR.6: what is in an object must be in each one that is given, and need not be where there is none.
func TestArguments(t *testing.T) {
	def := &CommandDef{In: []string{"URL", "Retain", "TimeWindow.{i}.Start", "TimeWindow.{i}.Mode", "Limits.Disk", "Limits.Memory"},
		Mandatory: []string{"URL", "TimeWindow.{i}.Start", "Limits.Disk"}}
	for name, test := range map[string]struct {
		given, want map[string]string
		missing     string
	}{
		"plain":          {map[string]string{"URL": "u", "Other": "x"}, map[string]string{"URL": "u"}, ""},
		"none":           {nil, nil, "URL"},
		"objects":        {map[string]string{"URL": "u", "TimeWindow.1.Start": "0", "TimeWindow.2.Start": "9", "Limits.Disk": "1"}, nil, ""},
		"half a window":  {map[string]string{"URL": "u", "TimeWindow.1.Start": "0", "TimeWindow.2.Mode": "AnyTime"}, nil, "TimeWindow.2.Start"},
		"half an object": {map[string]string{"URL": "u", "Limits.Memory": "1"}, nil, "Limits.Disk"},
		"no index":       {map[string]string{"URL": "u", "TimeWindow.Start": "0"}, map[string]string{"URL": "u"}, ""},
	} {
		got, err := def.arguments(test.given)
		if test.missing != "" {
			if err == nil || usp.AsError(err).Code != usp.InvalidCommandArguments || usp.AsError(err).Msg != test.missing+" is missing" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		want := test.want
		if want == nil {
			want = test.given
		}
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}
