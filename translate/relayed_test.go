package translate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/translate/quirks"
	"isthmus/translate/relay"
	"isthmus/usp"
)

// origin is an https server of files, which asks for u and p: /firmware is an image, /hold waits for release, and what is put is taken.
type origin struct {
	*httptest.Server
	taken   chan string
	release chan struct{}
	asked   chan struct{}
	relay   string       // the address of the relay
	up      sync.RWMutex // held by who uses it, and by who has it end and begin anew
}

// dial is for a CPE that does not come to the relay while there is none: such a fetch fails, and the CPE says so.
func (o *origin) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr != o.relay {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	o.up.RLock()
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		o.up.RUnlock()
		return nil, err
	}
	return &visit{Conn: conn, over: sync.OnceFunc(o.up.RUnlock)}, nil
}

type visit struct {
	net.Conn
	over func()
}

func (v *visit) Close() error {
	defer v.over()
	return v.Conn.Close()
}

const relayedImage = "2.0.0\nimage"

func newOrigin(t *testing.T) *origin {
	o := &origin{taken: make(chan string, 8), release: make(chan struct{}), asked: make(chan struct{}, 8)}
	o.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		switch {
		case u != "u" || p != "p":
			w.WriteHeader(http.StatusForbidden)
		case r.Method == http.MethodPut:
			b, _ := io.ReadAll(r.Body)
			o.taken <- string(b)
		case r.URL.Path == "/hold":
			o.asked <- struct{}{}
			select {
			case <-o.release:
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, relayedImage)
		default:
			_, _ = io.WriteString(w, relayedImage)
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// relayed is a world with a relay; again ends both and begins anew.
func relayed(t *testing.T, change func(*Options)) (w *world, o *origin, again func()) {
	o = newOrigin(t)
	dir, addr := t.TempDir()+"/transfers", freeAddr(t)
	o.relay = addr
	roots := x509.NewCertPool()
	roots.AddCert(o.Certificate())
	var end func()
	begin := func(opts *Options) {
		r, err := relay.New(t.Context(), relay.Options{Dir: dir, PublicURL: "http://" + addr, MaxSize: 1 << 20, TLS: &tls.Config{RootCAs: roots}, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- r.Serve(l) }()
		opts.Relay = r
		end = func() {
			ctx, cancel := context.WithTimeout(context.Background(), deadline)
			defer cancel()
			if err := errors.Join(r.Shutdown(ctx), <-served); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() {
		end()
		if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
			t.Errorf("left: %v %v", names, err)
		}
	})
	w = newWorld(t, func(opts *Options) {
		if change != nil {
			change(opts)
		}
		begin(opts)
	})
	return w, o, func() {
		o.up.Lock()
		defer o.up.Unlock()
		w.stop()
		end()
		begin(&w.opts)
		w.start()
	}
}

// verified are the arguments of a Download that only the relay can do.
func verified(url string) map[string]string {
	sum := sha256.Sum256([]byte(relayedImage))
	return map[string]string{"URL": url, "AutoActivate": "true", "Username": "u", "Password": "p", "CheckSumAlgorithm": "SHA-256", "CheckSum": hex.EncodeToString(sum[:])}
}

// A firmware is fetched over https, verified, and given to the CPE at a short URL that is over with the command; the Controller hears of its own URL.
func TestRelayedDownload(t *testing.T) {
	w, o, _ := relayed(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	long := o.URL + "/firmware?signature=" + strings.Repeat("s", 300)
	w.begin(id, downloadCommand, "fw", verified(long))
	if done := w.notified(1, completed("fw")).GetOperComplete(); done.GetReqOutputArgs() == nil {
		t.Fatalf("OperationComplete %v", done)
	}
	w.notified(1, bootEvent)
	w.want(id, softwareVersion, "2.0.0")
	args := w.notified(1, transferComplete).GetEvent().GetParams()
	for name, want := range map[string]string{"TransferURL": long, "CheckSumAlgorithm": "SHA-256", "CheckSum": verified("")["CheckSum"], "FaultCode": "0"} {
		if args[name] != want {
			t.Errorf("%s is %q", name, args[name])
		}
	}
	rpc := c.Calls("Download")[0].Request.(*cwmp.Download)
	if len(rpc.URL) > 256 || !strings.HasPrefix(rpc.URL, "http://") || !strings.HasSuffix(rpc.URL, "/firmware") || rpc.Username != "" || rpc.Password != "" || rpc.FileSize != len(relayedImage) {
		t.Errorf("Download %+v", rpc)
	}
	w.idleOperations(id)
	resp, err := http.Get(rpc.URL)
	w.must(err)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the URL is good for %s after the end", resp.Status)
	}
}

// What the relay is for, and what it is not: the CPE is told of anything else as it is.
func TestRelayIsForWhatACPECannot(t *testing.T) {
	file := t.TempDir() + "/quirks.yaml"
	if err := os.WriteFile(file, []byte("profiles:\n- name: no https\n  match: { oui: \"00D09E\" }\n  set: { transfer_scheme: http }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := quirks.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := files(t)
	w, o, _ := relayed(t, func(opts *Options) { opts.Quirks = table })
	c, id := w.boot(nil)
	w.watch(id)
	args := verified(o.URL + "/config")
	delete(args, "AutoActivate")
	delete(args, "CheckSum")
	w.begin(id, restoreCommand, "https", args)
	w.notified(1, completed("https"))
	w.begin(id, restoreCommand, "plain", map[string]string{"URL": plain + "/config", "Username": "", "Password": ""})
	w.notified(1, completed("plain"))
	calls := c.Calls("Download")
	if at := calls[0].Request.(*cwmp.Download).URL; strings.HasPrefix(at, o.URL) {
		t.Errorf("https is not relayed: %s", at)
	}
	if at := calls[1].Request.(*cwmp.Download).URL; at != plain+"/config" {
		t.Errorf("http is relayed: %s", at)
	}
	for name, change := range map[string]map[string]string{"URL": {"URL": "ftp://h/x"}, "CheckSum": {"CheckSum": "00"}, "CheckSumAlgorithm": {"CheckSumAlgorithm": ""}} {
		args := verified(o.URL + "/firmware")
		maps.Copy(args, change)
		if f := w.command(id, downloadCommand, name, args).GetCmdFailure(); f.GetErrCode() != uint32(usp.InvalidArguments) || !strings.Contains(f.GetErrMsg(), name) {
			t.Errorf("%s: %v", name, f)
		}
	}
}

// TP-469 9.6: a file that is not what the CheckSum says is never told to the CPE, and its command fails; so does one that cannot be had.
func TestTP469_9_6_RelayedDownloadFails(t *testing.T) {
	w, o, _ := relayed(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	wrong := verified(o.URL + "/firmware")
	wrong["CheckSum"] = strings.Repeat("00", sha256.Size)
	const image = "Device.DeviceInfo.FirmwareImage.2."
	w.subscribe(id, "status", "ValueChange", image+"Status", nil)
	w.begin(id, image+"Download()", "wrong", wrong)
	w.failure("wrong", usp.CommandFailure, "CheckSum")
	w.notified(1, changeOf(image+"Status"))
	w.want(id, image+"Status", "ValidationFailed")
	w.want(id, "Device.DeviceInfo.FirmwareImage.1.Status", "Active")
	if f := w.notified(1, transferComplete).GetEvent().GetParams(); f["FaultCode"] != "7022" || f["CommandKey"] != "wrong" || !strings.Contains(f["FaultString"], "CheckSum") {
		t.Errorf("TransferComplete! %v", f)
	}
	denied := verified(o.URL + "/firmware?secret")
	denied["Password"] = "x"
	w.begin(id, image+"Download()", "denied", denied)
	w.want(id, image+"Status", "NoImage")
	w.failure("denied", usp.CommandFailure, "403")
	if out := w.notified(1, completed("denied")).GetOperComplete().GetCmdFailure().GetErrMsg(); strings.Contains(out, "secret") {
		t.Errorf("%s tells what the URL holds", out)
	}
	if n := len(c.Calls("Download")); n != 0 {
		t.Errorf("the CPE was told %d times", n)
	}
	w.idleOperations(id)
}

// While a file is fetched its command can be canceled; a restart has it fetched anew, also where it was there already; without a relay after it the
// command fails.
func TestRelayedDownloadOverRestarts(t *testing.T) {
	w, o, again := relayed(t, nil)
	c, id := w.boot(away)
	w.watch(id)
	first := w.begin(id, downloadCommand, "canceled", verified(o.URL+"/hold?1"))
	<-o.asked
	w.operate(id, first+".Cancel()", "")
	w.failure("canceled", usp.CommandCanceled, "")

	request := w.begin(id, downloadCommand, "fw", verified(o.URL+"/hold?2"))
	<-o.asked
	again()
	<-o.asked
	w.want(id, request+".Status", "Requested")
	close(o.release)
	w.must(w.fetchedFor(id))
	c.SetFaults(cpe.Faults{})
	w.contact(c)
	if done := w.notified(1, completed("fw")).GetOperComplete(); done.GetReqOutputArgs() == nil {
		t.Errorf("OperationComplete %v", done)
	}
	w.notified(1, bootEvent)
	w.must(c.WaitIdle(w.in(deadline)))
	w.over(id) // what begins now finds no session

	c.SetFaults(cpe.Faults{ConnReq: cpe.ConnReqDrop})
	w.begin(id, downloadCommand, "orphan", verified(o.URL+"/firmware"))
	w.must(w.fetchedFor(id))
	d := w.device(id)
	d.mu.RLock()
	token := d.operations[0].Memo[memoRelay]
	d.mu.RUnlock()
	w.restart(func(opts *Options) { opts.Relay.Forget(token); opts.Relay = nil })
	w.failure("orphan", usp.CommandFailure, "transfers.listen")
	w.idleOperations(id)
}

// The process may be killed between any two writes from when the Controller was told that a command runs: the CPE is told once of its file, which is there
// when it comes for it, and the Controller hears of the end.
func TestRelayedDownloadSurvivesKillAtAnyWrite(t *testing.T) {
	const writes = 12 // more than there are
	for n := range writes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w, o, again := relayed(t, nil)
			c, id := w.boot(func(cfg *cpe.Config) { away(cfg); cfg.Dial = o.dial })
			w.watch(id)
			var dead *dying
			w.wrap = func(s store.Store) store.Store { dead = newDying(s); return dead }
			again()
			w.begin(id, downloadCommand, "fw", verified(o.URL+"/firmware"))
			w.must(w.fetchedFor(id))
			dead.left.Store(int64(n))
			c.Inform(cwmp.EventPeriodic)
			over := make(chan struct{})
			go func() {
				defer close(over)
				_ = w.peer.wait(w.ctx, func() bool { return w.peer.nth(1, bootEvent) != nil })
			}()
			select {
			case <-dead.killed:
			case <-over: // there are not that many writes
			}
			w.wrap = nil
			again()
			c.SetFaults(cpe.Faults{})
			if done := w.notified(1, completed("fw")).GetOperComplete(); done.GetReqOutputArgs() == nil {
				t.Errorf("OperationComplete %v", done)
			}
			w.notified(1, bootEvent)
			if n := len(c.Calls("Download")); n != 1 {
				t.Errorf("%d Downloads", n)
			}
			w.must(c.WaitIdle(w.in(deadline)))
			w.idleOperations(id)
			<-over
		})
	}
}

// fetchedFor waits until the files of all operations are there.
func (w *world) fetchedFor(id usp.EndpointID) error {
	d := w.device(id)
	for ctx := w.in(deadline); ; {
		d.mu.RLock()
		waits := len(d.operations) == 0
		for _, op := range d.operations {
			waits = waits || op.fetching()
		}
		d.mu.RUnlock()
		if !waits {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// A log goes through the relay where its URL is too long for CWMP. What the CPE reports holds for the whole way, and a CPE that reports a failure of what
// has arrived is not believed.
func TestRelayedUpload(t *testing.T) {
	w, o, _ := relayed(t, nil)
	c, id := w.boot(nil)
	w.watch(id)
	args := map[string]string{"URL": o.URL + "/log?signature=" + strings.Repeat("s", 300), "Username": "u", "Password": "p"}
	w.begin(id, logCommand, "log", args)
	if done := w.notified(1, completed("log")).GetOperComplete(); done.GetReqOutputArgs() == nil {
		t.Errorf("OperationComplete %v", done)
	}
	select {
	case b := <-o.taken:
		if !strings.HasPrefix(b, "booted") {
			t.Errorf("taken %q", b)
		}
	default:
		t.Error("the Controller was told before the file was there")
	}
	args["Password"] = "wrong"
	w.begin(id, logCommand, "denied", args)
	w.failure("denied", usp.CommandFailure, "502")
	if u := c.Calls("Upload")[0].Request.(*cwmp.Upload); len(u.URL) > 256 || u.Username != "" {
		t.Errorf("%+v", u)
	}
	w.idleOperations(id)
}
