package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"isthmus": main})
}

// TestScript runs the command line as a person would; a script a feature.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status, "ports": ports, "eventually": eventually, "answers": untilAnswered}})
}

// status runs a program that must end with the exit code given.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status code program args...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// ports puts free addresses of this machine into the environment. Nothing holds them until the script's programs listen.
func ports(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		ts.Check(l.Close())
	}
}

// untilAnswered asks for a URL until its answer has a text.
func untilAnswered(ts *testscript.TestScript, neg bool, args []string) {
	const patience, pause = 20 * time.Second, 50 * time.Millisecond
	if neg || len(args) != 2 {
		ts.Fatalf("usage: answers URL text")
	}
	var body []byte
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		resp, err := http.Get(args[0])
		if err != nil {
			continue
		}
		body, _ = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if strings.Contains(string(body), args[1]) {
			return
		}
	}
	ts.Fatalf("%s does not answer %s, but %s", args[0], args[1], body)
}

// eventually runs a program until it succeeds: another one is starting.
func eventually(ts *testscript.TestScript, _ bool, args []string) {
	const patience, pause = 20 * time.Second, 50 * time.Millisecond
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pause) {
		if err = ts.Exec(args[0], args[1:]...); err == nil {
			return
		}
	}
	ts.Fatalf("%v did not succeed in %v: %v", args, patience, err)
}
