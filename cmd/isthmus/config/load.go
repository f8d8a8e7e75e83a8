package config

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const envPrefix = "ISTHMUS_"

// maxFile bounds a configuration file.
const maxFile = 4 << 20

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Place string // "file:line", or the environment variable
	Key   string // full path, "usp.controllers[0].websocket.url"; "" where the text is no YAML
	Msg   string // what is wrong and what to do
}

func (p Problem) String() string {
	s := p.Msg
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.Place != "" {
		s = p.Place + ": " + s
	}
	return s
}

// Problems is the error of Load: everything that is wrong, one a line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Load reads a configuration file ("" for none), lays the ISTHMUS_ variables of environ ("NAME=value") over it, reads the files that
// hold secrets, and checks the whole. unknown names the ISTHMUS_ variables that no key has, which is no error. The error is of type
// Problems, or says why the file cannot be read.
func Load(file string, environ []string) (c *Config, unknown []string, err error) {
	var text []byte
	if file != "" {
		if text, err = readFile(file); err != nil {
			return nil, nil, fmt.Errorf("configuration file: %w", err)
		}
	}
	l := &loader{file: file, lines: map[string]int{}, variables: map[string]string{}}
	c = Default()
	l.parse(text, c)
	unknown = l.overlay(c, environ)
	l.check(c)
	c.CAFiles = l.caFiles
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b placed) int { return cmp.Compare(a.line, b.line) })
		var all Problems
		for _, p := range l.problems {
			if !slices.Contains(all, p.Problem) {
				all = append(all, p.Problem)
			}
		}
		return nil, unknown, all
	}
	return c, unknown, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return text, err
}

// loader remembers where each key was set, so that every check can name the place.
type loader struct {
	file      string
	lines     map[string]int    // key → line
	variables map[string]string // key → environment variable
	problems  []placed
	caFiles   map[string][sha256.Size]byte // Config.CAFiles, nil without any
}

type placed struct {
	Problem
	line int
}

// add notes a problem of a key at the place where it, or the nearest section around it, was set.
func (l *loader) add(key, format string, args ...any) {
	p := placed{Problem: Problem{Key: key, Msg: fmt.Sprintf(format, args...)}}
	if name, ok := l.variables[key]; ok {
		p.Place = name
	} else {
		for at := key; ; at = parentKey(at) {
			if p.line = l.lines[at]; p.line > 0 || at == "" {
				break
			}
		}
		p.Place = l.file
		if p.line > 0 {
			p.Place += ":" + strconv.Itoa(p.line)
		}
	}
	l.problems = append(l.problems, p)
}

func (l *loader) isSet(key string) bool { return l.lines[key] > 0 || l.variables[key] != "" }

func parentKey(key string) string { return key[:max(strings.LastIndexAny(key, ".["), 0)] }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

func (l *loader) parse(text []byte, c *Config) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return
	}
	if err == nil {
		if err = d.Decode(&second); errors.Is(err, io.EOF) {
			l.walk(doc.Content[0], reflect.ValueOf(c).Elem(), "", "")
			return
		}
		if err == nil {
			err = fmt.Errorf("yaml: line %d: a second document begins here: keep one", second.Line)
		}
	}
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		m = []string{"", "", err.Error()}
	}
	if m[1] == "" {
		m[1] = "1" // the parser names no line for the first
	}
	p := placed{Problem: Problem{Place: l.file + ":" + m[1], Msg: "not YAML: " + m[2]}}
	p.line, _ = strconv.Atoi(m[1])
	l.problems = append(l.problems, p)
}

// walk sets v from a node. oneof is the tag of that name of the field that v is.
func (l *loader) walk(n *yaml.Node, v reflect.Value, path, oneof string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	l.lines[path] = n.Line
	null := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
	if _, ok := v.Addr().Interface().(scalar); !ok {
		switch v.Kind() {
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			setDefaults(v.Elem())
			l.walk(n, v.Elem(), path, oneof)
			return
		case reflect.Struct, reflect.Map:
			if n.Kind == yaml.MappingNode {
				l.section(n, v, path)
			} else if !null {
				l.add(path, "must be a section: keys and values, not %s", describe(n))
			}
			return
		case reflect.Slice:
			if n.Kind == yaml.SequenceNode {
				l.list(n, v, path)
			} else if !null {
				l.add(path, "must be a list, not %s: write [a, b], or one \"- a\" a line", describe(n))
			}
			return
		}
	}
	switch {
	case null:
		l.add(path, "has no value: give it one or remove the key")
	case n.Kind != yaml.ScalarNode:
		l.add(path, "must be %s, not %s", kindOf(v), describe(n))
	case !fits(n.ShortTag(), v):
		l.add(path, "must be %s, not %s %s", kindOf(v), describe(n), quoteHint(n, v))
	default:
		if err := setScalar(v, n.Value, oneof); err != nil {
			l.add(path, "%s", err)
		}
	}
}

func quoteHint(n *yaml.Node, v reflect.Value) string {
	if v.Kind() == reflect.String {
		if _, secret := v.Addr().Interface().(*Secret); secret {
			return "(put it in quotes)"
		}
		return fmt.Sprintf("(write %q in quotes)", n.Value)
	}
	return "(remove the quotes, if any)"
}

func (l *loader) section(n *yaml.Node, v reflect.Value, path string) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		key := join(path, k.Value)
		if first, twice := seen[k.Value]; twice {
			l.lines[key] = k.Line
			l.add(key, "is given twice, first in line %d: keep one", first)
			continue
		}
		seen[k.Value] = k.Line
		if v.Kind() == reflect.Map {
			l.lines[key] = k.Line
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			entry := reflect.New(v.Type().Elem()).Elem()
			l.walk(value, entry, key, "")
			l.lines[key] = k.Line
			v.SetMapIndex(reflect.ValueOf(k.Value), entry)
			continue
		}
		f, field, ok := fieldOf(v, k.Value)
		if !ok {
			l.lines[key] = k.Line
			l.add(key, "unknown key: %s", knownKeys(v))
			continue
		}
		l.walk(value, f, key, field.Tag.Get("oneof"))
		l.lines[key] = k.Line
	}
}

func (l *loader) list(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		setDefaults(v.Index(i))
		l.walk(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i), "")
	}
}

func setDefaults(v reflect.Value) {
	if d, ok := v.Addr().Interface().(defaulter); ok {
		d.setDefaults()
	}
}

// fields calls f for every key of a section, those of inlined structs included.
func fields(v reflect.Value, f func(key string, v reflect.Value, field reflect.StructField)) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		name, inline := strings.CutSuffix(field.Tag.Get("yaml"), ",inline")
		switch {
		case inline:
			fields(v.Field(i), f)
		case name != "-":
			f(name, v.Field(i), field)
		}
	}
}

func fieldOf(v reflect.Value, key string) (found reflect.Value, field reflect.StructField, ok bool) {
	fields(v, func(k string, fv reflect.Value, ft reflect.StructField) {
		if k == key {
			found, field, ok = fv, ft, true
		}
	})
	return found, field, ok
}

// knownKeys says which keys a section has.
func knownKeys(v reflect.Value) string {
	var keys []string
	fields(v, func(k string, _ reflect.Value, _ reflect.StructField) { keys = append(keys, k) })
	return "correct or remove it; known here: " + strings.Join(keys, ", ")
}

// fits says whether a YAML scalar of this tag may stand for v.
func fits(tag string, v reflect.Value) bool {
	switch v.Addr().Interface().(type) {
	case *Duration, *Size:
		return tag == "!!str" || tag == "!!int"
	}
	switch v.Kind() {
	case reflect.Bool:
		return tag == "!!bool"
	case reflect.Int:
		return tag == "!!int"
	}
	return tag == "!!str" || tag == "!!timestamp"
}

func kindOf(v reflect.Value) string {
	switch v.Addr().Interface().(type) {
	case *Duration:
		return "a duration such as 15s"
	case *Size:
		return "a size such as 64MiB"
	}
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	}
	return "text"
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "text"
}

// setScalar sets v from text, as it stands in the file or in an environment variable.
func setScalar(v reflect.Value, text, oneof string) error {
	if s, ok := v.Addr().Interface().(scalar); ok {
		return s.parse(text)
	}
	switch v.Kind() {
	case reflect.Bool:
		b, err := parseBool(text)
		if err != nil {
			return err
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no whole number from 0 up", text)
		}
		v.SetInt(n)
	default:
		if oneof != "" && !slices.Contains(strings.Split(oneof, ","), text) {
			return fmt.Errorf("%q is none of %s", text, strings.ReplaceAll(oneof, ",", ", "))
		}
		v.SetString(text)
	}
	return nil
}

// overlay sets every scalar outside lists that the environment has a variable for.
func (l *loader) overlay(c *Config, environ []string) (unknown []string) {
	known := Variables()
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		key, ok := known[name]
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		l.variables[key] = name
		v := reflect.ValueOf(c).Elem()
		var field reflect.StructField
		for _, k := range strings.Split(key, ".") {
			v, field, _ = fieldOf(v, k)
		}
		if err := setScalar(v, text, field.Tag.Get("oneof")); err != nil {
			l.add(key, "%s", err)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// Variables gives the environment variables that isthmus knows, each with its key.
func Variables() map[string]string {
	m := map[string]string{}
	var collect func(v reflect.Value, path string)
	collect = func(v reflect.Value, path string) {
		fields(v, func(k string, f reflect.Value, _ reflect.StructField) {
			k = join(path, k)
			_, isScalar := f.Addr().Interface().(scalar)
			switch {
			case isScalar:
			case f.Kind() == reflect.Struct:
				collect(f, k)
				return
			case f.Kind() == reflect.Slice, f.Kind() == reflect.Map:
				return
			}
			m[envPrefix+strings.ToUpper(strings.ReplaceAll(k, ".", "_"))] = k
		})
	}
	collect(reflect.ValueOf(Default()).Elem(), "")
	return m
}
