package agent

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"isthmus/usp"
)

// maxReference is how long one path of a ReferenceList may be.
const maxReference = 256

// accept checks a value against the column and gives it in the form that is kept.
func (c *column) accept(value string) (string, *usp.Error) {
	if err := checkValue(&c.ParamDef, value); err != nil {
		return "", err
	}
	switch c.Type {
	case TypeBoolean:
		return canonicalBool(value), nil
	case TypeUnsignedInt:
		n, err := strconv.ParseUint(strings.TrimPrefix(value, "+"), 10, 64)
		if err != nil || n < c.least || n > c.most {
			return "", usp.Errorf(usp.InvalidValue, "%s must be from %d to %d", c.Name, c.least, c.most)
		}
		value = strconv.FormatUint(n, 10)
	case TypeString:
		most := c.most
		if most == 0 {
			most = defaultLength
		}
		if uint64(utf8.RuneCountInString(value)) > most {
			return "", usp.Errorf(usp.InvalidValue, "%s is longer than %d characters", c.Name, most)
		}
	}
	if c.check != nil {
		if err := c.check(value); err != nil {
			return "", usp.AsError(err)
		}
	}
	return value, nil
}

func canonicalBool(s string) string {
	if s == "1" || strings.EqualFold(s, "true") {
		return "true"
	}
	return "false"
}

// check looks at rows as they are after a message: unique keys, and what a Subscription must be.
func (t *tx) check(rows []string) []usp.ParamError {
	var failed []usp.ParamError
	for _, path := range rows {
		if row := mtpOf(path); row != "" {
			if bad, ok := t.checkMTP(row); !ok {
				failed = append(failed, bad)
			}
		}
		if strings.HasSuffix(path, contextName) {
			if bad, ok := t.checkSecurity(path); !ok {
				failed = append(failed, bad)
			}
		}
		if row := brokerRow(path); row != "" {
			if bad, ok := t.checkBroker(row); !ok {
				failed = append(failed, bad)
			}
		}
		def := tableOf(path)
		if def == nil || !def.Multi {
			continue
		}
		for _, set := range def.Keys {
			if other := t.twin(path, set); other != "" {
				failed = append(failed, usp.ParamError{Path: path + set[len(set)-1], Code: usp.DuplicateUniqueKey,
					Msg: strings.Join(set, ", ") + " must be unique; " + other + " has the same"})
			}
		}
		table, _ := splitRow(path)
		switch table {
		case subscriptionTable:
			if err := t.checkReferences(path); err != nil {
				failed = append(failed, usp.ParamError{Path: path + "ReferenceList", Code: err.Code, Msg: err.Msg})
			}
			if err := t.checkTrigger(path); err != nil {
				failed = append(failed, usp.ParamError{Path: path + "TriggerConfigSettings", Code: err.Code, Msg: err.Msg})
			}
		case thresholdTable:
			if bad, ok := t.checkThreshold(path); !ok {
				failed = append(failed, bad)
			}
		case controllerTable:
			if id := t.rows.get(path, "EndpointID"); id != "" {
				if _, err := usp.ParseEndpointID(id); err != nil {
					failed = append(failed, usp.ParamError{Path: path + "EndpointID", Code: usp.InvalidValue, Msg: err.Error()})
				}
			}
		}
	}
	return failed
}

// twin finds another row with the same values of a key set.
func (t *tx) twin(path string, set []string) string {
	table, _ := splitRow(path)
	for _, p := range t.rows.instances(table) {
		same := p != path
		for _, k := range set {
			same = same && t.rows.get(p, k) == t.rows.get(path, k)
		}
		if same {
			return p
		}
	}
	return ""
}

func (t *tx) checkReferences(path string) *usp.Error {
	kind := t.rows.get(path, "NotifType")
	for _, ref := range splitList(t.rows.get(path, "ReferenceList")) {
		if len(ref) > maxReference {
			return usp.Errorf(usp.InvalidValue, "a path in ReferenceList is longer than %d characters", maxReference)
		}
		p, err := usp.ParsePath(ref)
		if err != nil {
			return usp.Errorf(usp.InvalidValue, "%s in ReferenceList: %v", ref, err)
		}
		if !strings.HasPrefix(ref, "Device.") {
			return usp.Errorf(usp.InvalidPath, "%s in ReferenceList does not begin with Device.", ref)
		}
		ok := true
		switch kind {
		case valueChange:
			ok = p.Kind == usp.ObjectPath || p.Kind == usp.OpenPath
		case event:
			ok = p.Kind == usp.ObjectPath || p.Kind == usp.EventPath
		case operationComplete:
			ok = p.Kind == usp.ObjectPath || p.Kind == usp.CommandPath
		case objectCreation, objectDeletion:
			ok = p.Kind == usp.ObjectPath || p.Kind == usp.OpenPath
		}
		if !ok {
			return usp.Errorf(usp.InvalidPath, "%s in ReferenceList is no path for %s", ref, kind)
		}
	}
	return nil
}
