package main

import "testing"

func TestSplitValue(t *testing.T) {
	for in, want := range map[string][2]string{
		"Device.WiFi.SSID.1.SSID=home":                         {"Device.WiFi.SSID.1.SSID", "home"},
		"Device.WiFi.SSID.1.SSID=a=b":                          {"Device.WiFi.SSID.1.SSID", "a=b"},
		"Device.WiFi.SSID.1.SSID=":                             {"Device.WiFi.SSID.1.SSID", ""},
		`Device.WiFi.SSID.[SSID=="x.y"].Enable=true`:           {`Device.WiFi.SSID.[SSID=="x.y"].Enable`, "true"},
		`Device.WiFi.SSID.[SSID=="]"&&Enable==1].Name=[x]="1"`: {`Device.WiFi.SSID.[SSID=="]"&&Enable==1].Name`, `[x]="1"`},
	} {
		path, value, ok := splitValue(in)
		if !ok || path != want[0] || value != want[1] {
			t.Errorf("%s: got %q, %q, %v", in, path, value, ok)
		}
	}
	if _, _, ok := splitValue(`Device.WiFi.SSID.[SSID=="x"].Enable`); ok {
		t.Error("a search expression is no value")
	}
	if object, name := splitPath(`Device.WiFi.SSID.[SSID=="x.y"].Enable`); object != `Device.WiFi.SSID.[SSID=="x.y"].` || name != "Enable" {
		t.Errorf("got %q, %q", object, name)
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{"plain text": "plain text", "a\x1b[2Jb": `"a\x1b[2Jb"`, "größe": "größe", "a\nb": `"a\nb"`} {
		if got := shown(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}
