package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

const quota = 1000 // Subscriptions of one Controller

// subscribe asks for n Subscriptions in one message and gives how many there are then, and how many were refused for the quota.
func (e *eut) subscribeMany(n int, ref string) (created, refused int) {
	e.Helper()
	var rows []obj
	for range n {
		rows = append(rows, obj{"Device.LocalAgent.Subscription.", []param{req("ID", unique("many")), req("Enable", "true"),
			req("NotifType", "ValueChange"), req("NotifRetry", "true"), req("ReferenceList", ref)}})
	}
	res, err := e.add(true, rows...)
	e.must(err)
	for _, r := range res {
		switch f := r.GetOperStatus().GetOperFailure(); {
		case f == nil:
			created++
		case usp.ErrorCode(f.GetErrCode()) == usp.ResourcesExceeded:
			refused++
		default:
			e.Fatalf("refused with %d %s", f.GetErrCode(), f.GetErrMsg())
		}
	}
	return created, refused
}

// A Controller asks for 10,000 Subscriptions: it gets its quota, and all of them match what changes at the CPE. Nothing else suffers: the
// CPE's Inform is answered, other requests are, and no more than the newest notifications are kept.
func TestManySubscriptions(t *testing.T) {
	e := fresh(t, options{})
	total, refused := 0, 0
	for range 10 * quota / 100 { // few at a time, for slow machines
		c, r := e.subscribeMany(100, "Device.WiFi.")
		total, refused = total+c, refused+r
	}
	if total != quota || refused != 9*quota {
		t.Errorf("%d Subscriptions, %d refused with 7005; want %d and %d", total, refused, quota, 9*quota)
	}
	if _, err := e.w.cpe.WaitCall(e.deadline(), "SetParameterAttributes", 1); err != nil {
		t.Fatal(err)
	}
	e.must(e.w.cpe.WaitIdle(e.deadline()))

	at, sessions := time.Now(), e.w.cpe.Sessions()
	for _, row := range []string{"Radio.1.", "Radio.2.", "SSID.1.", "SSID.2.", "AccessPoint.1.", "AccessPoint.2."} {
		for _, name := range []string{"Alias", "Name", "LowerLayers", "BSSID", "SSID", "SSIDReference", "Security.KeyPassphrase"} {
			if path := "Device.WiFi." + row + name; e.w.cpe.Exists(path) || e.w.cpe.Value(path) != "" {
				e.must(e.w.cpe.SetValue(path, "changed"))
			}
		}
	}
	e.must(e.w.cpe.WaitSessions(e.deadline(), sessions+1))
	e.must(e.w.cpe.WaitIdle(e.deadline()))
	t.Logf("told of within %s, %d sessions", time.Since(at), e.w.cpe.Sessions()-sessions)
	if e.w.cpe.Failures() != 0 {
		t.Errorf("%d sessions failed", e.w.cpe.Failures())
	}
	_, err := e.a.WaitNotify(e.deadline(), func(n *usppb.Notify) bool { return n.GetValueChange().GetParamValue() == "changed" })
	e.must(err)
	_, err = e.a.Get(e.deadline(), 0, "Device.LocalAgent.EndpointID")
	e.must(err)
}

// Bytes that are no Record end their connection with 1003 (R-WS.16), those that are a bad one are answered or dropped; the Agent is there
// for the next connection either way.
func TestRandomBytes(t *testing.T) {
	e, p, w := hand(t)
	good := w.record(controllerID, e.w.id, "1", "Device.DeviceInfo.")
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a seed makes it repeatable
	inputs := [][]byte{{}, {0xff}, good[:len(good)-1], good[:len(good)/2], append([]byte{0x80}, good...), []byte(strings.Repeat("\x0a", 1<<20))}
	for range 40 {
		b := make([]byte, r.IntN(4096))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		inputs = append(inputs, b)
		b = append([]byte(nil), good...)
		for range 3 {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		inputs = append(inputs, b)
	}
	for i, b := range inputs {
		w.send(b)
		w.send(w.record(controllerID, e.w.id, fmt.Sprint("after-", i), "Device.LocalAgent.EndpointID"))
		if !w.survives(fmt.Sprint("after-", i)) {
			<-p.wire
			w = p.accept(e)
		}
	}
	w.alive()
}

// A Controller asks for the whole tree again and again and reads nothing, over sockets with small buffers. What waits for it is bounded: the
// Agent stops reading from it. The other Controller, over its own connection, is answered meanwhile.
func TestControllerThatNeverReads(t *testing.T) {
	e := fresh(t, options{})
	const deaf = "proto::deaf"
	e.added("Device.LocalAgent.Controller.", req("EndpointID", deaf), req("Enable", "true"), req("AssignedRole", "Device.LocalAgent.ControllerTrust.Role.1"))
	d := websocket.Dialer{Subprotocols: []string{"v1.usp"}, EnableCompression: true, NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c, errors.Join(c.(*net.TCPConn).SetReadBuffer(4096), c.(*net.TCPConn).SetWriteBuffer(4096))
	}}
	ws, resp, err := d.DialContext(e.deadline(), "ws://"+e.w.addrs.dialIn+"/agent/"+url.PathEscape(string(e.w.id))+"?eid="+deaf, nil)
	e.must(err)
	if ext := resp.Header.Get("Sec-WebSocket-Extensions"); strings.Contains(ext, "deflate") {
		t.Errorf("a peer may send %s: a small message that is a huge one", ext)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var sent atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = ws.SetWriteDeadline(time.Now().Add(patience))
		for i := range 100_000 {
			b, err := usp.EncodeRecord(deaf, e.w.id, "", usp.NewRequest(itoa(i), &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{"Device."}}}}))
			if err != nil || ws.WriteMessage(websocket.BinaryMessage, b) != nil {
				return
			}
			sent.Add(1)
		}
	})
	for range 500 {
		_, err := e.a.Get(e.deadline(), 0, "Device.DeviceInfo.")
		e.must(err)
	}
	e.change("Device.WiFi.SSID.1.SSID", "meanwhile")
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d requests were taken, %d KiB of heap more", sent.Load(), (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>10)
	if after.HeapAlloc > before.HeapAlloc+64<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before.HeapAlloc, after.HeapAlloc)
	}
	_ = ws.Close()
	wg.Wait()
}

// survives reads until the answer to a request, true, or the end of the connection, which must be with 1003.
func (w *wire) survives(id string) bool {
	w.Helper()
	for {
		_, b, err := w.ws.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseUnsupportedData) {
			return false
		}
		w.must(err)
		r, err := usp.DecodeRecord(b)
		w.must(err)
		if m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload()); err == nil && m.GetHeader().GetMsgId() == id {
			return true
		}
	}
}
