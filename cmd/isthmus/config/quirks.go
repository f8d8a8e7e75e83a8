package config

import (
	"strings"

	"isthmus/translate/datamodel"
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

// checkDataModels reads the tables of what CPE have beyond Device:2.
func (l *loader) checkDataModels(c *CWMP) {
	if len(c.DataModelFiles) == 0 {
		return
	}
	e, err := datamodel.LoadExtension(c.DataModelFiles)
	if err != nil {
		l.add("cwmp.data_model_files", "%v: isthmus datamodel import writes such tables", err)
	}
	c.DataModels = e
}
