//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// holdTo starts the next proxy and checks all that was acknowledged by those before.
func (w *world) holdTo(t *testing.T, n int, r round) {
	t.Helper()
	if r.powerOff {
		w.off()
	}
	if err := w.device.SetValue(channelName, fmt.Sprint(1+n)); err != nil {
		t.Fatal(err)
	}
	w.change(func() { w.withhold = false })
	w.start(t)
	w.holdToSubscriptions(t)
	if r.powerOff {
		lines, err := w.peer.try(get(channelName))
		if e := (*usp.Error)(nil); !errors.As(err, &e) || e.Code < usp.Unreachable {
			t.Errorf("a Get to a CPE that is off: %q, %v; want an error of 7800 or above", lines, err)
		}
		w.powerOn(t)
	}
	w.idle(t)
	for _, name := range []string{channelName, setName} {
		w.peer.same(t, get(name), name+" = "+w.device.Value(name))
	}
	w.change(func() {
		v := w.device.Value(setName)
		if !slices.Contains(w.set, v) {
			t.Errorf("%s is %q, want one of %q: the last acknowledged or a later one", setName, v, w.set)
		}
		w.set = []string{v}
	})
	w.holdToRows(t)
	w.idle(t)
	w.holdToNotifications(t, r)
}

// table reads a table of the Agent: the parameters of each row.
func (w *world) table(t *testing.T, table string) map[string]map[string]string {
	t.Helper()
	resp, err := w.agent.Get(w.ctx, 0, table)
	if err == nil {
		err = results(&usppb.Response{RespType: &usppb.Response_GetResp{GetResp: resp}}).err()
	}
	if err != nil {
		t.Fatalf("get %s: %v", table, err)
	}
	rows := map[string]map[string]string{}
	for _, q := range resp.GetReqPathResults() {
		for _, o := range q.GetResolvedPathResults() {
			rows[o.GetResolvedPath()] = o.GetResultParams()
		}
	}
	return rows
}

// holdToThings compares things with what there is now, by name, and notes which of the unsure ones there are.
func (w *world) holdToThings(t *testing.T, kind string, now map[string]string) {
	t.Helper()
	w.change(func() {
		for name, was := range w.things {
			if !strings.HasPrefix(name, kind) {
				continue
			}
			path, exists := now[name]
			switch {
			case was.fate == there && path != was.path:
				t.Errorf("%s was acknowledged as %s; after the crash it is at %q", name, was.path, path)
			case was.fate == gone && exists:
				t.Errorf("%s is at %s; its deletion was acknowledged", name, path)
			}
			if exists {
				w.things[name] = thing{there, path}
			} else {
				w.things[name] = thing{gone, was.path}
			}
		}
		for name, path := range now {
			if _, known := w.things[name]; !known {
				t.Errorf("nobody asked for %s, %s", name, path)
			}
		}
	})
}

func (w *world) holdToSubscriptions(t *testing.T) {
	t.Helper()
	now := map[string]string{}
	for path, row := range w.table(t, subscription) {
		now[subscriptionName(row["ID"])] = path
		if row["Enable"] != "true" || row["ReferenceList"] == "" || row["Persistent"] != "true" {
			t.Errorf("half a Subscription: %s %v", path, row)
		}
	}
	w.holdToThings(t, subscriptionName(""), now)
}

func (w *world) holdToRows(t *testing.T) {
	t.Helper()
	shown := w.table(t, portMapping)
	now := map[string]string{}
	const ownRow = portMapping + "1." // it came with the CPE
	for i := range firstPort {
		path := fmt.Sprint(portMapping, i+1, ".")
		if !w.device.Exists(path) {
			if i >= len(w.things) {
				break
			}
			continue
		}
		row, exists := shown[path]
		if !exists {
			t.Errorf("the CPE has %s, the Agent has not", path)
		}
		delete(shown, path)
		if path == ownRow {
			continue
		}
		port := w.device.Value(path + "ExternalPort")
		if w.device.Value(path+"Description") != rowName(port) || w.device.Value(path+"InternalClient") == "" {
			t.Errorf("%s at the CPE is half made: ExternalPort %s, Description %q", path, port, w.device.Value(path+"Description"))
			continue
		}
		if row["ExternalPort"] != port {
			t.Errorf("%sExternalPort: the CPE has %s, the Agent %q", path, port, row["ExternalPort"])
		}
		now[rowName(port)] = path
	}
	for path := range shown {
		t.Errorf("the Agent has %s, the CPE has not", path)
	}
	w.holdToThings(t, rowName(""), now)
}

func (w *world) holdToNotifications(t *testing.T, r round) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, roundTime)
	defer cancel()
	var owed []string
	if err := w.until(ctx, func() bool {
		owed = owed[:0]
		for name, n := range w.notes {
			if n.owed && !n.acked {
				owed = append(owed, name)
			}
		}
		return len(owed) == 0
	}); err != nil {
		t.Errorf("notifications that were lost: %q", owed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answered != w.value && !r.reboot { // a reboot has the CPE forget it
		t.Errorf("the CPE has told of %q and not of %q", w.answered, w.value)
	}
	if w.onBoard != 1 {
		t.Errorf("%d OnBoardRequests, want one", w.onBoard)
	}
}
