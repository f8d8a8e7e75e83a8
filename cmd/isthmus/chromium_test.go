package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// chromium is a headless Chromium at the other end of a pipe. It speaks the Chrome DevTools Protocol: JSON, each message ended by a zero byte.
type chromium struct {
	t   *testing.T
	ctx context.Context
	out io.Writer

	mu      sync.Mutex
	id      int
	waiting map[int]chan devtools
	tabs    map[string]*tab // by session
}

// devtools is a message of the protocol.
type devtools struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// chromiumFlags keep Chromium from the network, but for the pages that it is told to open.
var chromiumFlags = []string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe"}

// startChromium runs Debian's Chromium until the test's end.
func startChromium(ctx context.Context, t *testing.T) *chromium {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("Chromium is not installed: %v", err)
	}
	in, out, err1 := os.Pipe()
	from, to, err2 := os.Pipe()
	dir, err3 := os.MkdirTemp("", "chromium") // not the test's: helpers of Chromium may live a little longer than it does
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cmd := exec.CommandContext(ctx, program, append(slices.Clone(chromiumFlags), "--user-data-dir="+dir, "about:blank")...)
	cmd.ExtraFiles = []*os.File{in, to} // 3, which it reads, and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	to.Close()
	c := &chromium{t: t, ctx: ctx, out: out, waiting: map[int]chan devtools{}, tabs: map[string]*tab{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read(from)
	}()
	t.Cleanup(func() {
		c.call("", "Browser.close", nil, nil)
		if err := cmd.Wait(); err != nil {
			t.Errorf("Chromium ended with %v", err)
		}
		out.Close()
		<-done
		from.Close()
	})
	return c
}

// maxDevtools bounds one message; a screenshot is the largest.
const maxDevtools = 64 << 20

func (c *chromium) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxDevtools)
	s.Split(func(data []byte, _ bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, 0); i >= 0 {
			return i + 1, data[:i], nil
		}
		return 0, nil, nil
	})
	for s.Scan() {
		var m devtools
		if err := json.Unmarshal(s.Bytes(), &m); err != nil {
			c.t.Errorf("Chromium says %q: %v", s.Bytes(), err)
			return
		}
		c.mu.Lock()
		answer, p := c.waiting[m.ID], c.tabs[m.Session]
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		switch {
		case m.Method == "" && answer != nil:
			answer <- m
		case p != nil:
			p.take(m)
		}
	}
}

// call runs a method; result, unless nil, takes what it gives.
func (c *chromium) call(session, method string, params map[string]any, result any) {
	c.t.Helper()
	p, err := json.Marshal(params)
	if err != nil {
		c.t.Fatal(err)
	}
	answer := make(chan devtools, 1)
	c.mu.Lock()
	c.id++
	m := devtools{ID: c.id, Session: session, Method: method}
	if params != nil {
		m.Params = p
	}
	c.waiting[m.ID] = answer
	b, err := json.Marshal(m)
	if err == nil {
		_, err = c.out.Write(append(b, 0))
	}
	c.mu.Unlock()
	if err != nil {
		c.t.Fatal(err)
	}
	select {
	case m = <-answer:
	case <-c.ctx.Done():
		c.t.Fatalf("%s: %v", method, c.ctx.Err())
	}
	if m.Error != nil {
		c.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			c.t.Fatalf("%s: %v", method, err)
		}
	}
}

// tab is one page in a window of its own.
type tab struct {
	*chromium
	session string
	loaded  chan struct{} // a document has been loaded

	logged   sync.Mutex
	problems []string // what a person would see in the console
	requests []string // URLs
}

// window says how a tab looks at pages.
type window struct {
	name          string
	width, height int
	dark, script  bool
}

func (c *chromium) open(w window) *tab {
	c.t.Helper()
	var target struct {
		TargetID string `json:"targetId"`
	}
	c.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	c.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p := &tab{chromium: c, session: attached.SessionID, loaded: make(chan struct{}, 1)}
	c.mu.Lock()
	c.tabs[p.session] = p
	c.mu.Unlock()
	scheme := "light"
	if w.dark {
		scheme = "dark"
	}
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.do(domain+".enable", nil)
	}
	p.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": w.width, "height": w.height, "deviceScaleFactor": 1, "mobile": w.width < phoneBelow})
	p.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
	p.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": !w.script})
	return p
}

// phoneBelow is the width, in CSS pixels, below which a window is a phone's.
const phoneBelow = 600

func (p *tab) do(method string, params map[string]any) {
	p.t.Helper()
	p.call(p.session, method, params, nil)
}

func (p *tab) take(m devtools) {
	var e struct {
		Request struct {
			URL string `json:"url"`
		} `json:"request"`
		Entry struct {
			Level, Text, URL string
		} `json:"entry"`
		ExceptionDetails struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	_ = json.Unmarshal(m.Params, &e) // of other events some of these are not what they are here
	p.logged.Lock()
	defer p.logged.Unlock()
	switch m.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case "Network.requestWillBeSent":
		p.requests = append(p.requests, e.Request.URL)
	case "Log.entryAdded":
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			p.problems = append(p.problems, e.Entry.Text+" "+e.Entry.URL)
		}
	case "Runtime.exceptionThrown":
		p.problems = append(p.problems, e.ExceptionDetails.Text)
	}
}

// load has f make the page go somewhere, and waits until that is there.
func (p *tab) load(f func()) {
	p.t.Helper()
	select {
	case <-p.loaded:
	default:
	}
	f()
	select {
	case <-p.loaded:
	case <-p.ctx.Done():
		p.t.Fatal("no page was loaded")
	}
}

func (p *tab) visit(url string) {
	p.t.Helper()
	p.load(func() { p.do("Page.navigate", map[string]any{"url": url}) })
}

// eval gives the value of an expression; JavaScript of the page itself may be off.
func (p *tab) eval(expression string, into any) {
	p.t.Helper()
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		ExceptionDetails *struct {
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	p.call(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, r.ExceptionDetails.Exception.Description)
	}
	if into != nil {
		if err := json.Unmarshal(r.Result.Value, into); err != nil {
			p.t.Fatalf("%s gives %s: %v", expression, r.Result.Value, err)
		}
	}
}

func (p *tab) text(expression string) (s string) {
	p.t.Helper()
	p.eval(expression, &s)
	return s
}

// press sends a key, such as "Tab", "Enter", or what typing a character does.
func (p *tab) press(key string) {
	p.t.Helper()
	event := map[string]any{"type": "keyDown", "key": key}
	switch key {
	case "Enter":
		event["windowsVirtualKeyCode"], event["text"] = 13, "\r"
	case "Tab":
		event["windowsVirtualKeyCode"] = 9
	default:
		event["text"] = key
	}
	p.do("Input.dispatchKeyEvent", event)
	delete(event, "text")
	event["type"] = "keyUp"
	p.do("Input.dispatchKeyEvent", event)
}

func (p *tab) enter(text string) {
	p.t.Helper()
	for _, r := range text {
		p.press(string(r))
	}
}

// screenshot writes the whole page into a file.
func (p *tab) screenshot(file string) {
	p.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	p.call(p.session, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(file, png, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// checkConsole says what the page did that a person would find in the console, and what it asked of others than origin.
func (p *tab) checkConsole(origin string) {
	p.t.Helper()
	p.logged.Lock()
	defer p.logged.Unlock()
	for _, problem := range p.problems {
		p.t.Errorf("console: %s", problem)
	}
	for _, url := range p.requests {
		if !strings.HasPrefix(url, origin+"/") && !strings.HasPrefix(url, "data:") {
			p.t.Errorf("it asks for %s", url)
		}
	}
	p.problems, p.requests = nil, nil
}
