package datamodel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
)

// Extension is the tables together with those of an operator: what CPE have beyond Device:2.
type Extension struct{ all *schema }

// extended is the schema in use, nil for the standard one.
var extended atomic.Pointer[schema]

func tables() *schema {
	if s := extended.Load(); s != nil {
		return s
	}
	return standard()
}

const maxExtension = 16 << 20 // bytes of one file

// LoadExtension reads model tables in the form of device2-usp.tsv (FORMAT.md), which isthmus datamodel import writes. They may add to the
// standard ones, not contradict them. The error names file and line.
func LoadExtension(files []string) (*Extension, error) {
	s, err := loadSchema(unpack)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := readExtension(file)
		if err != nil {
			return nil, err
		}
		if err := s.extend(file, text); err != nil {
			return nil, err
		}
	}
	return &Extension{s}, nil
}

// Use makes the extension what the functions of this package know, for the process.
func (e *Extension) Use() { extended.Store(e.all) }

func readExtension(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxExtension+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", file, err)
	case len(text) > maxExtension:
		return "", fmt.Errorf("%s is larger than %d MiB", file, maxExtension>>20)
	}
	return string(text), nil
}

// extend adds a table of an operator. In it a command is the parameter of its name that CWMP has in its place, and a parameter with flag
// command is a command without arguments.
func (s *schema) extend(file, text string) error {
	var commands, triggers []string
	err := readTable(file, text, strings.Fields(ModelHeader), func(c []string) error {
		path, kind := strings.Clone(c[0]), c[1]
		if !strings.HasPrefix(path, rootDevice) {
			return fmt.Errorf("%s: is not below %s", path, rootDevice)
		}
		if Hidden(path) {
			return fmt.Errorf("%s: is the proxy's own, which no CPE adds to", path)
		}
		if err := s.modelRow(c); err != nil {
			return err
		}
		if kind == "command" {
			commands = append(commands, path)
		} else if p := s.params[path]; kind == "param" && p.Trigger {
			triggers = append(triggers, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range triggers {
		if s.command(path+"()") == nil {
			err = errors.Join(err, s.addCommand(path+"()", "sync"))
			commands = append(commands, path+"()")
		}
	}
	for _, path := range commands {
		c := s.command(path)
		c.Class, c.Target = triggerParam, strings.TrimSuffix(path, "()")
		s.served.add(c.Target, c.In)
	}
	return err
}
