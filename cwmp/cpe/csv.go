package cpe

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"isthmus/cwmp"
)

// The columns of a GenieACS device export.
var csvColumns = []string{"Parameter", "Object", "Writable", "Value", "Value type"}

const (
	maxDumpRows = 200_000
	maxDepth    = 32
)

// ErrDump is in every error of LoadCSV that the file's content causes.
var ErrDump = errors.New("cpe: bad parameter dump")

// LoadCSV reads a device as GenieACS exports it: columns Parameter, Object, Writable, Value, Value type, the rows DeviceID.* being its
// identity. Objects whose children are numbers are tables; a table that is writable makes new rows after the model of its first.
// Errors name line and column.
func LoadCSV(r io.Reader) (*Tree, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = len(csvColumns)
	header, err := in.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: is empty", ErrDump)
	case errors.Is(err, csv.ErrFieldCount):
		return nil, fmt.Errorf("%w: line 1 does not name the columns: want %s", ErrDump, strings.Join(csvColumns, ","))
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDump, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	for i, want := range csvColumns {
		if header[i] != want {
			return nil, fmt.Errorf("%w: line 1, column %d: %q, want %q", ErrDump, i+1, header[i], want)
		}
	}
	t := &Tree{root: &node{}}
	for range maxDumpRows {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return t.complete()
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDump, err) // has line and column
		}
		if column, err := t.row(record); err != nil {
			line, _ := in.FieldPos(column)
			return nil, fmt.Errorf("%w: line %d, column %q: %w", ErrDump, line, csvColumns[column], err)
		}
	}
	return nil, fmt.Errorf("%w: more than %d rows", ErrDump, maxDumpRows)
}

// row takes in one record; with an error comes the index of the column at fault.
func (t *Tree) row(record []string) (column int, err error) {
	path := strings.TrimSuffix(record[0], ".")
	if name, ok := strings.CutPrefix(path, "DeviceID."); ok {
		return 0, identity(&t.DeviceID, name, record[3])
	}
	names := strings.Split(path, ".")
	switch {
	case slices.Contains(names, ""):
		return 0, fmt.Errorf("%q is not a path", record[0])
	case len(names) > maxDepth:
		return 0, fmt.Errorf("%q is deeper than %d", record[0], maxDepth)
	case names[0] != "Device" && names[0] != "InternetGatewayDevice":
		return 0, fmt.Errorf("%q is below neither Device nor InternetGatewayDevice", record[0])
	case len(t.root.kids) > 0 && t.root.kids[0].name != names[0]:
		return 0, fmt.Errorf("%q: a second root", record[0])
	}
	object, err := strconv.ParseBool(record[1])
	if err != nil {
		return 1, fmt.Errorf("%q is not true or false", record[1])
	}
	writable, err := strconv.ParseBool(record[2])
	if err != nil {
		return 2, fmt.Errorf("%q is not true or false", record[2])
	}
	n := t.root
	for _, name := range names {
		if n = n.put(name); n.parameter() {
			return 0, fmt.Errorf("%q: the path or a part of it is a parameter already", record[0])
		}
	}
	n.writable = writable
	if object {
		return 0, nil
	}
	if len(n.kids) > 0 {
		return 1, fmt.Errorf("%q is an object, as rows below it say", record[0])
	}
	if n.kind, n.limit, err = parseKind(record[4]); err != nil {
		return 4, err
	}
	n.value = n.canonical(record[3])
	n.secret = names[max(len(names)-2, 0)] == "ManagementServer" && secretName(path)
	return 0, nil
}

func identity(id *cwmp.DeviceID, name, value string) error {
	switch name {
	case "Manufacturer":
		id.Manufacturer = value
	case "OUI":
		id.OUI = value
	case "ProductClass":
		id.ProductClass = value
	case "SerialNumber":
		id.SerialNumber = value
	case "ID": // the export's own key
	default:
		return fmt.Errorf("DeviceID.%s is none of Manufacturer, OUI, ProductClass, SerialNumber", name)
	}
	return nil
}

// complete makes tables of what has numbered children, with templates.
func (t *Tree) complete() (*Tree, error) {
	if len(t.root.kids) == 0 {
		return nil, fmt.Errorf("%w: no parameters", ErrDump)
	}
	t.root.tabulate()
	t.root.finish()
	return t, nil
}

func (n *node) tabulate() {
	for _, k := range n.kids {
		k.tabulate()
	}
	if n.parameter() {
		return
	}
	rows := len(n.kids) > 0
	for _, k := range n.kids {
		rows = rows && number(k.name) > 0
	}
	n.table = rows || n.writable && len(n.kids) == 0 && number(n.name) == 0
	if rows {
		n.template = n.kids[0].copyOf(placeholder)
		n.template.blank()
		n.template.writable = n.writable
	} else if n.table {
		n.template = &node{writable: true}
	}
}

// blank empties a row's values, to be the template of new ones, and the tables in it.
func (n *node) blank() {
	switch n.kind {
	case "boolean":
		n.value = "false"
	case "int", "unsignedInt", "long", "unsignedLong", "decimal":
		n.value = "0"
	case "dateTime":
		n.value = "0001-01-01T00:00:00Z"
	default:
		n.value = ""
	}
	for _, k := range n.kids {
		k.blank()
	}
	if n.table {
		n.kids, n.last = nil, 0
	}
}

// number is an instance number, 0 if s is none.
func number(s string) int {
	i, err := strconv.Atoi(s)
	if err != nil || i < 1 || s[0] == '+' {
		return 0
	}
	return i
}
