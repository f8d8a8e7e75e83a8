package usp

import "strings"

// Term is one comparison of a search: a parameter relative to the row, an operator and a value.
type Term struct {
	// Param leads to the parameter, through single-instance objects and references; its Segments are all names.
	Param []Segment
	Op    Operator
	Value Literal
}

// Operator compares a parameter with a value.
type Operator string

// The operators of a search.
const (
	Equal          Operator = "=="
	NotEqual       Operator = "!="
	Contains       Operator = "~=" // the list has the item
	LessOrEqual    Operator = "<="
	GreaterOrEqual Operator = ">="
	Less           Operator = "<"
	Greater        Operator = ">"
)

// operators in an order in which none hides behind its own beginning.
var operators = []Operator{Equal, NotEqual, Contains, LessOrEqual, GreaterOrEqual, Less, Greater}

// Literal is the value of a Term. Text of a string has its escapes undone.
type Literal struct {
	Kind LiteralKind
	Text string
}

// LiteralKind is the form in which a value was written.
type LiteralKind int

// The kinds of literals.
const (
	StringLiteral LiteralKind = iota // in quotes
	BooleanLiteral
	NumberLiteral
	DateTimeLiteral
)

// ValueKind is the type of a parameter, as far as comparing goes; the values are those of ParamValueType.
type ValueKind int

// The kinds of values.
const (
	UnknownValue ValueKind = iota // the literal's form decides how to compare
	Base64Value
	BooleanValue
	DateTimeValue
	DecimalValue
	HexBinaryValue
	IntValue
	LongValue
	StringValue
	UnsignedIntValue
	UnsignedLongValue
)

// Inside quotes only these two are escaped, so any other "%" is itself.
var (
	unescape = strings.NewReplacer("%22", `"`, "%25", "%")
	escape   = strings.NewReplacer(`"`, "%22", "%", "%25")
	unlist   = strings.NewReplacer("%2C", ",", "%2c", ",", "%25", "%")
)

// Name is the parameter as it is written: "Stats.BytesSent", "Recipient+.EndpointID".
func (t *Term) Name() string {
	var b strings.Builder
	t.writeName(&b)
	return b.String()
}

// Follows says that the parameter is reached through a reference.
func (t *Term) Follows() bool {
	for i := range t.Param {
		if t.Param[i].Follow {
			return true
		}
	}
	return false
}

// String gives the term as it stands in a search.
func (t *Term) String() string {
	var b strings.Builder
	t.write(&b)
	return b.String()
}

func (t *Term) writeName(b *strings.Builder) {
	for i := range t.Param {
		if i > 0 {
			b.WriteByte('.')
		}
		t.Param[i].write(b)
	}
}

func (t *Term) write(b *strings.Builder) {
	t.writeName(b)
	b.WriteString(string(t.Op))
	if t.Value.Kind == StringLiteral {
		b.WriteByte('"')
		b.WriteString(escape.Replace(t.Value.Text))
		b.WriteByte('"')
		return
	}
	b.WriteString(t.Value.Text)
}

// Match says whether the parameter's value fulfils the term. The value is in the lexical form of its type (R-ENC.6); kind is the type,
// for a list that of its items. Values are compared, not spellings: 1 is true, 0123 is 123, 10:00+01:00 is 09:00Z. Strings, booleans
// and the Unknown Time have no order. A term that makes no sense for the type is an *Error with code 7008, whatever the value.
func (t *Term) Match(value string, kind ValueKind) (bool, error) {
	order, err := t.order(kind)
	if err != nil {
		return false, err
	}
	if t.Op != Contains {
		return t.Op.holds(order(value, t.Value.Text)), nil
	}
	for item := range strings.SplitSeq(value, ",") {
		if n, ok := order(unlist.Replace(strings.TrimSpace(item)), t.Value.Text); ok && n == 0 {
			return true, nil
		}
	}
	return false, nil
}

// order gives the way in which values of the kind are compared with the literal, or says why they cannot be.
func (t *Term) order(kind ValueKind) (order, error) {
	bad := func(why string) (order, error) { return nil, Errorf(InvalidPathSyntax, "search %s: %s", t, why) }
	o := kindOrder(kind, t.Value.Kind)
	n, ok := o.cmp(t.Value.Text, t.Value.Text)
	switch ranked := t.Op != Equal && t.Op != NotEqual && t.Op != Contains; {
	case !ok || n != 0 || o.bare && t.Value.Kind == StringLiteral:
		return bad("the value is no " + o.what)
	case ranked && (!o.ranked || o.unknown != nil && o.unknown(t.Value.Text)):
		return bad("only == and != compare this type")
	case ranked && o.unknown != nil:
		return func(v, lit string) (int, bool) {
			n, ok := o.cmp(v, lit)
			return n, ok && !o.unknown(v)
		}, nil
	}
	return o.cmp, nil
}

// holds turns the order of value and literal into the answer. What cannot be compared differs.
func (o Operator) holds(n int, comparable bool) bool {
	switch {
	case !comparable:
		return o == NotEqual
	case n == 0:
		return o == Equal || o == LessOrEqual || o == GreaterOrEqual
	case n < 0:
		return o == NotEqual || o == Less || o == LessOrEqual
	}
	return o == NotEqual || o == Greater || o == GreaterOrEqual
}
