//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"google.golang.org/protobuf/proto"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// canaryTime bounds one wait of a canary's test.
const canaryTime = 30 * time.Second

// canary stands for a Controller that nobody here wrote, and ends when what ends that one is sent to it.
type canary struct {
	id    usp.EndpointID
	agent usp.EndpointID

	mu    sync.Mutex
	dead  string         // what ended it
	seen  map[string]int // how often what came
	grown chan struct{}  // closed and made anew with every change
	call  chan *usppb.Msg
	send  func(to usp.EndpointID, m *usppb.Msg) error // over the latest connection
	ids   int
}

func newCanary(id usp.EndpointID) *canary {
	return &canary{id: id, agent: usp.EndpointID(endpointID(demoID)), seen: map[string]int{}, grown: make(chan struct{})}
}

// on has a handler work in what may end the Controller.
func (c *canary) on(handle func()) {
	defer func() {
		if p := recover(); p != nil {
			c.mu.Lock()
			c.dead = fmt.Sprint(p)
			c.mu.Unlock()
			c.saw("the end")
		}
	}()
	handle()
}

func (c *canary) saw(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what]++
	close(c.grown)
	c.grown = make(chan struct{})
}

// wait returns when something was seen n times. It says no where the Controller has ended before.
func (c *canary) wait(t *testing.T, what string, n int) bool {
	t.Helper()
	late := time.After(canaryTime)
	for {
		c.mu.Lock()
		dead, got, grown := c.dead, c.seen[what], c.grown
		c.mu.Unlock()
		if dead != "" {
			return false
		}
		if got >= n {
			return true
		}
		select {
		case <-grown:
		case <-late:
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("%s was seen %d times, not %d: %v", what, got, n, c.seen)
		}
	}
}

// ask sends a request and takes the first message that comes for the answer.
func (c *canary) ask(t *testing.T, req *usppb.Request) *usppb.Msg {
	t.Helper()
	answer := make(chan *usppb.Msg, 1)
	c.mu.Lock()
	c.call, c.ids = answer, c.ids+1
	id, send := fmt.Sprintf("call-%d", c.ids), c.send
	c.mu.Unlock()
	if err := send(c.agent, usp.NewRequest(id, req)); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-answer:
		if m.GetHeader().GetMsgId() != id {
			t.Fatalf("%v came in place of the answer to %v", m, req)
		}
		return m
	case <-time.After(canaryTime):
		t.Fatalf("no answer to %v", req)
		return nil
	}
}

// answered gives a message to who waits for one.
func (c *canary) answered(m *usppb.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call != nil {
		c.call <- m
		c.call = nil
	}
}

// alive fails the test if the Controller has ended.
func (c *canary) alive(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead != "" {
		t.Fatalf("the Controller has ended: %s", c.dead)
	}
}

// serveWebSocket takes Agents in. up is called for each connection, take for each Record.
func (c *canary) serveWebSocket(t *testing.T, up func(), take func(*usppb.Record)) (url string) {
	t.Helper()
	upgrader := websocket.Upgrader{Subprotocols: []string{uspProtocol}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.Close() }()
		c.mu.Lock()
		var writing sync.Mutex
		c.send = func(to usp.EndpointID, m *usppb.Msg) error {
			b, err := usp.EncodeRecord(c.id, to, "1.0", m)
			if err != nil {
				return err
			}
			writing.Lock()
			defer writing.Unlock()
			return ws.WriteMessage(websocket.BinaryMessage, b)
		}
		c.mu.Unlock()
		up()
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				return
			}
			c.on(func() {
				record := &usppb.Record{}
				if err := proto.Unmarshal(b, record); err != nil {
					panic(err)
				}
				take(record)
			})
		}
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// before runs a proxy and a CPE with the canary for Controller.
func (c *canary) before(t *testing.T, entry config.Controller, change func(*config.Config)) *cpe.CPE {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	entry.EndpointID = string(c.id)
	if entry.Role == "" {
		entry.Role = "full_access"
	}
	cfg := demoConfig(filepath.Join(t.TempDir(), "data"), entry)
	if change != nil {
		change(cfg)
	}
	i, err := start(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return on(t, cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: demoID, Logger: log})
}

func getOf(paths ...string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: paths, MaxDepth: 1}}}
}

func addOf(table string, params ...string) *usppb.Request {
	o := &usppb.Add_CreateObject{ObjPath: table}
	for i := 0; i < len(params); i += 2 {
		o.ParamSettings = append(o.ParamSettings, &usppb.Add_CreateParamSetting{Param: params[i], Value: params[i+1], Required: true})
	}
	return &usppb.Request{ReqType: &usppb.Request_Add{Add: &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{o}}}}
}

// bootsWanted has the Controller told of boots, again until it answers.
func (c *canary) bootsWanted(t *testing.T) {
	t.Helper()
	m := c.ask(t, addOf("Device.LocalAgent.Subscription.", "ID", "boots", "NotifType", "Event", "ReferenceList", "Device.Boot!", "Enable", "true",
		"Persistent", "true", "NotifRetry", "true"))
	if res := m.GetBody().GetResponse().GetAddResp().GetCreatedObjResults(); len(res) != 1 || res[0].GetOperStatus().GetOperSuccess() == nil {
		t.Fatalf("Add: %v", m)
	}
}
