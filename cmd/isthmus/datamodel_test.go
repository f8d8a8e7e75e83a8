package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDatamodelAnswers: who hands over the wrong file, or asks for what is not there, hears what is wrong with it.
func TestDatamodelAnswers(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const dump = "Parameter,Object,Writable,Value,Value type\nDevice.DeviceInfo.UpTime,false,false,1,xsd:unsignedInt\n"
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"check", file("empty.csv", "")}, 1, "empty.csv: cpe: bad parameter dump: is empty"},
		{[]string{"check", file("text.csv", "hello\n")}, 1, "line 1 does not name the columns: want Parameter,"},
		{[]string{"check", filepath.Join(dir, "none.csv")}, 1, "none.csv: no such file"},
		{[]string{"check", "--vendor", "acme", file("good.csv", strings.ReplaceAll(dump, "Device.D", "InternetGatewayDevice.D"))}, 1, "--vendor: "},
		{[]string{"import", filepath.Join(dir, "none.xml")}, 1, "none.xml: no such file"},
		{[]string{"import", file("other.xml", "<a/>")}, 1, "other.xml: is no data model"},
		{[]string{"explain", "Device.Nope"}, 1, "no table names Device.Nope"},
		{[]string{"explain", "nope"}, 2, "begins with neither InternetGatewayDevice. nor Device."},
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), append([]string{"datamodel"}, c.args...), &out, &errs, nil); code != c.code || !strings.Contains(errs.String(), c.want) || out.Len() > 0 {
			t.Errorf("%q: code %d, %q, %q; want %d, %q", c.args, code, errs.String(), out.String(), c.code, c.want)
		}
	}
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"datamodel", "check", file("all.csv", dump)}, &out, &errs, nil); code != 0 || strings.Contains(out.String(), "not shown") {
		t.Errorf("code %d, %q, %q; all is shown", code, out.String(), errs.String())
	}
}
