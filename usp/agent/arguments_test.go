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

// R-OPR.7 and the values that an argument may have: those of another are 7004.
func TestArgumentValues(t *testing.T) {
	text := func(s string) *string { return &s }
	args := func(list ...ArgDef) *CommandDef {
		def := &CommandDef{Args: map[string]*ArgDef{}}
		for i := range list {
			def.In, def.Args[list[i].Name] = append(def.In, list[i].Name), &list[i]
		}
		return def
	}
	def := args(
		ArgDef{ParamDef: ParamDef{Name: "Count", Type: TypeUnsignedInt}, Ranges: []Range{{0, 0}, {10, 20}}, Default: text("10")},
		ArgDef{ParamDef: ParamDef{Name: "Big", Type: TypeUnsignedLong}, Ranges: []Range{{1, 1<<63 - 1}}},
		ArgDef{ParamDef: ParamDef{Name: "Force", Type: TypeBoolean}},
		ArgDef{ParamDef: ParamDef{Name: "Mode", Type: TypeString, Enum: []string{"A", "B"}}},
		ArgDef{ParamDef: ParamDef{Name: "Bands", Type: TypeString, List: true, Enum: []string{"2", "5"}}},
		ArgDef{ParamDef: ParamDef{Name: "Name", Type: TypeString}, MaxLength: 3},
		ArgDef{ParamDef: ParamDef{Name: "File.{i}.Kind", Type: TypeString}, Default: text("plain")},
		ArgDef{ParamDef: ParamDef{Name: "File.{i}.URL", Type: TypeString}},
	)
	def.Mandatory = []string{"File.{i}.URL"}
	for name, test := range map[string]struct {
		given, want map[string]string // want nil: 7004
	}{
		"defaults":          {map[string]string{}, map[string]string{"Count": "10"}},
		"in objects":        {map[string]string{"Count": "0", "File.1.URL": "u", "File.2.URL": "v", "File.2.Kind": "x"}, map[string]string{"Count": "0", "File.1.URL": "u", "File.1.Kind": "plain", "File.2.URL": "v", "File.2.Kind": "x"}},
		"empty is not set":  {map[string]string{"Count": "", "Force": "", "Mode": "", "Bands": "", "Name": ""}, map[string]string{"Count": "10", "Bands": "", "Name": ""}},
		"good":              {map[string]string{"Count": "20", "Big": "18446744073709551615", "Force": "1", "Mode": "B", "Bands": "2, 5", "Name": "äöü"}, map[string]string{"Count": "20", "Big": "18446744073709551615", "Force": "1", "Mode": "B", "Bands": "2, 5", "Name": "äöü"}},
		"no number":         {map[string]string{"Count": "many"}, nil},
		"between":           {map[string]string{"Count": "5"}, nil},
		"beyond":            {map[string]string{"Count": "21"}, nil},
		"no boolean":        {map[string]string{"Force": "perhaps"}, nil},
		"not allowed":       {map[string]string{"Mode": "C"}, nil},
		"item not allowed":  {map[string]string{"Bands": "2,6"}, nil},
		"too long":          {map[string]string{"Name": "long"}, nil},
		"unknown, whatever": {map[string]string{"Other": "\x00"}, map[string]string{"Count": "10"}},
	} {
		got, err := def.arguments(test.given)
		if test.want == nil {
			if err == nil || usp.AsError(err).Code != usp.InvalidArguments {
				t.Errorf("%s: %v %v", name, got, err)
			}
			continue
		}
		if err != nil || !maps.Equal(got, test.want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}
