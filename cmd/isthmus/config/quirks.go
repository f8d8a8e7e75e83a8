package config

import (
	"strings"

	"isthmus/translate/quirks"
)

// checkQuirks reads the quirks file.
func (l *loader) checkQuirks(c *CWMP) {
	if c.QuirksFile == "" {
		return
	}
	t, err := quirks.Load(c.QuirksFile)
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			l.add("cwmp.quirks_file", "%s", strings.TrimSpace(line))
		}
		return
	}
	c.Quirks = t
}
