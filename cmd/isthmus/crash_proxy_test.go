//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"isthmus/usp"
	"isthmus/usp/controller"
)

const crashController usp.EndpointID = "proto::crash-controller"

// crashConfig wants the port of CWMP, the linger, the URL of the Controller, the time for a request, and the ports of WebSocket and
// administration. Values may be an hour
// old, so that only what is done about a crash keeps a stale one from being answered.
const crashConfig = `
data_dir: data
cwmp:
  listen: 127.0.0.1:%s
  session: {linger: %s}
usp:
  controllers: [{endpoint_id: "` + string(crashController) + `", websocket: {url: %q}}]
  request_timeout: %s
  websocket_server: {listen: 127.0.0.1:%s}
cache: {max_age: 1h}
admin: {listen: 127.0.0.1:%s}
`

// site is where proxies run one after another: a directory with their configuration, and their ports.
type site struct {
	dir, acs, ws, admin string
	file                string
}

func newSite(t *testing.T, linger, requestTimeout, controllerURL string) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), acs: freePort(t), ws: freePort(t), admin: freePort(t)}
	s.file = filepath.Join(s.dir, "isthmus.yaml")
	if err := os.WriteFile(s.file, fmt.Appendf(nil, crashConfig, s.acs, linger, controllerURL, requestTimeout, s.ws, s.admin), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// url is that of the ACS.
func (s *site) url() string { return "http://127.0.0.1:" + s.acs + "/" }

// proxy is isthmus serve in a process of its own: this test binary, which TestMain makes the command isthmus, race detector and all.
type proxy struct {
	cmd  *exec.Cmd
	out  *transcript
	gone chan struct{} // closed when it has ended
}

// launch runs serve with a configuration file.
func (s *site) launch(t *testing.T, file string) *proxy {
	t.Helper()
	p := &proxy{cmd: exec.Command("isthmus", "serve", "--config", file), out: newTranscript(), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // it would take a second to end
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = s.dir, p.out, p.out, stopTime
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // the code is in ProcessState
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.gone
		if p.out.has("DATA RACE") || p.out.has("panic:") {
			t.Error("the proxy reported a fault of its own")
		}
		if t.Failed() {
			t.Logf("isthmus serve, process %d:\n%s", p.cmd.Process.Pid, p.out.text.String())
		}
	})
	return p
}

// serve launches a proxy and waits until it serves.
func (s *site) serve(ctx context.Context, t *testing.T) *proxy {
	t.Helper()
	p := s.launch(t, s.file)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-p.gone
		cancel(errors.New("isthmus serve ended"))
	}()
	if _, err := p.out.line(ctx, "msg=serving"); err != nil {
		t.Fatalf("%v: %v", err, context.Cause(ctx))
	}
	return p
}

func (p *proxy) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
}

// exit waits for the end and gives the exit code, -1 for that by a signal.
func (p *proxy) exit(ctx context.Context, t *testing.T) int {
	t.Helper()
	select {
	case <-p.gone:
		return p.cmd.ProcessState.ExitCode()
	case <-ctx.Done():
		t.Fatalf("isthmus serve does not end: %v", ctx.Err())
		return 0
	}
}

// fails runs serve where it must not start and gives the one line that it says.
func (s *site) fails(ctx context.Context, t *testing.T, file string) string {
	t.Helper()
	p := s.launch(t, file)
	if code := p.exit(ctx, t); code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	lines := strings.Split(strings.TrimSuffix(p.out.text.String(), "\n"), "\n")
	if len(lines) != 1 {
		t.Errorf("%d lines, want one:\n%s", len(lines), p.out.text.String())
	}
	return lines[0]
}

// crashListen makes the Controller that outlives the proxies.
func crashListen(ctx context.Context, t *testing.T, o controller.Options) (*controller.Controller, string) {
	t.Helper()
	o.EndpointID = crashController
	c := controller.New(context.WithoutCancel(ctx), o)
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		c.Close(end)
	})
	url, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return c, url
}
