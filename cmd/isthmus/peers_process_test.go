//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopTime is how long a process may take to end.
const stopTime = 10 * time.Second

// transcript is the output of a process, which can be waited for.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{} // closed and made anew by every Write
}

func newTranscript() *transcript { return &transcript{grown: make(chan struct{})} }

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return o.text.Write(p)
}

// find gives the first whole line with text in it, or "", and what tells that there is more to look at.
func (o *transcript) find(text string) (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for l := range strings.Lines(o.text.String()) {
		if strings.HasSuffix(l, "\n") && strings.Contains(l, text) {
			return l, o.grown
		}
	}
	return "", o.grown
}

func (o *transcript) has(text string) bool {
	l, _ := o.find(text)
	return l != ""
}

// line waits for a line with text in it.
func (o *transcript) line(ctx context.Context, text string) (string, error) {
	for {
		l, grown := o.find(text)
		if l != "" {
			return l, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for a line with %q: %w", text, ctx.Err())
		}
	}
}

// launch starts a program in a process group of its own, which ends with the test: by the signal, or by SIGKILL after a while.
// What it printed is told if the test failed.
func launch(t *testing.T, end syscall.Signal, dir, program string, args ...string) *transcript {
	t.Helper()
	out := newTranscript()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "HOME="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = stopTime
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	t.Cleanup(func() {
		signalGroup(t, cmd.Process.Pid, end)
		select {
		case err := <-gone:
			if end != syscall.SIGKILL && err != nil {
				t.Errorf("%s: %v", program, err)
			}
		case <-time.After(stopTime):
			signalGroup(t, cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("%s did not end by %s: %v", program, end, <-gone)
		}
		if t.Failed() {
			t.Logf("%s %s:\n%s", program, strings.Join(args, " "), out.text.String())
		}
	})
	return out
}

func signalGroup(t *testing.T, pid int, s syscall.Signal) {
	if err := syscall.Kill(-pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("%s to process group %d: %v", s, pid, err)
	}
}

// node is what runs the peers written in JavaScript.
func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("%v: install Node.js 20 or newer", err)
	}
	return path
}

// findProgram finds a peer: what the variable names, or else what is on the PATH.
func findProgram(t *testing.T, name, variable, what string) string {
	t.Helper()
	path, err := os.Getenv(variable), error(nil)
	if path == "" {
		if path, err = exec.LookPath(name); err != nil {
			t.Fatalf("%v: install %s, or set %s to its program", err, what, variable)
		}
	}
	if path, err = filepath.Abs(path); err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return path
}

// freePort is a port of loopback that nobody listens on, and that the system gives no connection: one that is listened on again must be free.
func freePort(t *testing.T) string {
	t.Helper()
	const first, last = 24_000, 30_000 // below where Linux and macOS begin to give ports; other packages have the others
	for range last - first {
		port := strconv.Itoa(first + rand.IntN(last-first))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// serve builds isthmus, runs it with a configuration, and gives the URL of the ACS.
func serve(ctx context.Context, t *testing.T, configuration string) string {
	t.Helper()
	dir := t.TempDir()
	binary, file := filepath.Join(dir, "isthmus"), filepath.Join(dir, "isthmus.yaml")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	out := launch(t, syscall.SIGTERM, dir, binary, "serve", "--config", file)
	line, err := out.line(ctx, `"msg":"serving"`)
	if err != nil {
		t.Fatal(err)
	}
	var serving struct {
		CWMP string `json:"cwmp"`
	}
	if err := json.Unmarshal([]byte(line), &serving); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return "http://" + serving.CWMP + "/"
}
