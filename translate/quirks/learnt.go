package quirks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Learnt is what was found out about a model at run time, and is kept so that the next CPE of it need not show it again.
type Learnt struct {
	// NamesPerGet is the largest number of names that was halved until the CPE answered.
	NamesPerGet int `json:"names_per_get,omitempty"`
	// ValueBooleans is the form in which the CPE writes all its Boolean values.
	ValueBooleans string `json:"value_booleans,omitempty"`
	// Envelope is the form after which a CPE that had repeated its Inform again and again went on.
	Envelope string `json:"envelope,omitempty"`
	// Types are the types in which the CPE takes values after it refused what it or the data model calls them: "path=type" of generic paths, blanks between.
	Types string `json:"value_types,omitempty"`
}

// maxTypes bounds the parameters whose types are remembered, maxPath their names (TR-069 A.3.2.1).
const (
	maxTypes = 64
	maxPath  = 256
)

// Type is the type in which the CPE takes values of a generic path, "" if nothing was learnt of it.
func (l Learnt) Type(path string) string {
	for t := range strings.FieldsSeq(l.Types) {
		if p, typ, _ := strings.Cut(t, "="); p == path {
			return typ
		}
	}
	return ""
}

// WithType is l and the type of one path more, if there is room.
func (l Learnt) WithType(path, typ string) Learnt {
	types := slices.DeleteFunc(strings.Fields(l.Types), func(t string) bool { return strings.HasPrefix(t, path+"=") })
	if len(types) >= maxTypes || len(path) > maxPath || strings.ContainsAny(path, "= \t\r\n") {
		return l
	}
	types = append(types, path+"="+typ)
	slices.Sort(types)
	l.Types = strings.Join(types, " ")
	return l
}

func (l Learnt) quirks() Quirks {
	return Quirks{NamesPerGet: l.NamesPerGet, ValueBooleans: l.ValueBooleans, Envelope: l.Envelope}
}

// RecordName is the name of the fleet record that holds what was learnt about a model.
func RecordName(model CPE) string {
	sum := sha256.Sum256([]byte(model.OUI + "\x00" + model.ProductClass + "\x00" + model.SoftwareVersion))
	return "quirks/" + hex.EncodeToString(sum[:16])
}

// Encode gives the record of what was learnt.
func (l Learnt) Encode() ([]byte, error) { return json.Marshal(l) }

// DecodeLearnt reads what Encode gave. What no version of isthmus can have learnt is an error.
func DecodeLearnt(b []byte) (l Learnt, err error) {
	if err := json.Unmarshal(b, &l); err != nil {
		return Learnt{}, fmt.Errorf("quirks: what was learnt is damaged: %w", err)
	}
	if len(strings.Fields(l.Types)) > maxTypes {
		return Learnt{}, fmt.Errorf("quirks: what was learnt is damaged: more than %d types", maxTypes)
	}
	q := l.quirks()
	if p := (Profile{Name: "learnt", Match: Match{ProductClass: "*"}, Set: q}); q != (Quirks{}) && len(p.wrong()) > 0 {
		return Learnt{}, fmt.Errorf("quirks: what was learnt is damaged: %v", p.wrong())
	}
	return l, nil
}
