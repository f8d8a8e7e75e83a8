package agent

import (
	"context"
	"math/big"
	"strings"

	"isthmus/usp"
)

const (
	thresholdTable = ownRoot + "Threshold."
	triggeredEvent = "Triggered!"
	// maxThresholds is how many rows an Agent has at most.
	maxThresholds = 64
	// thresholdDigits bounds an integer that is compared, in characters.
	thresholdDigits = 32
	// singleMode is the OperatingMode that ends a Threshold with its first event.
	singleMode = "Single"
)

// The values of ThresholdOperator.
const (
	rise  = "Rise"
	fall  = "Fall"
	cross = "Cross"
	eq    = "Eq"
	notEq = "NotEq"
)

var thresholdOperators = []string{rise, fall, cross, eq, notEq}

// thresholdTables are Device.LocalAgent.Threshold. A value is looked at when it becomes known that it has changed; nobody asks the CPE for it.
var thresholdTables = []*table{
	{ObjectDef: ObjectDef{Path: thresholdTable + "{i}.", Multi: true, Access: AddDelete, Keys: [][]string{{"Alias"}},
		Events: []EventDef{{Name: triggeredEvent, Args: []string{"ParamPath", "ParamValue"}}}},
		limit: maxThresholds, count: "ThresholdNumberOfEntries", columns: []column{
			alias(),
			flag("Enable"),
			oneOf(text("OperatingMode", "Normal", 0), "Normal", singleMode),
			text("ReferencePath", "", maxReference),
			text("ThresholdParam", "", maxReference),
			oneOf(text("ThresholdOperator", rise, 0), thresholdOperators...),
			text("ThresholdValue", "", thresholdDigits),
			shown(text("Controller", "", 0)),
		}},
}

// integer reads a value of any integer type.
func integer(s string) (*big.Int, bool) {
	if len(s) > thresholdDigits {
		return nil, false
	}
	return new(big.Int).SetString(s, 10)
}

// watches is the path of the parameters that a Threshold is about.
func (rs *rowSet) watches(row string) string {
	object := rs.get(row, "ReferencePath")
	if object != "" && !strings.HasSuffix(object, ".") {
		object += "."
	}
	return object + rs.get(row, "ThresholdParam")
}

// watchful says that a Threshold and its Controller are enabled.
func (rs *rowSet) watchful(row string) bool {
	return rs.is(row, "Enable") && rs.is(rs.get(row, "Controller")+".", "Enable")
}

// checkThreshold says what is wrong with a row: a path that leads to no parameter, as far as the supported data model is known, or what is no integer.
func (t *tx) checkThreshold(row string) (bad usp.ParamError, ok bool) {
	if _, ok := integer(t.rows.get(row, "ThresholdValue")); !ok {
		return usp.ParamError{Path: row + "ThresholdValue", Code: usp.InvalidValue, Msg: "ThresholdValue must be an integer"}, false
	}
	path := t.rows.watches(row)
	p, err := usp.ParsePath(path)
	switch {
	case err != nil || p.Kind != usp.OpenPath || p.IsSchema() || !strings.HasPrefix(path, "Device."):
		return usp.ParamError{Path: row + "ReferencePath", Code: usp.InvalidValue, Msg: path + " is no path of a parameter"}, false
	case strings.Contains(path, "+"):
		return bad, true // where references lead is not known until they are followed
	}
	// Nothing may be waited for while the tables are being changed.
	x := &exchange{a: t.agent, noWait: true, legacy: true}
	ctx := context.WithValue(t.agent.life(), exchangeKey{}, x)
	m, err := x.supported(ctx, p.Query())
	if err != nil {
		return bad, true
	}
	dot := leafOf(p.Query())
	var def *ParamDef
	if o := m.Object(p.Query()[:dot]); o != nil {
		def = o.Param(p.Query()[dot:])
	}
	switch {
	case def == nil:
		return usp.ParamError{Path: row + "ThresholdParam", Code: usp.InvalidPath, Msg: path + " is not in the supported data model"}, false
	case def.List || !isIntegerType(def.Type):
		return usp.ParamError{Path: row + "ThresholdParam", Code: usp.InvalidValue, Msg: path + " is no integer"}, false
	}
	return bad, true
}

func isIntegerType(t ValueType) bool {
	switch t {
	case TypeInt, TypeLong, TypeUnsignedInt, TypeUnsignedLong, TypeUnknown:
		return true
	}
	return false
}

// meets says whether the test of a Threshold has become true with a change.
func meets(operator string, old, value, limit *big.Int) bool {
	was, is := old.Cmp(limit), value.Cmp(limit)
	rises, falls := was <= 0 && is > 0, was >= 0 && is < 0
	switch operator {
	case rise:
		return rises
	case fall:
		return falls
	case cross:
		return rises || falls
	case eq:
		return was != 0 && is == 0
	}
	return was == 0 && is != 0
}

// crossing is a change that a Threshold waits for.
type crossing struct {
	row    string
	change *ValueChange
}

// crossings finds the Thresholds that changes have met. What the Controller of a Threshold may not read is not looked at for it.
func (a *Agent) crossings(ctx context.Context, rs *rowSet, hs []Happening) []crossing {
	rows := rs.instances(thresholdTable)
	if len(rows) == 0 {
		return nil
	}
	m := matcher{ctx: ctx, a: a, resolved: map[string][]string{}}
	var out []crossing
	for _, h := range hs {
		c, ok := h.(*ValueChange)
		if !ok {
			continue
		}
		old, ok1 := integer(c.Old)
		value, ok2 := integer(c.Value)
		if !ok1 || !ok2 {
			continue
		}
		for _, row := range rows {
			limit, ok := integer(rs.get(row, "ThresholdValue"))
			if ok && rs.watchful(row) && meets(rs.get(row, "ThresholdOperator"), old, value, limit) && m.watched(rs, row, c.Path) {
				out = append(out, crossing{row, c})
			}
		}
	}
	return out
}

// watched says whether a Threshold is about a parameter that its Controller may read.
func (m *matcher) watched(rs *rowSet, row, path string) bool {
	controller := rs.get(row, "Controller")
	for _, pattern := range m.patterns(rs, controller, rs.watches(row)) {
		if !same(pattern, path) {
			continue
		}
		g := rs.grant(usp.EndpointID(rs.get(controller+".", "EndpointID")))
		dot := leafOf(path)
		s, ok := m.a.device.(Securer)
		secret := ok && !g.secrets && !isOwn(path) && s.Secured(path[:dot], path[dot:])
		return !secret && (g.legacy || !Legacy(path)) && g.may.bind(m.ctx, m.a, true).allows(params, mayRead, path)
	}
	return false
}

// cross raises Triggered! for Thresholds that were met, for the Controllers that made them alone, and ends those that are for once.
func (t *tx) cross(ctx context.Context, met []crossing) {
	for _, c := range met {
		if !t.exists(c.row) || !t.rows.watchful(c.row) {
			continue
		}
		e := &Event{Object: c.row, Name: triggeredEvent, Args: map[string]string{"ParamPath": c.change.Path, "ParamValue": c.change.Value}}
		t.notes = append(t.notes, t.agent.match(ctx, t.before, t.rows, t.rows.get(c.row, "Controller")+".", []Happening{e})...)
		if t.rows.get(c.row, "OperatingMode") == singleMode {
			t.put(c.row, "Enable", "false")
		}
	}
}
