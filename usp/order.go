package usp

import (
	"cmp"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// order compares a value with a literal as typed values; ok is false if either is none of the type.
type order func(value, literal string) (n int, ok bool)

// ordering is how the values of one type compare.
type ordering struct {
	what    string // the type, for a peer that got it wrong
	cmp     order
	ranked  bool              // < and > make sense
	bare    bool              // the literal may not stand in quotes
	unknown func(string) bool // a value that has no rank
}

var (
	booleans  = ordering{what: "boolean", cmp: compareBooleans, bare: true}
	numbers   = ordering{what: "number", cmp: compareNumbers, ranked: true}
	bare      = ordering{what: "number", cmp: compareBare, ranked: true}
	dateTimes = ordering{what: "dateTime", cmp: compareTimes, ranked: true, unknown: isUnknownTime}
	hexadec   = ordering{what: "hexBinary", cmp: func(v, l string) (int, bool) { return compareTexts(strings.ToUpper(v), strings.ToUpper(l)) }}
	texts     = ordering{what: "string", cmp: compareTexts}
)

// kindOrder picks the ordering of a type. Where the type is not known the form of the literal tells.
func kindOrder(kind ValueKind, lit LiteralKind) ordering {
	switch kind {
	case BooleanValue:
		return booleans
	case DateTimeValue:
		return dateTimes
	case DecimalValue, IntValue, LongValue, UnsignedIntValue, UnsignedLongValue:
		return numbers
	case HexBinaryValue:
		return hexadec
	case UnknownValue:
		switch lit {
		case BooleanLiteral:
			return booleans
		case NumberLiteral:
			return bare
		case DateTimeLiteral:
			return dateTimes
		}
	}
	return texts
}

func compareTexts(v, l string) (int, bool) { return strings.Compare(v, l), true }

func compareBooleans(v, l string) (int, bool) {
	x, ok1 := parseBoolean(v)
	y, ok2 := parseBoolean(l)
	return cmp.Compare(x, y), ok1 && ok2
}

// parseBoolean gives 0 and 1, which compare.
func parseBoolean(s string) (n int, ok bool) {
	switch s {
	case "true", "1":
		return 1, true
	case "false", "0":
		return 0, true
	}
	return 0, false
}

func compareNumbers(v, l string) (int, bool) {
	x, err1 := strconv.ParseInt(v, 10, 64)
	y, err2 := strconv.ParseInt(l, 10, 64)
	if err1 == nil && err2 == nil {
		return cmp.Compare(x, y), true
	}
	if !isNumber(v) || !isNumber(l) {
		return 0, false
	}
	a, ok1 := new(big.Rat).SetString(v)
	b, ok2 := new(big.Rat).SetString(l)
	if !ok1 || !ok2 {
		return 0, false
	}
	return a.Cmp(b), true
}

// compareBare compares with a literal like 1, which may also be a boolean's.
func compareBare(v, l string) (int, bool) {
	if n, ok := compareNumbers(v, l); ok {
		return n, true
	}
	return compareBooleans(v, l)
}

// maxNumber bounds what is taken for a number, far above what any type of USP holds.
const maxNumber = 64

// isNumber says that s is a decimal number: a sign, digits, a fraction.
func isNumber(s string) bool {
	if len(s) > maxNumber {
		return false
	}
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	whole, fraction, point := strings.Cut(s, ".")
	return allDigits(whole) && (!point || allDigits(fraction))
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func compareTimes(v, l string) (int, bool) {
	x, ok1 := parseDateTime(v)
	y, ok2 := parseDateTime(l)
	return x.Compare(y), ok1 && ok2
}

func isUnknownTime(s string) bool {
	t, ok := parseDateTime(s)
	return ok && t.IsZero()
}

// parseDateTime reads the XML Schema dateTime; without a zone it is UTC. The Unknown Time is the zero time.
func parseDateTime(s string) (t time.Time, ok bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	return t, err == nil
}
