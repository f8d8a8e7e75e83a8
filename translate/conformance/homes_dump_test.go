package conformance_test

import (
	"bytes"
	"encoding/csv"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp/usppb"
)

// What gateways in the field have said of themselves. It is no part of the project.
const (
	dumpsDir    = "../../../shared/dumps"
	capturesDir = "../../../shared/captures"
)

const rootIGD = "InternetGatewayDevice."

// TestRealGateways: whatever a gateway of the field has in its tree, its Agent answers, and says nothing in the gateway's own names.
func TestRealGateways(t *testing.T) {
	trees := realTrees(t)
	if len(trees) == 0 {
		t.Skip("NOT TESTED with the trees of real gateways: they are not beside this repository")
	}
	for name, tree := range trees {
		t.Run(name, func(t *testing.T) {
			e := fresh(t, options{tree: tree})
			mine := func(text string) {
				if strings.Contains(text, rootIGD) {
					e.Errorf("%s is shown", text)
				}
			}
			q := e.model(all(), "Device.")[0]
			var tables []string
			for _, o := range q.GetSupportedObjs() {
				path := o.GetSupportedObjPath()
				mine(path)
				if table, ok := strings.CutSuffix(path, "{i}."); ok && !strings.Contains(table, "{i}") {
					tables = append(tables, table)
				}
			}
			for object, params := range e.values("Device.") {
				mine(object)
				for name, v := range params {
					mine(name)
					mine(v)
					if o := e.find(q, generic(object)); !slices.ContainsFunc(o.GetSupportedParams(), func(p *usppb.GetSupportedDMResp_SupportedParamResult) bool { return p.GetParamName() == name }) {
						e.Errorf("%s%s is not in the supported data model", object, name)
					}
				}
			}
			for _, rows := range e.instances(false, tables...) {
				for _, row := range rows {
					mine(row)
					e.get(0, row)
				}
			}
			t.Log(len(q.GetSupportedObjs()), "objects")
		})
	}
}

// realTrees are those of the captures and dumps that have an InternetGatewayDevice.
func realTrees(t *testing.T) map[string]*cpe.Tree {
	t.Helper()
	trees := map[string]*cpe.Tree{}
	dumps, _ := filepath.Glob(dumpsDir + "/*.csv")
	for _, file := range dumps {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if trees[filepath.Base(file)], err = cpe.LoadCSV(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	dirs, _ := filepath.Glob(capturesDir + "/*")
	for _, dir := range dirs {
		if tree := capturedTree(t, dir); tree != nil {
			trees[filepath.Base(dir)] = tree
		}
	}
	return trees
}

// capturedTree puts together what a client has said of its tree, nil where that is no InternetGatewayDevice.
func capturedTree(t *testing.T, dir string) *cpe.Tree {
	t.Helper()
	names, values := map[string]bool{}, map[string]cwmp.ParameterValueStruct{}
	files, _ := filepath.Glob(dir + "/*.txt")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ = bytes.Cut(text, []byte("==== CPE -> ACS ===="))
		i, j := bytes.Index(text, []byte("<?xml")), bytes.LastIndex(text, []byte("Envelope>"))
		if i < 0 || j < i {
			continue
		}
		end := bytes.Index(text[i:], []byte("Envelope>\n"))
		if end < 0 {
			end = j - i
		}
		m, err := cwmp.Decode(text[i:i+end+len("Envelope>")], "")
		if err != nil {
			continue // cut short
		}
		switch m := m.Body.(type) {
		case *cwmp.GetParameterNamesResponse:
			for _, p := range m.ParameterList {
				names[p.Name] = names[p.Name] || p.Writable
			}
		case *cwmp.GetParameterValuesResponse:
			for _, p := range m.ParameterList {
				values[p.Name] = p
				if _, known := names[p.Name]; !known {
					names[p.Name] = false
				}
			}
		}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"Parameter", "Object", "Writable", "Value", "Value type"})
	n := 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !strings.HasPrefix(name, rootIGD) {
			continue
		}
		object := strings.HasSuffix(name, ".")
		kind := "xsd:string"
		if v := values[name]; v.Type != "" && v.Type != "base64Binary" {
			kind = "xsd:" + v.Type
		}
		if object {
			kind = ""
		}
		_ = w.Write([]string{name, strconv.FormatBool(object), strconv.FormatBool(names[name]), values[name].Value, kind})
		n++
	}
	w.Flush()
	if n < 10 {
		return nil
	}
	tree, err := cpe.LoadCSV(&b)
	if err != nil {
		t.Fatal(dir, err)
	}
	return tree
}
