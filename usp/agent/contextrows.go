package agent

import (
	"strconv"

	"isthmus/usp"
)

// The values of SessionMode.
const (
	sessionRequire = "Require"
	sessionAllow   = "Allow"
	sessionForbid  = "Forbid"
)

const (
	contextName         = "E2ESession."
	contextResetCommand = "Reset()"

	// smallestRecord is the least MaxUSPRecordSize but 0, which is no limit.
	smallestRecord = 512
	mostRetransmit = 10
)

// contextTables say how an Agent uses session contexts with a Controller. A Controller may have one if it wants one: Allow. PayloadSecurity is Plaintext
// where the data model has TLS, and MaxRetransmitTries 3 where it has 0: a session that a Controller opens without having set anything is
// to work, and TP-469 3.12 asks for a Record again that way.
var contextTables = []*table{
	{ObjectDef: ObjectDef{Path: controllerTable + "{i}." + contextName, Commands: []CommandDef{{Name: contextResetCommand}}}, columns: []column{
		oneOf(text("SessionMode", sessionAllow, 0), sessionRequire, sessionAllow, sessionForbid),
		oneOf(computed("Status", TypeString, contextStatus), "Up", "Negotiating", "Down"),
		number("SessionExpiration", "0", 0, maxUint32),
		number("SessionRetryMinimumWaitInterval", "5", 1, 65535),
		number("SessionRetryIntervalMultiplier", "2000", 1000, 65535),
		computed("CurrentRetryCount", TypeUnsignedInt, contextRetries),
		checked(number("MaxUSPRecordSize", "0", 0, maxUint32), checkRecordSize),
		checked(column{ParamDef: ParamDef{Name: "MaxRetransmitTries", Type: TypeInt, Writable: true}, initial: "3"}, checkRetransmits),
		oneOf(text("PayloadSecurity", payloadPlaintext, 0), payloadPlaintext, payloadTLS),
	}},
}

// contextObject is the E2ESession of a Controller's row.
func contextObject(row string) string { return row + contextName }

func sessionMode(rs *rowSet, row string) string {
	if mode := rs.values[contextObject(row)]["SessionMode"]; mode != "" {
		return mode
	}
	return sessionAllow
}

func checkRecordSize(value string) error {
	if n, err := strconv.ParseUint(value, 10, 32); err != nil || n > 0 && n < smallestRecord {
		return usp.Errorf(usp.InvalidValue, "MaxUSPRecordSize must be 0, or at least %d", smallestRecord)
	}
	return nil
}

func checkRetransmits(value string) error {
	if n := signed(value); n < -1 || n > mostRetransmit {
		return usp.Errorf(usp.InvalidValue, "MaxRetransmitTries must be from -1 to %d", mostRetransmit)
	}
	return nil
}

// signed reads an int that the type check let in.
func signed(value string) int64 {
	n, _ := strconv.ParseInt(value, 10, 64)
	return n
}

func contextStatus(v *view, object string) string {
	a := v.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	switch x := a.contexts[usp.EndpointID(v.rows.values[ParentPath(object)]["EndpointID"])]; {
	case x == nil || !x.up || x.idle(v.rows, v.now):
		return "Down"
	case !x.heard:
		return "Negotiating"
	}
	return "Up"
}

func contextRetries(v *view, object string) string {
	a := v.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	if x := a.contexts[usp.EndpointID(v.rows.values[ParentPath(object)]["EndpointID"])]; x != nil {
		return itoa(x.retries)
	}
	return "0"
}
