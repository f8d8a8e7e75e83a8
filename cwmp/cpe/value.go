package cpe

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// limit is what a parameter's values must keep to beyond their type. The zero value is no limit.
type limit struct {
	ranged   bool
	min, max int64 // of a number, or the greatest length of a string
	enum     []string
}

// parseKind reads "unsignedInt(0:65535)", "string(64)" or "string(Up|Down)".
func parseKind(s string) (string, limit, error) {
	kind, args, ok := strings.Cut(s, "(")
	kind = strings.TrimPrefix(kind, "xsd:")
	if !slices.Contains(kinds, kind) {
		return "", limit{}, fmt.Errorf("unknown type %q", kind)
	}
	if !ok {
		return kind, limit{}, nil
	}
	args = strings.TrimSuffix(args, ")")
	if strings.Contains(args, "|") {
		return kind, limit{enum: strings.Split(args, "|")}, nil
	}
	low, high, ok := strings.Cut(args, ":")
	if !ok {
		low, high = "0", args
	}
	l := limit{ranged: true}
	var err error
	if l.min, err = strconv.ParseInt(low, 10, 64); err != nil {
		return "", limit{}, fmt.Errorf("limit of %q: %w", s, err)
	}
	if l.max, err = strconv.ParseInt(high, 10, 64); err != nil {
		return "", limit{}, fmt.Errorf("limit of %q: %w", s, err)
	}
	return kind, l, nil
}

var kinds = []string{"string", "int", "unsignedInt", "long", "unsignedLong", "boolean", "dateTime", "base64", "hexBinary", "decimal"}

// accepts says whether a parameter of this kind may have the value.
func (n *node) accepts(value string) bool {
	if len(n.limit.enum) > 0 && !slices.Contains(n.limit.enum, value) {
		return false
	}
	switch n.kind {
	case "string":
		return !n.limit.ranged || int64(utf8.RuneCountInString(value)) <= n.limit.max
	case "boolean":
		return value == "0" || value == "1" || value == "true" || value == "false"
	case "int":
		return n.number(value, 32)
	case "long":
		return n.number(value, 64)
	case "unsignedInt":
		_, err := strconv.ParseUint(value, 10, 32)
		return err == nil && n.number(value, 64)
	case "unsignedLong":
		_, err := strconv.ParseUint(value, 10, 64)
		return err == nil
	case "decimal":
		_, err := strconv.ParseFloat(value, 64)
		return err == nil
	case "dateTime":
		return isDateTime(value)
	case "base64":
		_, err := base64.StdEncoding.DecodeString(value)
		return err == nil
	case "hexBinary":
		_, err := hex.DecodeString(value)
		return err == nil
	}
	return false
}

func (n *node) number(value string, bits int) bool {
	v, err := strconv.ParseInt(value, 10, bits)
	return err == nil && (!n.limit.ranged || n.limit.min <= v && v <= n.limit.max)
}

func isDateTime(value string) bool {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if _, err := time.Parse(layout, value); err == nil {
			return true
		}
	}
	return false
}

// canonical is the value as the CPE keeps it: one spelling for booleans.
func (n *node) canonical(value string) string {
	if n.kind != "boolean" {
		return value
	}
	switch value {
	case "1":
		return "true"
	case "0":
		return "false"
	}
	return value
}
