// Command isthmus lets a USP Controller manage TR-069 CPE as if each were a native USP Agent. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"isthmus/cmd/isthmus/config"
	"isthmus/translate/legacy"
)

// cli is the command line.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the proxy in the foreground."`
	Check     checkCmd     `cmd:"" help:"Say what is wrong with a configuration."`
	Ready     readyCmd     `cmd:"" help:"Say whether a running proxy is ready: exit 0 if so."`
	Demo      demoCmd      `cmd:"" help:"Show the whole job in one process: proxy, simulated CPE and Controller."`
	CPE       cpeCmd       `cmd:"" name:"cpe" help:"Run simulated CPE against any ACS."`
	Devices   devicesCmd   `cmd:"" help:"List the CPE that a running proxy knows, or show one."`
	Trace     traceCmd     `cmd:"" help:"Show what Controllers asked of a device, and what the CPE was asked for it."`
	USP       uspCmd       `cmd:"" name:"usp" help:"Send USP requests from a terminal."`
	Backup    backupCmd    `cmd:"" help:"Write the store of a running proxy to a file."`
	Restore   restoreCmd   `cmd:"" help:"Make the store of a proxy that does not run what a backup holds."`
	Datamodel datamodelCmd `cmd:"" help:"Look into data models: what they come to, what a device has."`
	Version   versionCmd   `cmd:"" help:"Print version, commit and Go version."`
}

// later are the commands that later versions bring.
var later = []string{"migrate"}

// The exit codes.
const (
	exitFine = iota
	exitFailed
	exitWrongUse
)

// app is what a command gets to work with.
type app struct {
	ctx            context.Context
	stdout, stderr io.Writer
	environ        []string
}

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr, os.Environ())) }

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	if len(args) > 0 && slices.Contains(later, args[0]) {
		fmt.Fprintf(stderr, "isthmus: %s is not in this version: see isthmus --help for what is\n", args[0])
		return exitWrongUse
	}
	helped := false
	parser, err := kong.New(&cli{}, kong.Name("isthmus"), kong.Writers(stdout, stderr),
		kong.Description("A proxy that shows each TR-069 CPE to USP Controllers as a USP Agent of its own."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"vendors": strings.Join(legacy.Vendors(), ", ")}, kong.Exit(func(int) { helped = true }))
	if err != nil {
		panic(err) // the structs above are wrong
	}
	c, err := parser.Parse(args)
	if helped {
		return exitFine
	}
	if err != nil {
		fmt.Fprintf(stderr, "isthmus: %v: see isthmus --help\n", err)
		return exitWrongUse
	}
	err = c.Run(&app{ctx: ctx, stdout: stdout, stderr: stderr, environ: environ})
	return report(stderr, err)
}

// errUse marks the errors that are wrong use of a command which the parser cannot see.
var errUse = errors.New("wrong use")

// report tells the error of a command, one line, or a line for each of a configuration's problems.
func report(stderr io.Writer, err error) int {
	var problems config.Problems
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, problems)
	case errors.Is(err, errUse):
		fmt.Fprintf(stderr, "isthmus: %v\n", err)
		return exitWrongUse
	default:
		fmt.Fprintf(stderr, "isthmus: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return exitFailed
}
