// Package brokertest starts real brokers for tests, each with a configuration, a directory and ports of its own on loopback: Mosquitto for MQTT and
// RabbitMQ for STOMP. It says why a test is skipped where they are not asked for (ISTHMUS_BROKERS=1, as make test-brokers does).
package brokertest

import (
	"bufio"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTime = 60 * time.Second // a broker in a virtual machine, on two busy cores
	stopTime  = 20 * time.Second
	maxLog    = 200 // lines that are shown of a broker that fails a test
)

// program finds a broker, or skips the test: with ISTHMUS_BROKERS=1 a missing one fails it.
func program(t testing.TB, name, debian string) string {
	t.Helper()
	if os.Getenv("ISTHMUS_BROKERS") == "" {
		t.Skipf("ISTHMUS_BROKERS is not set: make test-brokers runs this with the real broker (%s)", debian)
	}
	for _, at := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(at); err == nil {
			return found
		}
	}
	t.Fatalf("%s is not installed: it is in the Debian package %s", name, debian)
	return ""
}

// daemon is a broker's process.
type daemon struct {
	t     testing.TB
	name  string
	args  []string
	env   []string
	ready string // what it logs when it serves

	cmd  *exec.Cmd
	over chan struct{} // closed when the process, and its log, has ended

	mu  sync.Mutex
	log []string
}

// start runs the process and returns when it serves.
func (d *daemon) start() {
	d.t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command(d.name, d.args...)
	d.cmd.Env = append(os.Environ(), d.env...)
	d.cmd.Stdout, d.cmd.Stderr = in, in
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a shell script and its children end together
	err = d.cmd.Start()
	_ = in.Close()
	if err != nil {
		_ = out.Close()
		d.t.Fatal(err)
	}
	d.over = make(chan struct{})
	serves := make(chan struct{})
	go d.read(out, serves)
	select {
	case <-serves:
	case <-d.over:
		d.t.Fatalf("%s ended at once:\n%s", d.name, d.Log())
	case <-time.After(startTime):
		d.signal(syscall.SIGKILL)
		d.t.Fatalf("%s does not serve:\n%s", d.name, d.Log())
	}
}

// read keeps the last lines of the log, and waits for the process.
func (d *daemon) read(out *os.File, serves chan struct{}) {
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		d.mu.Lock()
		if d.log = append(d.log, line); len(d.log) > maxLog {
			d.log = d.log[1:]
		}
		d.mu.Unlock()
		if serves != nil && strings.Contains(line, d.ready) {
			close(serves)
			serves = nil
		}
		if err != nil {
			break
		}
	}
	_ = out.Close()
	_ = d.cmd.Wait()
	close(d.over)
}

// Log is the end of what the broker has logged.
func (d *daemon) Log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.log, "")
}

// signal reaches the process and its children, unless it has ended: its number may be another's then.
func (d *daemon) signal(s syscall.Signal) {
	select {
	case <-d.over:
	default:
		_ = syscall.Kill(-d.cmd.Process.Pid, s)
	}
}

// Stop ends the broker in order; what it is to keep is on disk.
func (d *daemon) Stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.over:
	case <-time.After(stopTime):
		d.Kill()
	}
}

// Kill ends it without a warning.
func (d *daemon) Kill() {
	d.signal(syscall.SIGKILL)
	<-d.over
}

// Freeze stops the process, so that it answers nothing and connections to it stand, until Thaw.
func (d *daemon) Freeze() { d.signal(syscall.SIGSTOP) }

// Thaw has a frozen process go on.
func (d *daemon) Thaw() { d.signal(syscall.SIGCONT) }

// Start runs a broker again that was ended, at its old addresses and with what it kept.
func (d *daemon) Start() {
	d.t.Helper()
	d.start()
}

// freePort is one that the system gives no connection, so that it can be listened on again.
func freePort() string {
	const first, last = 24_000, 30_000 // below where Linux and macOS begin to give ports
	for {
		port := strconv.Itoa(first + rand.IntN(last-first))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			_ = l.Close()
			return port
		}
	}
}

func write(t testing.TB, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
