package tr106

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"isthmus/translate/datamodel"
)

// nothing is a standard that has no names.
func nothing(string) bool { return false }

// TestVendor: what a maker's model adds to Device:2, whose files are not there, by components, types and references to other files of the maker's.
func TestVendor(t *testing.T) {
	rows, err := Import(os.DirFS("testdata"), "vendor.xml", datamodel.Known)
	if err != nil {
		t.Fatal(err)
	}
	var have strings.Builder
	for _, r := range rows {
		fmt.Fprintln(&have, r)
	}
	want, err := os.ReadFile("testdata/vendor.tsv")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(want), "\n")
	if have.String() != body {
		t.Errorf("\n%swant\n%s", have.String(), body)
	}
}

// document makes the text of a document.
func text(body string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(`<dm:document xmlns:dm="urn:broadband-forum-org:cwmp:datamodel-1-5">` + body + `</dm:document>`)}
}

const parameter = `<parameter name="%s" access="readOnly"><syntax><string/></syntax></parameter>`

// TestRefused: what cannot be resolved says which file to bring, and nothing a file says makes an import large.
func TestRefused(t *testing.T) {
	var bomb strings.Builder
	for i := range 40 {
		fmt.Fprintf(&bomb, `<component name="c%d">%s</component>`, i, strings.Repeat(fmt.Sprintf(`<component ref="c%d"/>`, i+1), 10))
	}
	bomb.WriteString(`<component name="c40"/><model name="M:1.0"><component ref="c0"/></model>`)
	for name, c := range map[string]struct {
		files map[string]*fstest.MapFile
		want  string
	}{
		"no XML":         {map[string]*fstest.MapFile{"a.xml": {Data: []byte("a,b")}}, "a.xml: is no data model"},
		"half":           {map[string]*fstest.MapFile{"a.xml": {Data: []byte("<document><model>")}}, "a.xml: "},
		"another":        {map[string]*fstest.MapFile{"a.xml": {Data: []byte("<html/>")}}, "its outermost element is not document"},
		"doctype":        {map[string]*fstest.MapFile{"a.xml": {Data: []byte(`<!DOCTYPE d [<!ENTITY e "x">]><document>&e;</document>`)}}, "a.xml: "},
		"only a doctype": {map[string]*fstest.MapFile{"a.xml": {Data: []byte(`<!DOCTYPE d><document/>`)}}, "document type declaration (<!DOCTYPE>): remove it"},
		"no model":       {map[string]*fstest.MapFile{"a.xml": text(`<component name="c"/>`)}, "a.xml: has no model"},
		"no component":   {map[string]*fstest.MapFile{"a.xml": text(`<model name="M:1.0"><component ref="c"/></model>`)}, "component c is neither defined nor imported"},
		"no file":        {map[string]*fstest.MapFile{"a.xml": text(`<import file="b.xml"><component name="c"/></import><model name="M:1.0"><component ref="c"/></model>`)}, "a.xml: imports component c: b.xml is not there: bring that file too"},
		"no whole file":  {map[string]*fstest.MapFile{"a.xml": text(`<import file="b.xml"/><model name="M:1.0"><component ref="c"/></model>`)}, "b.xml is not there: bring that file too"},
		"no base":        {map[string]*fstest.MapFile{"a.xml": text(`<import file="b.xml"><model name="Voice:1.0"/></import><model name="M:1.0" base="Voice:1.0"/>`)}, "b.xml is not there: bring that file too"},
		"another place":  {map[string]*fstest.MapFile{"a.xml": text(`<import file="../b.xml"><component name="c"/></import><model name="M:1.0"><component ref="c"/></model>`)}, `"../b.xml" is no name of a file beside the others`},
		"base of none":   {map[string]*fstest.MapFile{"a.xml": text(`<model name="M:1.0"><object base="Device.A."/></model>`)}, "changes Device.A., which is in no file"},
		"circle of files": {map[string]*fstest.MapFile{
			"a.xml": text(`<import file="b.xml"><component name="c"/></import><model name="M:1.0"><component ref="c"/></model>`),
			"b.xml": text(`<import file="a.xml"><component name="c"/></import>`)}, "imported in a circle"},
		"circle of parts":  {map[string]*fstest.MapFile{"a.xml": text(`<component name="c"><component ref="c"/></component><model name="M:1.0"><component ref="c"/></model>`)}, "components are in one another more than"},
		"circle of types":  {map[string]*fstest.MapFile{"a.xml": text(`<dataType name="t" base="t"/><model name="M:1.0"><parameter name="p"><syntax><dataType ref="t"/></syntax></parameter></model>`)}, "types are based on one another more than"},
		"circle of models": {map[string]*fstest.MapFile{"a.xml": text(`<model name="M:1.0" base="M:1.0"/>`)}, "models are based on one another more than"},
		"bomb":             {map[string]*fstest.MapFile{"a.xml": text(bomb.String())}, "comes to more than"},
		"no type":          {map[string]*fstest.MapFile{"a.xml": text(`<model name="M:1.0"><parameter name="p"><syntax/></parameter></model>`)}, "p: its syntax has no type"},
		"no syntax":        {map[string]*fstest.MapFile{"a.xml": text(`<model name="M:1.0"><parameter name="p"/></model>`)}, "p has no syntax"},
		"no name":          {map[string]*fstest.MapFile{"a.xml": text(`<model name="M:1.0"><object name="Device."><parameter/></object></model>`)}, "parameter in Device. has no name"},
		"tab in a name":    {map[string]*fstest.MapFile{"a.xml": text(`<model name="M:1.0">` + fmt.Sprintf(parameter, "a&#9;b") + `</model>`)}, "has a name that is none"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Import(fstest.MapFS(c.files), "a.xml", nothing); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := Import(os.DirFS("testdata"), "none.xml", nothing); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
}

// TestCorrigenda: a file is asked for by its amendment, and the last corrigendum of that is meant.
func TestCorrigenda(t *testing.T) {
	part := func(name string) *fstest.MapFile {
		return text(`<component name="c">` + fmt.Sprintf(parameter, name) + `</component>`)
	}
	rows, err := Import(fstest.MapFS{
		"a.xml":          text(`<import file="p-2-15-x.xml"><component name="c"/></import><model name="M:1.0"><component ref="c"/></model>`),
		"p-2-15-0-x.xml": part("zero"), "p-2-15-10-x.xml": part("ten"), "p-2-15-9-x.xml": part("nine"), "p-2-14-11-x.xml": part("other"), "p-2-15-11-y.xml": part("y"),
	}, "a.xml", nothing)
	if err != nil || len(rows) != 1 || rows[0].Path != "ten" {
		t.Error(rows, err)
	}
}

// TestService: the names of a service, which its model gives without their place, are below Device.Services.
func TestService(t *testing.T) {
	rows, err := Import(fstest.MapFS{"a.xml": text(`<model name="S:2.1" isService="true"><object name="S.{i}." access="readOnly">` +
		fmt.Sprintf(parameter, "p") + `</object></model>`)}, "a.xml", nothing)
	if err != nil || len(rows) != 2 || rows[1].String() != "Device.Services.S.{i}.p\tparam\tr\tstring\t\t\t2.1\tcurrent\t" {
		t.Error(rows, err)
	}
}

// TestForum: the Forum's own Device:2 comes to what the tables say of it. ISTHMUS_BBF names a directory with its files (release 2.19 Corrigendum 1), which
// are not part of this repository.
func TestForum(t *testing.T) {
	dir := os.Getenv("ISTHMUS_BBF")
	if dir == "" {
		t.Skip("ISTHMUS_BBF names no directory with tr-181-2-usp.xml and what it imports")
	}
	rows, err := Import(os.DirFS(dir), "tr-181-2-usp.xml", nothing)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../tables/device2-usp.tsv")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for line := range strings.Lines(string(table)) {
		if cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t"); cells[0] != "path" {
			want[cells[0]] = meaning(cells)
		}
	}
	for _, r := range rows {
		if have := meaning(strings.Split(r.String(), "\t")); !slices.Equal(have, want[r.Path]) {
			t.Errorf("%q\nwant %q", have, want[r.Path])
		}
		delete(want, r.Path)
	}
	for path := range want {
		t.Errorf("%s is missing", path)
	}
}

// meaning is what the program reads of a row: not its release, and of its flags not those for the reader.
func meaning(cells []string) []string {
	var flags []string
	for f := range strings.SplitSeq(cells[4], ";") {
		switch name, _, _ := strings.Cut(f, "="); name {
		case "multi", "single", "num", "enable", "list", "ref", "secured", "hidden", "command":
			flags = append(flags, f)
		}
	}
	slices.Sort(flags)
	if cells[1] == "in" {
		cells[2] = "" // the tables have some optional that a refinement of their model makes mandatory
	}
	return []string{cells[0], cells[1], cells[2], cells[3], strings.Join(flags, ";"), cells[5], cells[8]}
}

func FuzzImport(f *testing.F) {
	for _, file := range []string{"testdata/vendor.xml", "testdata/vendor-parts.xml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`<document><import file="a.xml"/><component name="c"><component ref="c" path="x."/></component><model name="M:1" base="M:1"><component ref="c"/></model></document>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := Import(fstest.MapFS{"a.xml": {Data: b}}, "a.xml", datamodel.Known)
		if err != nil {
			return
		}
		for _, r := range rows {
			if cells := strings.Count(r.String(), "\t"); cells != 8 || strings.Contains(r.String(), "\n") {
				t.Errorf("%q", r)
			}
		}
	})
}
