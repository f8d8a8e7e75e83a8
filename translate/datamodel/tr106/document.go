// Package tr106 reads data models in the XML of TR-106 (Broadband Forum "DM Schemas"), such as makers publish of what their CPE have
// beyond Device:2, and gives them as rows of the tables in package datamodel.
//
// What a file takes from others is looked for beside it when it is needed, and only then: descriptions, profiles and bibliographies never are.
package tr106

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// What one import may take.
const (
	maxFile     = 16 << 20 // bytes
	maxFiles    = 256
	maxElements = 1 << 20 // in all files
	maxDepth    = 64      // elements in one another; components and types in one another
	maxSteps    = 1 << 21 // elements that are gone through, again for each use of a component
	maxRows     = 1 << 17
)

// ErrMissing is in the error about a file that a model needs and that is not there.
var ErrMissing = errors.New("bring that file too")

//go:embed types.xml
var ownTypes []byte

// library is the files of one import.
type library struct {
	dir      fs.FS
	files    map[string]*document
	elements int
}

// document is a file with what it defines and imports: components, dataTypes and models.
type document struct {
	lib     *library
	file    string
	root    *etree.Element
	defined map[definition]*etree.Element
	imports map[definition]origin
	whole   []string // the files that all definitions are taken from
}

type definition struct{ tag, name string }

// origin is where an imported definition is: under what name in which file.
type origin struct{ file, name string }

func (l *library) open(file string) (*document, error) {
	if d := l.files[file]; d != nil {
		return d, nil
	}
	if len(l.files) == maxFiles {
		return nil, fmt.Errorf("%s: needs more than %d files", file, maxFiles)
	}
	text, err := l.read(file)
	if err != nil {
		return nil, err
	}
	l.elements += strings.Count(text, "<") - strings.Count(text, "</")
	if l.elements > maxElements {
		return nil, fmt.Errorf("%s: more than %d elements", file, maxElements)
	}
	doc := etree.Document{ReadSettings: etree.ReadSettings{MaxDepth: maxDepth}}
	if err := doc.ReadFromString(text); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, t := range doc.Child {
		if _, ok := t.(*etree.Directive); ok {
			return nil, fmt.Errorf("%s: has a document type declaration (<!DOCTYPE>): remove it, with the entities that it declares", file)
		}
	}
	d := &document{lib: l, file: file, root: doc.Root(), defined: map[definition]*etree.Element{}, imports: map[definition]origin{}}
	if d.root == nil || d.root.Tag != "document" {
		return nil, fmt.Errorf("%s: is no data model: its outermost element is not document", file)
	}
	d.index()
	l.files[file] = d
	return d, nil
}

func (d *document) index() {
	for _, el := range d.root.ChildElements() {
		switch el.Tag {
		case "component", "dataType", "model":
			d.defined[definition{el.Tag, attr(el, "name")}] = el
		case "import":
			items := el.ChildElements()
			for _, item := range items {
				name := attr(item, "name")
				d.imports[definition{item.Tag, name}] = origin{attr(el, "file"), either(attr(item, "ref"), name)}
			}
			if len(items) == 0 {
				d.whole = append(d.whole, attr(el, "file"))
			}
		}
	}
}

// find looks up a definition and the document that has it, through imports.
func (d *document) find(tag, name string) (*document, *etree.Element, error) {
	return d.lookUp(definition{tag, name}, 0)
}

func (d *document) lookUp(what definition, depth int) (*document, *etree.Element, error) {
	if el := d.defined[what]; el != nil {
		return d, el, nil
	}
	if depth > maxDepth {
		return nil, nil, fmt.Errorf("%s: %s %s is imported in a circle", d.file, what.tag, what.name)
	}
	if from, ok := d.imports[what]; ok {
		next, err := d.lib.open(from.file)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: imports %s %s: %w", d.file, what.tag, what.name, err)
		}
		return next.lookUp(definition{what.tag, from.name}, depth+1)
	}
	var missing error
	for _, file := range append(slices.Clip(d.whole), typesFile) { // TR-106's own are used without being imported, too
		next, err := d.lib.open(file)
		if errors.Is(err, ErrMissing) {
			missing = err
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if el := next.defined[what]; el != nil {
			return next, el, nil
		}
	}
	if missing != nil {
		return nil, nil, fmt.Errorf("%s: %s %s: %w", d.file, what.tag, what.name, missing)
	}
	return nil, nil, fmt.Errorf("%s: %s %s is neither defined nor imported", d.file, what.tag, what.name)
}

// read gives the text of a file. One named without the number of its corrigendum is the latest that there is (TR-106 A.2.1).
func (l *library) read(file string) (string, error) {
	if isOwnTypes(file) {
		return string(ownTypes), nil
	}
	if file == "" || path.Base(file) != file {
		return "", fmt.Errorf("%q is no name of a file beside the others", file)
	}
	f, err := l.dir.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		if latest := l.latest(file); latest != "" {
			f, err = l.dir.Open(latest)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not there: %w", file, ErrMissing)
	}
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", file, err)
	case len(text) > maxFile:
		return "", fmt.Errorf("%s is larger than %d MiB", file, maxFile>>20)
	}
	return string(text), nil
}

const typesFile = "tr-106-types.xml"

// isOwnTypes says whether a file is TR-106's types, of any version, which are known: "tr-106-types.xml", "tr-106-1-1-0-types.xml".
func isOwnTypes(file string) bool {
	return strings.HasPrefix(file, "tr-106-") && strings.HasSuffix(file, "-types.xml") || file == typesFile
}

// latest finds the file whose name has one number more than asked for, the highest: tr-181-2-15-1-wifi.xml for tr-181-2-15-wifi.xml.
func (l *library) latest(file string) (found string) {
	entries, err := fs.ReadDir(l.dir, ".")
	if err != nil {
		return ""
	}
	want, highest := strings.Split(strings.TrimSuffix(file, ".xml"), "-"), -1
	for _, e := range entries {
		have := strings.Split(strings.TrimSuffix(e.Name(), ".xml"), "-")
		if len(have) != len(want)+1 {
			continue
		}
		i := 0
		for i < len(want) && have[i] == want[i] {
			i++
		}
		n, err := strconv.Atoi(have[i])
		if err == nil && n > highest && strings.Join(have[i+1:], "-") == strings.Join(want[i:], "-") {
			found, highest = e.Name(), n
		}
	}
	return found
}

// attr gives an attribute without a prefix, "" if there is none; those with one (dmr:…) tell of the document, not of the model.
func attr(el *etree.Element, name string) string {
	for i := range el.Attr {
		if a := &el.Attr[i]; a.Key == name && a.Space == "" {
			return a.Value
		}
	}
	return ""
}

func either(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
