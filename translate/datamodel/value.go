package datamodel

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"isthmus/usp/agent"
)

// UnknownTime is the dateTime that stands for "not known" in both protocols (TR-106 3.2.1).
const UnknownTime = "0001-01-01T00:00:00Z"

// ErrValue says that a value is none of the type it should have.
var ErrValue = errors.New("datamodel: value does not fit its type")

// Normalize turns a value as a CPE writes it into USP's lexical form. xsdType is the value's xsi:type, schema the type of the
// model (TypeUnknown if none; TypeString for a list, whose items stay as they are). What cannot be read as its type is given
// as it came, but always valid UTF-8.
//
// A dateTime without a zone is UTC, as TR-069 has it (not so Device.Time.CurrentLocalTime, which the caller passes on as it is);
// the fraction of a second stays, since test results need it.
func Normalize(xsdType string, schema agent.ValueType, raw string) string {
	raw = validUTF8(raw)
	if v, ok := canonical(settle(TypeOf(xsdType), schema), raw); ok {
		return v
	}
	return raw
}

// canonical gives the one form that USP has for a value of type t, if it is one.
func canonical(t agent.ValueType, raw string) (string, bool) {
	switch t {
	case agent.TypeBoolean:
		b, ok := parseBool(raw)
		return strconv.FormatBool(b), ok
	case agent.TypeInt, agent.TypeLong, agent.TypeUnsignedInt, agent.TypeUnsignedLong:
		v, ok := canonicalInteger(raw)
		return v, ok && !(isUnsigned(t) && strings.HasPrefix(v, "-"))
	case agent.TypeDecimal:
		return canonicalDecimal(raw)
	case agent.TypeDateTime:
		return canonicalTime(raw)
	case agent.TypeBase64:
		return canonicalBase64(raw)
	case agent.TypeHexBinary:
		return canonicalHex(raw)
	}
	return raw, true
}

func parseBool(raw string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(raw)) {
	case "1", "true", "yes", "on", "enabled":
		return true, true
	case "0", "false", "no", "off", "disabled":
		return false, true
	}
	return false, false
}

// maxNumber bounds the digits of a number: far more than any type has.
const maxNumber = 64

// canonicalInteger reads what CPE write for an integer: blanks around it, a plus sign, leading zeros, a fraction of zero, 0x1F.
func canonicalInteger(raw string) (string, bool) {
	s := strings.TrimSpace(raw)
	if len(s) > maxNumber {
		return raw, false
	}
	if hex, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		v, err := strconv.ParseUint(hex, 16, 64)
		return strconv.FormatUint(v, 10), err == nil
	}
	sign := ""
	switch {
	case strings.HasPrefix(s, "-"):
		sign, s = "-", s[1:]
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if !agent.IsInstance(whole) || strings.Trim(fraction, "0") != "" {
		return raw, false
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		return "0", true
	}
	return sign + whole, true
}

var decimalForm = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)$`)

// canonicalDecimal gives -1.5 for -01.50; a float's exponent is left alone.
func canonicalDecimal(raw string) (string, bool) {
	s := strings.TrimSpace(raw)
	if len(s) > maxNumber || !decimalForm.MatchString(s) {
		return raw, false
	}
	sign, s := strings.HasPrefix(s, "-"), strings.TrimLeft(s, "+-")
	whole, fraction, _ := strings.Cut(s, ".")
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if sign && whole != "0" {
		whole = "-" + whole
	}
	return whole, true
}

func canonicalBase64(raw string) (string, bool) {
	s := strings.Join(strings.Fields(raw), "")
	_, err := base64.StdEncoding.DecodeString(s)
	return s, err == nil
}

func canonicalHex(raw string) (string, bool) {
	s := strings.ToUpper(strings.TrimSpace(raw))
	return s, len(s)%2 == 0 && strings.Trim(s, "0123456789ABCDEF") == ""
}

var timeForm = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?(?: ?([Zz]|[+-]\d\d:?\d\d))?$`)

// canonicalTime knows the forms of X17: no zone, +00:00, -0500, a fraction, and what CPE write for an unknown time.
func canonicalTime(raw string) (string, bool) {
	s := strings.TrimSpace(raw)
	switch strings.ToLower(s) {
	case "", "-", "n/a", "none", "unknown", "unknown time", "0000-00-00t00:00:00", "0000-00-00t00:00:00z":
		return UnknownTime, true
	}
	f := timeForm.FindStringSubmatch(s)
	if f == nil {
		return raw, false
	}
	date, clock, fraction, zone := f[1], f[2], strings.TrimRight(f[3], ".0"), strings.ToUpper(f[4])
	if len(zone) == len("-0500") {
		zone = zone[:3] + ":" + zone[3:]
	}
	if zone == "" || zone == "+00:00" || zone == "-00:00" {
		zone = "Z"
	}
	v := date + "T" + clock + fraction + zone
	_, err := time.Parse(time.RFC3339Nano, v)
	return v, err == nil
}

// validUTF8 reads the bytes that are no UTF-8 as ISO 8859-1, which is what CPE send that do not know better.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			r = rune(s[i])
		}
		b.WriteRune(r)
		i += n
	}
	return b.String()
}

// ToCWMP turns a value of USP into what SetParameterValues says for a parameter of type xsdType (see WireType): the text and
// the local name of the type, which is string for one unknown. A boolean is 1 or 0, which every CPE understands; a dateTime
// has no fraction. An error is ErrValue.
func ToCWMP(xsdType, usp string) (value, typ string, err error) {
	typ = WireType(xsdType, agent.TypeUnknown)
	t := TypeOf(typ)
	v, ok := canonical(t, usp)
	if form := uspForms[t]; !ok || form != nil && !form.MatchString(usp) || !inRange(t, v) || !isXMLText(usp) {
		return "", "", fmt.Errorf("%w %s", ErrValue, typ)
	}
	switch t {
	case agent.TypeBoolean:
		if v == "true" {
			return "1", typ, nil
		}
		return "0", typ, nil
	case agent.TypeDateTime:
		return withoutFraction(v), typ, nil
	}
	return v, typ, nil
}

// uspForms are stricter than canonical: a Controller is held to TR-106 3.2.1, a CPE is not.
var uspForms = map[agent.ValueType]*regexp.Regexp{
	agent.TypeBoolean:      regexp.MustCompile(`^(true|false|1|0)$`),
	agent.TypeInt:          integerForm,
	agent.TypeLong:         integerForm,
	agent.TypeUnsignedInt:  integerForm,
	agent.TypeUnsignedLong: integerForm,
	agent.TypeDateTime:     regexp.MustCompile(`^[\d-]+T[\d:]+(\.\d+)?(Z|[+-]\d\d:\d\d)?$`),
}

var integerForm = regexp.MustCompile(`^[+-]?\d+$`)

// isXMLText says whether XML 1.0 can carry s.
func isXMLText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF'
	}) < 0
}

// inRange says whether a canonical number fits its type.
func inRange(t agent.ValueType, v string) bool {
	if !isInteger(t) {
		return true
	}
	n, ok := new(big.Int).SetString(v, 10)
	if !ok {
		return false
	}
	switch t {
	case agent.TypeUnsignedInt:
		return n.IsUint64() && n.Uint64() <= 1<<32-1
	case agent.TypeUnsignedLong:
		return n.IsUint64()
	}
	return n.IsInt64() && (t != agent.TypeInt || n.Int64() == int64(int32(n.Int64())))
}

func withoutFraction(dateTime string) string {
	head, tail, ok := strings.Cut(dateTime, ".")
	if !ok {
		return dateTime
	}
	return head + strings.TrimLeft(tail, "0123456789")
}

// Equal says whether two values of type t mean the same: 1 and true, ab and AB, two zones of one instant.
func Equal(t agent.ValueType, a, b string) bool {
	if a == b {
		return true
	}
	ca, okA := canonical(t, a)
	cb, okB := canonical(t, b)
	if !okA || !okB {
		return false
	}
	if t == agent.TypeDateTime {
		ta, errA := time.Parse(time.RFC3339Nano, ca)
		tb, errB := time.Parse(time.RFC3339Nano, cb)
		return errA == nil && errB == nil && ta.Equal(tb)
	}
	return ca == cb
}
