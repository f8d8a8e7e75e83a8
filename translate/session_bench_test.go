package translate

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/store/badger"
	"isthmus/usp"
	"isthmus/usp/agent"
	"isthmus/usp/usppb"
)

// BenchmarkInformSession measures what a session of nothing but an Inform of 25 parameters costs the proxy, store on disk and metrics on,
// against a bare net/http handler that reads the same requests and answers them with fixed bytes; with Digest both begin with a 401.
// Each server is a process of its own, so that cpu-ns/session is its CPU alone (getrusage), whatever the load costs. The two take turns,
// and x-bare is the ratio of all that they took: what else runs on the machine slows both. "value-change" raises a Notify that is kept until
// the Controller, which is not there, has answered it. "floor" is no Proxy: the bare handler, with deadlines, which decodes an Inform and
// looks its CPE up. Less no ACS can do.
func BenchmarkInformSession(b *testing.B) {
	for _, c := range []struct {
		name, mode, bare, event string
		changed                 int
	}{
		{"floor", "floor", "bare", cwmp.EventPeriodic, 0},
		{"unchanged", "proxy", "bare", cwmp.EventPeriodic, 0},
		{"3-differ", "proxy", "bare", cwmp.EventPeriodic, 3},
		{"value-change", "notify", "bare", cwmp.EventValueChange, 3},
		{"digest", "digest", "bare-digest", cwmp.EventPeriodic, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			const (
				devices = 500
				turn    = 2 * devices // no value of a device is that of its last session
				fewest  = 10 * turn   // so that collections of garbage count
			)
			bare, proxy := startServer(b, c.bare), startServer(b, c.mode)
			run := func(s *benchServer) int64 {
				before := s.cpu(b)
				load := cpe.SessionLoad{ACS: s.url[strings.LastIndexByte(s.url, ' ')+1:], Sessions: turn, Concurrency: 4, Devices: devices, Events: []string{c.event}, Changed: c.changed}
				if c.mode == "digest" {
					load.Username, load.Password = benchUser, benchPassword
				}
				if st, err := load.Run(b.Context()); err != nil || st.Failures > 0 {
					b.Fatalf("%d sessions failed: %v", st.Failures, err)
				}
				return s.cpu(b) - before
			}
			warm := func() {
				for _, s := range []*benchServer{bare, proxy} {
					run(s)
				}
			}
			warm() // every device is known and its data model read
			if c.mode == "notify" {
				subscribeAll(b, proxy, devices)
				warm() // the attributes are set
			}
			var bares, proxies int64
			sessions := 0
			b.ResetTimer()
			for ; sessions < max(b.N, fewest); sessions += turn {
				bares += run(bare)
				proxies += run(proxy)
			}
			b.StopTimer()
			b.ReportMetric(float64(proxies)/float64(sessions), "cpu-ns/session")
			b.ReportMetric(float64(bares)/float64(sessions), "bare-cpu-ns/session")
			b.ReportMetric(float64(proxies)/float64(bares), "x-bare")
		})
	}
}

// subscribeAll has the Controller subscribe to a parameter of each device that SessionLoad changes.
func subscribeAll(b *testing.B, s *benchServer, devices int) {
	b.Helper()
	agents, _, _ := strings.Cut(s.url, " ")
	for n := 1; n <= devices; n++ {
		id := usp.EndpointID(fmt.Sprintf("ops::00D09E-Gateway-%06d", n))
		record, err := usp.EncodeRecord(testController, id, usp.RecordVersion, usp.NewRequest("subscribe",
			&usppb.Request{ReqType: &usppb.Request_Add{Add: &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{{
				ObjPath: "Device.LocalAgent.Subscription.", ParamSettings: []*usppb.Add_CreateParamSetting{
					{Param: "ID", Value: "counter"}, {Param: "NotifType", Value: "ValueChange"}, {Param: "Enable", Value: "true"},
					{Param: "NotifRetry", Value: "true"}, {Param: "ReferenceList", Value: "Device.DeviceInfo.MemoryStatus.Free"},
				},
			}}}}}))
		if err != nil {
			b.Fatal(err)
		}
		c, _, err := (&ws.Dialer{Subprotocols: []string{"v1.usp"}}).Dial(strings.Replace(agents, string(benchAgent), string(id), 1), nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.WriteMessage(ws.BinaryMessage, record); err != nil {
			b.Fatal(err)
		}
		for answered := false; !answered; { // other Records may come before
			_, got, err := c.ReadMessage()
			if err != nil {
				b.Fatal(err)
			}
			if answered = bytes.Contains(got, []byte("subscribe")); answered && !bytes.Contains(got, []byte("Device.LocalAgent.Subscription.1.")) {
				b.Fatalf("subscribe: %q", got)
			}
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchServer is this test binary run as a server; see TestMain.
type benchServer struct {
	url string
	in  io.WriteCloser
	out *bufio.Scanner
	// stop ends it as a crash would.
	stop func()
}

const serverMode = "ISTHMUS_TEST_SERVER"

func startServer(b *testing.B, mode string) *benchServer {
	b.Helper()
	return startServerIn(b, mode, b.TempDir())
}

// startServerIn has the store in dir.
func startServerIn(b *testing.B, mode, dir string) *benchServer {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), serverMode+"="+mode, "ISTHMUS_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	s := &benchServer{in: in, out: bufio.NewScanner(out)}
	s.stop = sync.OnceFunc(func() {
		in.Close()
		_ = cmd.Wait()
	})
	b.Cleanup(s.stop)
	if !s.out.Scan() {
		b.Fatal("the server did not start")
	}
	s.url = s.out.Text()
	return s
}

// cpu asks the server how much CPU it has used, in ns.
func (s *benchServer) cpu(b *testing.B) int64 {
	b.Helper()
	return s.ask(b, "cpu")
}

// ask has the server answer a question of tell's.
func (s *benchServer) ask(b *testing.B, what string) (n int64) {
	b.Helper()
	if _, err := io.WriteString(s.in, what+"\n"); err != nil || !s.out.Scan() {
		b.Fatalf("server: %v", err)
	}
	if _, err := fmt.Sscan(s.out.Text(), &n); err != nil {
		b.Fatal(err)
	}
	return n
}

// serveForBenchmark is the server process: it prints its URL, answers each line as tell does and ends with its standard input.
func serveForBenchmark(mode, dir string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := "http://" + l.Addr().String() + "/"
	var hold holder
	switch mode {
	case "echo":
		addr = serveEcho(l)
	case "floor":
		srv := &http.Server{Handler: floorHandler(), ReadHeaderTimeout: time.Minute, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
		go func() { _ = srv.Serve(l) }()
	case "bare", "bare-digest":
		srv := &http.Server{Handler: bareHandler(mode == "bare-digest", &hold), ReadHeaderTimeout: time.Minute}
		go func() { _ = srv.Serve(l) }()
	default:
		st, err := badger.Open(dir, &badger.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		reg := prometheus.NewRegistry()
		log := slog.New(slog.DiscardHandler)
		rules := []AgeRule{{Path: liveSSID}}
		if mode == "refresh" {
			rules = []AgeRule{{Path: "Device.*"}} // values are always read, but no names
		}
		kept := store.Store(st)
		if mode == "counted" {
			kept = &counted{Store: st}
		}
		controllers := []agent.ControllerConfig{{EndpointID: testController, OnlyDialsIn: true}}
		if mode == "alone" {
			controllers = nil // nobody is owed an OnBoardRequest
		}
		p, err := New(context.Background(), Options{Store: kept, MaxAge: time.Hour, Rules: rules, Linger: 0, Logger: log, Registerer: reg,
			Agents: agent.Options{Logger: log, Registerer: reg, Controllers: controllers}})
		if err != nil {
			return err
		}
		p.Start()
		o := &cwmp.ServerOptions{Logger: log, Registerer: reg}
		if mode == "digest" {
			o.Auth = &cwmp.Auth{Scheme: cwmp.Digest, Username: benchUser, Password: benchPassword, Identity: func(id cwmp.DeviceID) string {
				e, _, _ := usp.AgentEndpointID(id.OUI, id.ProductClass, id.SerialNumber)
				return string(e)
			}}
		}
		hold.Proxy = p
		srv := cwmp.NewServer(&hold, o)
		go func() { _ = srv.Serve(l) }()
		acs := addr
		switch mode {
		case "get", "live":
			if addr, err = serveGet(context.Background(), p, addr); err != nil {
				return err
			}
			addr += " " + acs
		case "refresh", "notify":
			if addr, err = serveAgents(p); err != nil {
				return err
			}
			addr += " " + acs
		}
	}
	fmt.Println(addr)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		n, err := tell(in.Text(), &hold)
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
	return nil
}

// floorHandler answers as bareHandler does to whom it has met in an Inform.
func floorHandler() http.Handler {
	var known sync.Map
	bare := bareHandler(false, new(holder))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			panic(err)
		}
		if len(body) > 0 {
			env, err := cwmp.Decode(body, r.Header.Get("Content-Type"))
			if err != nil {
				panic(err)
			}
			known.LoadOrStore(env.Body.(*cwmp.Inform).DeviceId, true)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		bare.ServeHTTP(w, r)
	})
}

const benchUser, benchPassword = "fleet", "password"

func bareHandler(challenge bool, hold *holder) http.Handler {
	const answer = `<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" xmlns:cwmp="urn:dslforum-org:cwmp-1-2">` +
		`<SOAP-ENV:Body><cwmp:InformResponse><MaxEnvelopes>1</MaxEnvelopes></cwmp:InformResponse></SOAP-ENV:Body></SOAP-ENV:Envelope>`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if challenge && r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Digest realm="bare", nonce="0123456789abcdef01234567", qop="auth", algorithm=MD5`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if n == 0 {
			hold.wait(r.Context())
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("Set-Cookie", "session="+strings.Repeat("a", 24)+"; Path=/")
		_, _ = io.WriteString(w, answer)
	})
}
