package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"isthmus/translate/datamodel"
	"isthmus/translate/datamodel/tr106"
)

// datamodelCmd is what an operator can ask about data models. It needs no running proxy.
type datamodelCmd struct {
	Explain explainCmd `cmd:"" help:"Say what a path of TR-098 or Device:1 becomes in Device:2, or what a path of Device:2 is made of."`
	Check   dumpCmd    `cmd:"" help:"Say what of a device dump is shown in Device:2, and why the rest is not."`
	Import  importCmd  `cmd:"" help:"Turn a data model in the Broadband Forum's XML into a table for cwmp.data_model_files."`
}

type importCmd struct {
	File string `arg:"" help:"XML file (TR-106). What it imports is looked for beside it."`
	All  bool   `help:"Print what Device:2 has anyway, too."`
}

func (c *importCmd) Run(a *app) error {
	rows, err := tr106.Import(os.DirFS(filepath.Dir(c.File)), filepath.Base(c.File), datamodel.Known)
	if errors.Is(err, tr106.ErrMissing) {
		if _, err := os.Stat(c.File); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	w := bufio.NewWriter(a.stdout)
	fmt.Fprintln(w, strings.ReplaceAll(datamodel.ModelHeader, " ", "\t"))
	for _, r := range rows {
		if c.All || !datamodel.Known(r.Path) {
			fmt.Fprintln(w, r)
		}
	}
	return w.Flush()
}
