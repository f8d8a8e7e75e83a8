//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/mtp"
	"isthmus/usp/usppb"
)

const (
	crashTime   = 2 * time.Minute
	crashSeed   = 2
	crashRetry  = 20 * time.Millisecond // of the CPE, before it informs again
	roundTime   = 20 * time.Second
	maxDelay    = 3 * time.Millisecond // from the message that decides to the kill
	maxMessages = 200                  // until a kill at any moment

	watchedName = "Device.WiFi.SSID.2.SSID"     // changed at the CPE
	setName     = "Device.WiFi.SSID.1.SSID"     // set by the Controller
	channelName = "Device.WiFi.Radio.1.Channel" // changed at the CPE, of which nobody is told
	otherName   = "Device.Time.NTPServer1"      // what the Subscriptions that come and go are about
)

// fate is what the Controller was told of something it made.
type fate int

const (
	unsure fate = iota // asked for, not answered: there or not, but not half
	there              // its creation was acknowledged
	gone               // its deletion was acknowledged
)

// thing is a row or a Subscription, by the name that the Controller gave it.
type thing struct {
	fate fate
	path string
}

// note is what the Controller knows about one ValueChange or Boot!.
type note struct {
	owed  bool // the Controller has a right to it
	acked bool
	life  int // of the proxy that sent it last; 0: none has
}

// killing says when the proxy is killed.
type killing struct {
	at    func(message string) bool
	delay time.Duration // from that message
}

// world is a CPE, a Controller and the proxies between them, with a book of what was acknowledged.
type world struct {
	*site
	ctx    context.Context
	agent  *controller.Agent
	peer   *peer
	device *cpe.CPE
	off    func() // switches the CPE off
	proxy  atomic.Pointer[proxy]
	trap   atomic.Pointer[killing]
	rand   *rand.Rand

	mu        sync.Mutex
	changed   chan struct{} // closed and made anew by every change below
	life      int
	withhold  bool
	notes     map[string]note
	onBoard   int    // OnBoardRequests that came
	onBoarded bool   // one was answered
	value     string // of watchedName
	told      string // the value of it in the Inform under way
	answered  string // the value of it in the last Inform that was answered
	things    map[string]thing
	set       []string // values that setName may have: the last acknowledged and, after it, one that was not
	serial    int
}

func newWorld(ctx context.Context, t *testing.T) *world {
	w := &world{ctx: ctx, changed: make(chan struct{}), notes: map[string]note{}, things: map[string]thing{},
		rand: rand.New(rand.NewPCG(crashSeed, crashSeed))} //nolint:gosec // a seed makes it repeatable
	log := slog.New(slog.DiscardHandler)
	c, url := crashListen(ctx, t, controller.Options{Logger: log, Answer: w.answer,
		Observe: func(d controller.Direction, _ *usppb.Record, m *usppb.Msg) {
			w.saw("usp " + string(d) + " " + m.GetHeader().GetMsgType().String())
		}})
	w.site = newSite(t, "0s", "5s", url)
	id := cwmp.DeviceID{Manufacturer: "Example", OUI: "00D09E", ProductClass: "Gateway", SerialNumber: "CRASH1"}
	eid, _, err := usp.AgentEndpointID(id.OUI, id.ProductClass, id.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	w.agent = c.Agent(eid)
	w.peer = &peer{ctx: ctx, agent: w.agent}
	w.device = cpe.New(cpe.Config{ACS: w.url(), DeviceID: id, Logger: log, RetryWait: crashRetry, RebootTime: crashRetry, Observe: w.cwmp})
	return w
}

// change changes the book.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits until the book says so.
func (w *world) until(ctx context.Context, ok func() bool) error {
	for {
		w.mu.Lock()
		done, changed := ok(), w.changed
		w.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// saw is told of every message on both sides, and springs the trap.
func (w *world) saw(message string) {
	trap := w.trap.Load()
	if trap == nil || !trap.at(message) || !w.trap.CompareAndSwap(trap, nil) {
		return
	}
	if trap.delay == 0 {
		w.kill()
	} else {
		time.AfterFunc(trap.delay, w.kill)
	}
}

func (w *world) kill() { _ = w.proxy.Load().cmd.Process.Kill() }

// cwmp is the CPE's Observe.
func (w *world) cwmp(x cpe.Exchange) {
	from := "cpe "
	if x.FromACS {
		from = "acs "
	}
	w.saw(from + x.RPC + " " + x.Summary)
	switch {
	case x.RPC == "Inform":
		w.change(func() {
			w.told = ""
			if strings.Contains(x.Summary, cwmp.EventValueChange) {
				w.told = w.value
			}
		})
	case x.RPC == "InformResponse":
		w.change(func() {
			if w.told != "" {
				w.answered = w.told
				w.owe(w.told)
			}
		})
	}
}

// owe notes that the Controller has a right to a notification. w.mu is held.
func (w *world) owe(name string) {
	n := w.notes[name]
	n.owed = true
	w.notes[name] = n
}

// answer is the Controller's Answer.
func (w *world) answer(_ usp.EndpointID, m *usppb.Notify) bool {
	answer := true
	w.change(func() {
		name := m.GetValueChange().GetParamValue()
		switch {
		case m.GetOnBoardReq() != nil:
			w.onBoard++
			answer = !w.withhold
			w.onBoarded = w.onBoarded || answer
			return
		case m.GetEvent() != nil:
			name = bootNote(m.GetEvent().GetParams()["CommandKey"])
		}
		n := w.notes[name]
		answer = !w.withhold || w.rand.IntN(2) == 0
		n.acked, n.life = n.acked || answer, w.life
		w.notes[name] = n
	})
	return answer
}

func bootNote(commandKey string) string { return "Boot! " + commandKey }

// start runs the next proxy and waits for its Agent, if there was one: it needs no CPE.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.change(func() { w.life++ })
	connects := w.agent.Connects()
	w.proxy.Store(w.serve(w.ctx, t))
	if connects == 0 {
		return // it may know no CPE yet
	}
	if err := w.agent.WaitConnects(w.ctx, connects+1); err != nil {
		t.Fatal(err)
	}
}

// powerOn switches the CPE on and waits for a session.
func (w *world) powerOn(t *testing.T) {
	t.Helper()
	sessions := w.device.Sessions()
	power, off := context.WithCancel(context.WithoutCancel(w.ctx))
	down := make(chan error, 1)
	go func() { down <- w.device.Run(power) }()
	w.off = sync.OnceFunc(func() {
		off()
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.off)
	if err := w.device.WaitSessions(w.ctx, sessions+1); err != nil {
		t.Fatal(err)
	}
}

// attempt sends a request about a thing, whose fate is unsure until it is answered; false if the proxy is gone.
func (w *world) attempt(t *testing.T, name string, req *usppb.Request, after fate) bool {
	w.change(func() { w.things[name] = thing{unsure, w.things[name].path} })
	resp, err := w.agent.Do(w.ctx, req)
	if errors.Is(err, mtp.ErrDown) {
		return false
	}
	if err == nil {
		err = results(resp).err()
	}
	if err != nil {
		// During a reboot the CPE may not be there.
		t.Logf("%s: %v", name, err)
		return w.ctx.Err() == nil
	}
	w.change(func() {
		path := w.things[name].path
		if created := resp.GetAddResp().GetCreatedObjResults(); len(created) == 1 {
			path = created[0].GetOperStatus().GetOperSuccess().GetInstantiatedPath()
		}
		w.things[name] = thing{after, path}
	})
	return true
}

// next is a number that was not used before.
func (w *world) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	return w.serial
}

// comesAndGoes adds things, and deletes every other one, until the proxy is gone.
func (w *world) comesAndGoes(t *testing.T, create func(n int) (name string, req *usppb.Request)) {
	for {
		name, req := create(w.next())
		if !w.attempt(t, name, req, there) {
			return
		}
		w.mu.Lock()
		made := w.things[name]
		w.mu.Unlock()
		if made.fate != there || made.path == "" || w.next()%2 == 0 {
			continue
		}
		if !w.attempt(t, name, remove(made.path), gone) {
			return
		}
	}
}

func rowName(port string) string        { return "row " + port }
func subscriptionName(id string) string { return "subscription " + id }

const firstPort = 20_000 // of the rows that the test makes

func createRow(n int) (string, *usppb.Request) {
	port := fmt.Sprint(firstPort + n)
	return rowName(port), add(portMapping, "ExternalPort", port, "InternalClient", "192.168.1."+fmt.Sprint(n%200), "Description", "row "+port)
}

func createSubscription(n int) (string, *usppb.Request) {
	id := fmt.Sprint("s", n)
	return subscriptionName(id), add(subscription, "ID", id, "Enable", "true", "NotifType", "ValueChange", "ReferenceList", otherName, "Persistent", "true")
}

// sets sets one parameter again and again.
func (w *world) sets(t *testing.T) {
	for {
		v := fmt.Sprint("set ", w.next())
		w.change(func() { w.set = append(w.set, v) })
		resp, err := w.agent.Do(w.ctx, set("Device.WiFi.SSID.1.", "SSID", v))
		if err == nil {
			err = results(resp).err()
		}
		if errors.Is(err, mtp.ErrDown) {
			return
		}
		if err == nil {
			w.change(func() { w.set = []string{v} })
			continue
		}
		t.Logf("set: %v", err)
		if w.ctx.Err() != nil {
			return
		}
	}
}

// changes has somebody at the CPE change a value again and again, each when the ACS was told of the last.
func (w *world) changes(ctx context.Context, t *testing.T) {
	for {
		v := fmt.Sprint("value ", w.next())
		w.change(func() { w.value = v })
		if err := w.device.SetValue(watchedName, v); err != nil {
			t.Error(err)
			return
		}
		if w.until(ctx, func() bool { return w.answered == v }) != nil {
			return
		}
	}
}

// reboots has the CPE reboot once.
func (w *world) reboots(t *testing.T, key string) {
	resp, err := w.agent.Operate(w.ctx, &usppb.Operate{Command: "Device.Reboot()", CommandKey: key, SendResp: true})
	if err == nil {
		err = results(&usppb.Response{RespType: &usppb.Response_OperateResp{OperateResp: resp}}).err()
	}
	if err == nil {
		w.change(func() { w.owe(bootNote(key)) })
	} else if !errors.Is(err, mtp.ErrDown) {
		t.Logf("reboot: %v", err)
	}
}

// round is one life of a proxy and how it ends.
type round struct {
	name     string
	when     string // the message at which the proxy is killed begins so; "": after a random number of messages
	with     string // … and has this in it
	sudden   bool   // at that message, not a little later
	reboot   bool   // the Controller has the CPE reboot meanwhile
	powerOff bool   // the CPE is off when the next proxy starts
}

var crashRounds = []round{
	{name: "AddObject was carried out", when: "cpe AddObjectResponse", sudden: true},
	{name: "AddObject was carried out and the CPE lost power", when: "cpe AddObjectResponse", sudden: true, powerOff: true},
	{name: "AddObject was answered", when: "cpe AddObjectResponse"},
	{name: "a row was filled", when: "cpe SetParameterValuesResponse"},
	{name: "DeleteObject was carried out", when: "cpe DeleteObjectResponse", sudden: true},
	{name: "the CPE tells of a change", when: "cpe Inform", with: cwmp.EventValueChange},
	{name: "the CPE was answered", when: "acs InformResponse", sudden: true},
	{name: "an Agent notifies", when: "usp in NOTIFY", sudden: true, powerOff: true},
	{name: "a notification was answered", when: "usp out NOTIFY_RESP"},
	{name: "Reboot was carried out", when: "cpe RebootResponse", sudden: true, reboot: true},
	{name: "Reboot was answered", when: "usp in OPERATE_RESP", sudden: true, reboot: true},
	{name: "Reboot was answered and the CPE lost power", when: "usp in OPERATE_RESP", sudden: true, reboot: true, powerOff: true},
	{name: "the CPE has booted", when: "cpe Inform", with: cwmp.EventMReboot, reboot: true},
	{name: "any moment"},
	{name: "any moment, the CPE loses power", powerOff: true},
	{name: "any moment of a reboot", reboot: true},
	{name: "any moment of a reboot, the CPE loses power", reboot: true, powerOff: true},
	{name: "any other moment"},
	{name: "any other moment of a reboot", reboot: true},
}

// TestKill9 kills isthmus serve again and again while everything is under way, and holds the next one to all that was acknowledged.
func TestKill9(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), crashTime)
	t.Cleanup(cancel)
	w := newWorld(ctx, t)
	w.start(t)
	w.powerOn(t)
	w.onboards(t)
	for i, r := range crashRounds {
		t.Logf("round %d: %s", i+1, r.name)
		w.live(t, i+1, r)
		w.holdTo(t, i+1, r)
		if t.Failed() {
			t.Fatalf("killed when %s", r.name)
		}
	}
	w.proxy.Load().signal(t, syscall.SIGTERM)
	if code := w.proxy.Load().exit(ctx, t); code != exitFine {
		t.Errorf("exit code %d after all that, want 0", code)
	}
}

// TestKill9WhileBootstrapping kills isthmus serve while it meets a CPE for the first time; the next one takes it from there.
func TestKill9WhileBootstrapping(t *testing.T) {
	for _, r := range []round{
		{name: "the first Inform comes", when: "cpe Inform"},
		{name: "the CPE was answered", when: "acs InformResponse", sudden: true},
		{name: "the names were read", when: "cpe GetParameterNamesResponse", sudden: true},
		{name: "the values were read", when: "cpe GetParameterValuesResponse", sudden: true},
		{name: "the OnBoardRequest has come", when: "usp in NOTIFY", sudden: true},
		{name: "the OnBoardRequest was answered", when: "usp out NOTIFY_RESP"},
	} {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), crashTime)
			t.Cleanup(cancel)
			w := newWorld(ctx, t)
			w.start(t)
			w.change(func() { w.withhold = r.when != "usp out NOTIFY_RESP" })
			w.arm(r)
			w.powerOn(t)
			<-w.proxy.Load().gone
			w.change(func() { w.withhold = false })
			w.start(t)
			if err := w.until(ctx, func() bool { return w.onBoarded }); err != nil {
				t.Fatal("no OnBoardRequest that could be answered")
			}
			w.idle(t)
			w.peer.same(t, get(channelName), channelName+" = "+w.device.Value(channelName))
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.onBoard > 2 {
				t.Errorf("%d OnBoardRequests", w.onBoard)
			}
		})
	}
}

// onboards waits for the Agent and makes the Subscriptions that stay.
func (w *world) onboards(t *testing.T) {
	t.Helper()
	err := w.until(w.ctx, func() bool { return w.onBoard == 1 })
	if err == nil {
		_, err = w.agent.GetSupportedDM(w.ctx, &usppb.GetSupportedDM{ObjPaths: []string{"Device."}, FirstLevelOnly: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	for id, about := range map[string][2]string{"value": {"ValueChange", watchedName}, "boot": {"Event", "Device.Boot!"}} {
		w.attempt(t, subscriptionName(id), add(subscription, "ID", id, "Enable", "true", "NotifType", about[0], "ReferenceList", about[1],
			"Persistent", "true", "NotifRetry", "true"), there)
	}
	w.set = []string{w.device.Value(setName)}
	if _, err := w.device.WaitCall(w.ctx, "SetParameterAttributes", 1); err != nil {
		t.Fatal(err)
	}
	w.idle(t)
}

// idle waits until the CPE has told all that it has to tell.
func (w *world) idle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, roundTime)
	defer cancel()
	if err := w.device.WaitIdle(ctx); err != nil {
		t.Fatalf("waiting for the CPE to come to rest: %v", err)
	}
}

// arm has the proxy killed as the round says.
func (w *world) arm(r round) {
	var left atomic.Int64
	left.Store(int64(10 + w.rand.IntN(maxMessages)))
	delay := time.Duration(w.rand.Int64N(int64(maxDelay)))
	trap := func(message string) bool {
		if r.when == "" {
			return left.Add(-1) == 0
		}
		return strings.HasPrefix(message, r.when) && strings.Contains(message, r.with)
	}
	if r.sudden {
		delay = 0
	}
	w.trap.Store(&killing{trap, delay})
}

// live has everything go on until the proxy is killed.
func (w *world) live(t *testing.T, n int, r round) {
	t.Helper()
	w.peer.same(t, get(channelName), channelName+" = "+w.device.Value(channelName)) // so it is in the cache
	w.change(func() { w.withhold = true })
	w.arm(r)
	ctx, cancel := context.WithTimeout(w.ctx, roundTime)
	defer cancel()
	var traffic sync.WaitGroup
	traffic.Go(func() { w.comesAndGoes(t, createRow) })
	traffic.Go(func() { w.comesAndGoes(t, createSubscription) })
	traffic.Go(func() { w.sets(t) })
	traffic.Go(func() { w.changes(ctx, t) })
	if r.reboot {
		traffic.Go(func() { w.reboots(t, fmt.Sprint("key ", n)) })
	}
	select {
	case <-w.proxy.Load().gone:
	case <-ctx.Done():
		w.kill()
		t.Errorf("what the kill waits for does not happen: %s", r.when)
	}
	cancel()
	traffic.Wait()
}
