package translate

import (
	"errors"
	"time"

	"isthmus/translate/quirks"
)

// SetAges has other ages hold for what is read from now on (Options.MaxAge and Rules).
func (p *Proxy) SetAges(maxAge time.Duration, rules []AgeRule) { p.ages.Store(newAges(maxAge, rules)) }

// ErrMappings is returned where quirk profiles would give CPE other names in Device:2 than Controllers know them by.
var ErrMappings = errors.New("translate: the mappings of the quirk profiles differ")

// SetQuirks has other quirk profiles hold, for each CPE from its next session on, and what was learnt of models on top (Options.Quirks). Their
// mappings must be the same: ErrMappings, and nothing has changed.
func (p *Proxy) SetQuirks(t *quirks.Table) error {
	if t == nil {
		t = quirks.Default()
	}
	if !t.MapsAs(p.habits.now()) {
		return ErrMappings
	}
	p.habits.replace(t)
	return nil
}
