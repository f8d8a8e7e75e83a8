package quirks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Learnt is what was found out about a model at run time, and is kept so that the next CPE of it need not show it again.
type Learnt struct {
	// NamesPerGet is the largest number of names that was halved until the CPE answered.
	NamesPerGet int `json:"names_per_get,omitempty"`
	// ValueBooleans is the form in which the CPE writes all its Boolean values.
	ValueBooleans string `json:"value_booleans,omitempty"`
	// Envelope is the form after which a CPE that had repeated its Inform again and again went on.
	Envelope string `json:"envelope,omitempty"`
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
	q := l.quirks()
	if p := (Profile{Name: "learnt", Match: Match{ProductClass: "*"}, Set: q}); q != (Quirks{}) && len(p.wrong()) > 0 {
		return Learnt{}, fmt.Errorf("quirks: what was learnt is damaged: %v", p.wrong())
	}
	return l, nil
}
