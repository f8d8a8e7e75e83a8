package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"isthmus/cmd/isthmus/admin"
	"isthmus/cwmp"
	"isthmus/translate"
	"isthmus/usp"
)

// captures has the ACS capture the CPE of a Proxy, for the admin address.
type captures struct {
	proxy *translate.Proxy
	acs   *cwmp.Server
}

// identity is what the CPE of an Agent says in its Informs.
func (c captures) identity(id string) (cwmp.DeviceID, bool) {
	d, ok := c.proxy.Device(usp.EndpointID(id))
	return cwmp.DeviceID{OUI: d.OUI, ProductClass: d.ProductClass, SerialNumber: d.SerialNumber}, ok
}

func (c captures) StartCapture(id string, d time.Duration) (until time.Time, err error) {
	cpe, ok := c.identity(id)
	if !ok {
		return until, admin.ErrNoDevice
	}
	if until, err = c.acs.Capture(cpe, d); err != nil {
		var all []string
		for _, other := range c.acs.Capturing() {
			all = append(all, endpointID(other))
		}
		slices.Sort(all)
		return until, fmt.Errorf("%d devices are captured already: stop one of these captures, or wait for its end: %s", cwmp.MaxCaptures, strings.Join(all, " "))
	}
	return until, nil
}

func (c captures) Captured(id string, after int) (*admin.Capture, bool) {
	cpe, ok := c.identity(id)
	if !ok {
		return nil, false
	}
	found, ok := c.acs.Captured(cpe, after)
	out := &admin.Capture{Until: found.Until.UTC(), Dropped: found.Dropped, Messages: make([]admin.Message, len(found.Messages))}
	for i := range found.Messages {
		m := &found.Messages[i]
		out.Messages[i] = admin.Message{Seq: m.Seq, Time: m.Time.UTC(), FromCPE: m.FromCPE, Remote: m.Remote, Method: m.Method, Path: m.Path,
			Status: m.Status, Headers: m.Header, Body: m.Body, Size: m.Size, Note: m.Note}
	}
	return out, ok
}

func (c captures) StopCapture(id string) bool {
	cpe, ok := c.identity(id)
	return ok && c.acs.EndCapture(cpe)
}

// soap captures a device, shows what comes, and ends the capture with itself.
func (c *traceCmd) soap(ctx context.Context, a *app) (err error) {
	path := "devices/" + admin.Segment(c.ID) + "/capture"
	started, err := c.call(ctx, http.MethodPost, path+"?for="+url.QueryEscape(c.For.String()), nil)
	if err != nil {
		return err
	}
	var all admin.Capture
	if err := json.Unmarshal(started, &all); err != nil {
		return fmt.Errorf("%s does not answer like isthmus: check --admin: %w", c.Admin, err)
	}
	last := context.WithoutCancel(ctx) // what came before an interruption is shown, and the capture ended
	defer func() {
		var gone *errAdmin
		if _, stopped := c.call(last, http.MethodDelete, path, nil); !errors.As(stopped, &gone) || gone.status != http.StatusNotFound {
			err = errors.Join(err, stopped)
		}
	}()
	fmt.Fprintf(a.stderr, "capturing %s until %s, or until interrupted\n", c.ID, clock(all.Until))
	after, dropped := 0, 0
	for over := false; ; {
		var got admin.Capture
		if err := c.get(last, path+"?after="+strconv.Itoa(after), &got); err != nil {
			return err
		}
		for i := range got.Messages {
			if err := c.printSOAP(a, &got.Messages[i]); err != nil {
				return err
			}
			after = got.Messages[i].Seq
		}
		if got.Dropped > dropped {
			dropped = got.Dropped
			fmt.Fprintf(a.stderr, "%d messages were dropped so far, to make room\n", dropped)
		}
		if over {
			return nil
		}
		select {
		case <-ctx.Done():
			over = true
		case <-time.After(min(followInterval, time.Until(got.Until))):
			over = !time.Now().Before(got.Until)
		}
	}
}

func (c *traceCmd) printSOAP(a *app, m *admin.Message) error {
	if c.JSON {
		e := json.NewEncoder(a.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(m)
	}
	direction, what := "to CPE  ", strconv.Itoa(m.Status)+" "+http.StatusText(m.Status)
	if m.FromCPE {
		direction, what = "from CPE", m.Method+" "+m.Path
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s  %s\n", clock(m.Time), direction, m.Remote, what)
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		fmt.Fprintf(&b, "    %s: %s\n", name, m.Headers[name])
	}
	if m.Note != "" {
		fmt.Fprintf(&b, "    (%d bytes: %s)\n", m.Size, m.Note)
	}
	if m.Body != "" {
		b.WriteString(m.Body)
		b.WriteByte('\n')
	}
	_, err := fmt.Fprintln(a.stdout, printable(b.String()))
	return err
}

// printable is text without what would steer a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
