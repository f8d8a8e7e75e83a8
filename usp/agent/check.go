package agent

import (
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"isthmus/usp"
)

// isKey says whether a parameter is part of a unique key.
func isKey(o *ObjectDef, name string) bool {
	for _, set := range o.Keys {
		if slices.Contains(set, name) {
			return true
		}
	}
	return false
}

// mustHold says that a setting of a new row counts as required even if the Controller does not say so: it is a unique key that can be given.
func mustHold(o *ObjectDef, name string) bool {
	p := o.Param(name)
	return p != nil && p.Writable && isKey(o, name)
}

// aliasName is the unique key that a Controller may choose for a row; it starts with a letter (TR-106, data type Alias).
const aliasName = "Alias"

func startsWithLetter(s string) bool {
	return s != "" && ('a' <= s[0]|0x20 && s[0]|0x20 <= 'z')
}

// checkValue checks a value's lexical form (R-ENC.6): 7011 where it is not of the type, 7012 where it is not one of those allowed.
func checkValue(d *ParamDef, value string) *usp.Error {
	if !d.List {
		return checkItem(d, value)
	}
	for _, item := range splitList(value) {
		if err := checkItem(d, item); err != nil {
			return err
		}
	}
	return nil
}

func checkItem(d *ParamDef, value string) *usp.Error {
	ok := true
	switch d.Type {
	case TypeBoolean:
		ok = value == "0" || value == "1" || strings.EqualFold(value, "true") || strings.EqualFold(value, "false")
	case TypeInt:
		ok = isInteger(value, 32)
	case TypeLong:
		ok = isInteger(value, 64)
	case TypeUnsignedInt:
		_, err := strconv.ParseUint(strings.TrimPrefix(value, "+"), 10, 32)
		ok = err == nil
	case TypeUnsignedLong:
		_, err := strconv.ParseUint(strings.TrimPrefix(value, "+"), 10, 64)
		ok = err == nil
	case TypeDecimal:
		ok = isDecimal(value)
	case TypeDateTime:
		_, ok = parseTime(value)
	case TypeBase64:
		_, err := base64.StdEncoding.DecodeString(value)
		ok = err == nil
	case TypeHexBinary:
		_, err := hex.DecodeString(value)
		ok = err == nil
	}
	if !ok {
		return usp.Errorf(usp.InvalidType, "%s: the value is no %s", d.Name, typeNames[d.Type])
	}
	if len(d.Enum) > 0 && !slices.Contains(d.Enum, value) {
		return usp.Errorf(usp.InvalidValue, "%s must be one of %s", d.Name, strings.Join(d.Enum, ", "))
	}
	return nil
}

var typeNames = map[ValueType]string{TypeBase64: "base64", TypeBoolean: "boolean", TypeDateTime: "dateTime", TypeDecimal: "decimal",
	TypeHexBinary: "hexBinary", TypeInt: "int", TypeLong: "long", TypeString: "string", TypeUnsignedInt: "unsignedInt", TypeUnsignedLong: "unsignedLong"}

func isInteger(s string, bits int) bool {
	_, err := strconv.ParseInt(s, 10, bits)
	return err == nil
}

// isDecimal leaves out what big.Rat also takes: exponents, fractions, hexadecimal.
func isDecimal(s string) bool {
	if s == "" || len(s) > 64 || strings.Trim(s, "0123456789.+-") != "" {
		return false
	}
	_, ok := new(big.Rat).SetString(s)
	return ok
}

func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", s)
	}
	return t, err == nil
}

// splitList splits a list value; "," inside an item is written %2C (TR-106 3.2.3).
func splitList(s string) []string {
	var items []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			if u, err := url.PathUnescape(item); err == nil && strings.Contains(item, "%2C") {
				item = u
			}
			items = append(items, item)
		}
	}
	return items
}
