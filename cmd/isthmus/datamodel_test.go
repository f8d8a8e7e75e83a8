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
		{[]string{"explain", "Device.NAT.PortMapping.1.ExternalPort"}, 1, "have those of Device.NAT.PortMapping.101010001.ExternalPort or "},
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

// TestExplainAsServed: what is left out of the tables, or cannot be written, is not told as if it were.
func TestExplainAsServed(t *testing.T) {
	for path, want := range map[string]string{
		"InternetGatewayDevice.LANInterfaces.WLANConfiguration.1.Alias": "  none    interfaces in no LANDevice",
		"Device.DHCPv4.Client.{i}.PassthroughDHCPPool":                  "  read    it is the pool of the LANDevice",
		"Device.DSL.Line.1.XTSE":                                        "  none    TR-098 names standards",
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), []string{"datamodel", "explain", "--model", "tr098", path}, &out, &errs, nil); code != 0 || !strings.Contains(out.String(), want) || strings.Contains(out.String(), "write") {
			t.Errorf("%s: code %d, %s%s, want …%s", path, code, out.String(), errs.String(), want)
		}
	}
}
