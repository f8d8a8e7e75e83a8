package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deploy/CONFIGURATION.md anew")

const referenceFile = "../../../deploy/CONFIGURATION.md"

// TestReference holds deploy/CONFIGURATION.md to the structs and their comments, and has every key explained.
func TestReference(t *testing.T) {
	r := &reference{comments: comments(t), variables: map[string]string{}}
	for variable, key := range Variables() {
		r.variables[key] = variable
	}
	r.section(reflect.ValueOf(Default()).Elem(), "", "", "", 1)
	for _, key := range r.lacking {
		t.Errorf("%s: its field has no comment that says what the key does", key)
	}
	if *update {
		if err := os.WriteFile(referenceFile, []byte(r.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != r.String() {
		t.Errorf("deploy/CONFIGURATION.md is not current: go test ./cmd/isthmus/config -run TestReference -update")
	}
	for _, key := range []string{"data_dir", "cwmp.legacy_tls.key_file", "usp.controllers[].mqtt.agent_topic", "usp.roles.NAME[].param"} {
		if !strings.Contains(r.String(), "`"+key+"`") {
			t.Errorf("%s is not in it", key)
		}
	}
}

// comments gives the comment of each field of the package's structs, by "Type.Field".
func comments(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				maps.Copy(all, fieldComments(spec.Name.Name, s))
			}
			return false
		})
	}
	return all
}

func fieldComments(typ string, s *ast.StructType) map[string]string {
	m := map[string]string{}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			m[typ+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
	}
	return m
}

const preamble = `# Configuration

Made from the code: cmd/isthmus/config. The file is YAML, and strict: an unknown key, a duplicate key or a wrong type is an error with file, line and key, which
` + "`isthmus check --config FILE`" + ` tells. Every key is optional. A variable wins over the file; a key without one is inside a list. A duration is such as 15s, 5m, 24h; a size bytes,
or such as 64MiB; a CIDR such as 192.0.2.0/24; a file's name is looked for where isthmus was started, unless it begins with /. A change takes effect at the next start,
or at SIGHUP where that is said: "if set", where something was there before and still is.
`

// reference writes the reference: a part for each section, with a table of its keys.
type reference struct {
	strings.Builder
	comments  map[string]string // "Type.Field" → what the key does
	variables map[string]string // key → variable
	lacking   []string          // keys without a comment
}

// entry is one key of a section.
type entry struct {
	key, text, reload string
	v                 reflect.Value
	field             reflect.StructField
}

// entries are the keys of a section; those of a list that is reloaded are reloaded.
func (r *reference) entries(v reflect.Value, path, reload string) (all []entry) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, inline := strings.CutSuffix(field.Tag.Get("yaml"), ",inline")
		switch {
		case inline:
			all = append(all, r.entries(v.Field(i), path, reload)...)
		case name != "-":
			e := entry{join(path, name), r.comments[v.Type().Name()+"."+field.Name], reload, v.Field(i), field}
			if tag, ok := field.Tag.Lookup("reload"); ok {
				e.reload = map[string]string{"": "yes", "set": "if set"}[tag]
			}
			if e.text == "" {
				r.lacking = append(r.lacking, e.key)
			}
			all = append(all, e)
		}
	}
	return all
}

// section writes the part of one section, then those of the sections in it.
func (r *reference) section(v reflect.Value, path, text, reload string, level int) {
	if path == "" {
		r.WriteString(preamble)
	} else {
		fmt.Fprintf(r, "\n%s `%s`\n\n%s\n", strings.Repeat("#", min(level, 4)), path, prose(text))
	}
	var inner []entry
	header := "\n| key | type | default | variable | SIGHUP | means |\n|---|---|---|---|---|---|\n"
	for _, e := range r.entries(v, path, reload) {
		if kind(e.v, e.field) == "" {
			inner = append(inner, e)
			continue
		}
		fmt.Fprintf(r, "%s| `%s` | %s | %s | %s | %s | %s |\n", header, e.key, kind(e.v, e.field), code(initial(e.v)), code(r.variables[e.key]), e.reload, prose(e.text))
		header = ""
	}
	for _, e := range inner {
		switch e.v.Kind() {
		case reflect.Struct:
			r.section(e.v, e.key, e.text, e.reload, level+1)
		case reflect.Pointer:
			r.element(e.v.Type().Elem(), e, e.key, level)
		case reflect.Slice:
			r.element(e.v.Type().Elem(), e, e.key+"[]", level)
		case reflect.Map:
			r.element(e.v.Type().Elem().Elem(), e, e.key+".NAME[]", level)
		}
	}
}

func (r *reference) element(t reflect.Type, e entry, path string, level int) {
	v := reflect.New(t).Elem()
	setDefaults(v)
	r.section(v, path, e.text, e.reload, level+1)
}

// kind is the type of a key, in words; "" for what has keys of its own.
func kind(v reflect.Value, field reflect.StructField) string {
	switch v.Interface().(type) {
	case Duration:
		return "duration"
	case Size:
		return "size"
	case Address:
		return "host:port"
	case Addr:
		return "IP address"
	case Prefix:
		return "CIDR"
	case Secret:
		return "text, secret"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "number"
	case reflect.String:
		if values := field.Tag.Get("oneof"); values != "" {
			return "`" + strings.ReplaceAll(values, ",", "` `") + "`"
		}
		if strings.HasSuffix(field.Tag.Get("yaml"), "_file") {
			return "file"
		}
		return "text"
	case reflect.Slice:
		if of := kind(reflect.New(v.Type().Elem()).Elem(), field); of != "" {
			return "list of: " + of
		}
	}
	return ""
}

// initial is the default as it would stand in the file; "" where there is none.
func initial(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case Duration:
		if x == unset {
			return ""
		}
		return strings.ReplaceAll(strings.ReplaceAll(x.String(), "m0s", "m"), "h0m", "h")
	case Size:
		for _, unit := range []string{"", "KiB", "MiB", "GiB"} {
			if x%1024 != 0 {
				return fmt.Sprint(int64(x), unit)
			}
			x /= 1024
		}
	}
	switch v.Kind() {
	case reflect.String, reflect.Bool:
		return fmt.Sprint(v.Interface())
	case reflect.Int:
		if v.Int() != noOrder {
			return fmt.Sprint(v.Interface())
		}
	}
	return ""
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

var keyName = regexp.MustCompile(`[a-z]+(\.[a-z_]+)+|\{?[a-z]+(_[a-z]+)+\}?`)

// prose is a comment as Markdown: keys as code, what Markdown would take for its own escaped.
func prose(text string) string {
	text = strings.NewReplacer("|", `\|`, "*", `\*`, "<", "&lt;", "README.md", "[README.md](../README.md)").Replace(text)
	known := Variables()
	return keyName.ReplaceAllStringFunc(text, func(word string) string {
		if _, ok := known[envPrefix+strings.ToUpper(strings.ReplaceAll(word, ".", "_"))]; ok && strings.Contains(word, ".") || !strings.Contains(word, ".") {
			return "`" + word + "`"
		}
		return word
	})
}

// TestGuide has the guides name keys and metrics that there are.
func TestGuide(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	known := read(referenceFile) + read("../../../deploy/METRICS.md")
	named := regexp.MustCompile("`((?:data_dir|log|cwmp|usp|cache|operations|notifications|telemetry|transfers|admin)\\.[a-z_.\\[\\]]+|isthmus_[a-z_]+)`")
	for _, guide := range []string{"../../../deploy/GUIDE.md", "../../../README.md"} {
		all := named.FindAllStringSubmatch(read(guide), -1)
		if len(all) == 0 {
			t.Errorf("%s names nothing", guide)
		}
		for _, m := range all {
			if !strings.Contains(known, "`"+m[1]) {
				t.Errorf("%s: there is no %s", guide, m[1])
			}
		}
	}
}
