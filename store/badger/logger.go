package badger

import (
	"fmt"
	"log/slog"
	"strings"
)

// logger brings what Badger has to say to slog. Its information is our debugging.
type logger struct{ log *slog.Logger }

func message(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any)   { l.log.Error(message(format, args)) }
func (l logger) Warningf(format string, args ...any) { l.log.Warn(message(format, args)) }
func (l logger) Infof(format string, args ...any)    { l.log.Debug(message(format, args)) }

// Debugf is called for every write.
func (l logger) Debugf(string, ...any) {}
