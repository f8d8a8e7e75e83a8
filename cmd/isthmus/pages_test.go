package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp/cpe"
	"isthmus/store"
	"isthmus/store/badger"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	pagesFleet = 100_000
	pagesTime  = 8 * time.Minute
	pagesToken = "pages-test-token"

	// A page of the fleet takes milliseconds, a search that finds nothing a second on a machine with other work.
	pagesSlow  = 2 * time.Second
	pagesTries = 15

	maxPages = 30 // that are looked at in each window
)

// TestPages opens every page of the admin address in a real Chromium, over a fleet of 100,000 devices.
func TestPages(t *testing.T) {
	if os.Getenv("ISTHMUS_PAGES") != "1" {
		t.Skip("NOT TESTED in a browser: run make test-pages")
	}
	ctx, cancel := context.WithTimeout(context.Background(), pagesTime)
	t.Cleanup(cancel)
	site := startSite(ctx, t)
	t.Run("Speed", site.speed)
	audit, err := os.ReadFile("testdata/audit.js")
	if err != nil {
		t.Fatal(err)
	}
	c := startChromium(ctx, t)
	c.login(t, site)
	for _, w := range []window{
		{name: "desktop-light", width: 1280, height: 800, script: true}, {name: "desktop-dark", width: 1280, height: 800, dark: true},
		{name: "phone-light", width: 390, height: 844}, {name: "phone-dark", width: 390, height: 844, dark: true, script: true},
	} {
		t.Run(w.name, func(t *testing.T) {
			p := c.open(w)
			p.t = t
			p.crawl(site, string(audit), w.name)
		})
	}
	t.Run("Search", func(t *testing.T) { c.open(window{width: 1280, height: 800}).search(t, site) })
}

// webSite is the admin address of a proxy with a large fleet, one CPE of which is there.
type webSite struct {
	origin string
	live   string // Endpoint ID
}

func startSite(ctx context.Context, t *testing.T) *webSite {
	t.Helper()
	cfg := demoConfig(filepath.Join(t.TempDir(), "data"), config.Controller{})
	cfg.USP.Controllers = nil
	cfg.Admin.TokenFile, cfg.Admin.Token = "token", pagesToken
	log := slog.New(slog.DiscardHandler)
	i, err := start(ctx, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	cfg.CWMP.Listen = config.Address(i.listeners.cwmp.Addr().String())
	d := on(t, cpe.Config{ACS: "http://" + string(cfg.CWMP.Listen) + "/", DeviceID: demoID, Logger: log, RetryWait: 5 * time.Millisecond})
	if err := d.WaitSessions(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := i.stop(ctx); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := seed(ctx, cfg.DataDir, endpointID(demoID), pagesFleet-1); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d devices seeded in %v", pagesFleet, time.Since(begin))
	begin = time.Now()
	if i, err = start(ctx, cfg, log); err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(begin))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := i.stop(ctx); err != nil {
			t.Logf("a busy machine may not stop so many in time: %v", err)
		}
	})
	if n := i.proxy.Len(); n != pagesFleet {
		t.Fatalf("%d devices", n)
	}
	s := &webSite{origin: "http://" + i.listeners.admin.Addr().String(), live: endpointID(demoID)}
	// What a page about the CPE has to show.
	req := usp.NewRequest("pages", &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{"Device.WiFi.", "Device.DeviceInfo.UpTime"}}}})
	if _, err := (fleet{i.proxy}).Do(ctx, s.live, req); err != nil {
		t.Fatal(err)
	}
	return s
}

// seedWriters write at a time, since each waits for the disk.
const seedWriters = 512

// seed makes devices of many models in a store that nobody has open: what it holds of one, under other identities.
func seed(ctx context.Context, dir, of string, n int) (err error) {
	s, err := badger.Open(dir, &badger.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	head, err := s.Get(ctx, store.Key{Device: of, Kind: store.Head})
	if err != nil {
		return err
	}
	inform, err := s.Get(ctx, store.Key{Device: of, Kind: store.Inform})
	if err != nil {
		return err
	}
	makers := [][3]string{{"Acme", "A0B1C2", "Home"}, {"Example Networks", "001A2B", "XG-7"}, {"Größe & Söhne <GmbH>", "F4F5F6", "R 9/b"}, {"Initech", "0C0FFE", ""}}
	var g errgroup.Group
	g.SetLimit(seedWriters)
	for i := range n {
		g.Go(func() error {
			var h map[string]any
			if err := json.Unmarshal(head, &h); err != nil {
				return err
			}
			maker := makers[i%len(makers)]
			id := demoID
			id.OUI, id.ProductClass, id.SerialNumber = maker[1], maker[2], fmt.Sprintf("S%07d", i)
			h["manufacturer"], h["oui"], h["product_class"], h["serial_number"] = maker[0], id.OUI, id.ProductClass, id.SerialNumber
			h["software_version"] = fmt.Sprintf("%d.%d", 1+i%3, i%17)
			if i%1000 == 0 {
				h["quarantine"] = map[string]any{"since": time.Now().UTC()}
			}
			device := endpointID(id)
			head, err := json.Marshal(h)
			if err != nil {
				return err
			}
			ops := []store.Op{{Key: store.Key{Device: device, Kind: store.Head}, Value: head}}
			if i%10 != 0 { // the others have not been heard of
				ops = append(ops, store.Op{Key: store.Key{Device: device, Kind: store.Inform}, Value: inform})
			}
			lease, err := s.Acquire(ctx, store.Shard(device))
			if err != nil {
				return err
			}
			return s.Write(ctx, lease, ops...)
		})
	}
	return g.Wait()
}

// speed has the proxy answer what is asked most, and what is hardest.
func (s *webSite) speed(t *testing.T) {
	for _, path := range []string{"/", "/?q=S0099998", "/?q=initech", "/?q=nothing+like+it", "/?after=ops::F4F5F6-", "/api/v1/devices?q=no+such+device"} {
		var took []time.Duration
		for range pagesTries {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.origin+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+pagesToken)
			begin := time.Now()
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			took = append(took, time.Since(begin))
			if err != nil || resp.StatusCode != http.StatusOK || n == 0 {
				t.Fatalf("%s: %s, %d bytes (%v)", path, resp.Status, n, err)
			}
		}
		slices.Sort(took)
		median := took[len(took)/2]
		t.Logf("%-40s median %v, at most %v", path, median.Round(100*time.Microsecond), took[len(took)-1].Round(100*time.Microsecond))
		if median > pagesSlow {
			t.Errorf("%s takes %v", path, median)
		}
	}
}

// login is by form: a browser cannot send the token otherwise.
func (c *chromium) login(t *testing.T, s *webSite) {
	p := c.open(window{width: 1280, height: 800})
	p.visit(s.origin + "/?q=S0000042")
	if got := p.text(`document.activeElement.name`); got != "token" {
		t.Errorf("the field for the token does not have the focus, but %q", got)
	}
	shoot(p, "login")
	p.enter("not-the-token")
	p.load(func() { p.press("Enter") })
	if p.text(`document.querySelector("[role=alert]")?.textContent ?? ""`) == "" {
		t.Error("a wrong token is not refused in words")
	}
	p.enter(pagesToken)
	p.load(func() { p.press("Enter") })
	if got := p.text("location.pathname + location.search"); got != "/?q=S0000042" {
		t.Errorf("after the login it shows %s", got)
	}
	if got := p.text("document.cookie"); got != "" {
		t.Errorf("scripts see the cookie: %s", got)
	}
}

// crawl looks at one page of each kind that links lead to.
func (p *tab) crawl(s *webSite, audit, name string) {
	queue, kinds := []string{"/", "/?q=" + url.QueryEscape(s.live), "/login"}, map[string]bool{}
	for n := 0; len(queue) > 0 && n < maxPages; n++ {
		at := queue[0]
		queue = queue[1:]
		p.visit(s.origin + at)
		var wrong []string
		if p.eval(audit, &wrong); len(wrong) > 0 {
			p.t.Errorf("%s:\n  %s", at, strings.Join(wrong, "\n  "))
		}
		p.checkConsole(s.origin)
		kind, _ := kindOf(at)
		shoot(p, name+"-"+strings.Trim(strings.NewReplacer("/", "-", "?", "-", "=", "").Replace(kind), "-"))
		var links []string
		p.eval(`[...document.querySelectorAll("a[href]")].map(a => a.getAttribute("href"))`, &links)
		for _, l := range links {
			kind, page := kindOf(l)
			// Of the devices the one that is there has most to show.
			if !page || kinds[kind] || strings.Contains(kind, "{id}") && !strings.Contains(l, s.live) {
				continue
			}
			kinds[kind] = true
			queue = append(queue, l)
		}
	}
}

// kindOf is a link without what many of its kind differ in; false where it leads to no page of the site.
func kindOf(link string) (kind string, page bool) {
	u, err := url.Parse(link)
	if err != nil || u.IsAbs() || !strings.HasPrefix(u.Path, "/") {
		return "", false
	}
	segments := strings.Split(u.Path, "/")
	for i, s := range segments {
		if strings.Contains(s, "::") {
			segments[i] = "{id}"
		}
	}
	keys := make([]string, 0, len(u.Query()))
	for k := range u.Query() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	kind = strings.Join(segments, "/")
	if len(keys) > 0 {
		kind += "?" + strings.Join(keys, ",")
	}
	return kind, !strings.HasPrefix(u.Path, "/api/") && u.Path != "/metrics"
}

// shoot keeps a screenshot where somebody wants to see it.
func shoot(p *tab, name string) {
	if dir := os.Getenv("ISTHMUS_SCREENSHOTS"); dir != "" {
		p.screenshot(filepath.Join(dir, name+".png"))
	}
}

// search goes through the fleet without JavaScript.
func (p *tab) search(t *testing.T, s *webSite) {
	p.t = t
	p.visit(s.origin + "/")
	// What a CPE says of itself is text.
	p.visit(s.origin + "/?q=" + url.QueryEscape("<GmbH>"))
	if got := p.text(`document.body.textContent`); !strings.Contains(got, "Größe & Söhne <GmbH>") {
		t.Error("a maker's name is not shown as it is")
	}
	p.visit(s.origin + "/?q=" + url.QueryEscape(`"><script>alert(1)</script>`))
	if got := p.text(`document.querySelector("input[name=q]").value`); got != `"><script>alert(1)</script>` {
		t.Errorf("the field holds %q", got)
	}
}
