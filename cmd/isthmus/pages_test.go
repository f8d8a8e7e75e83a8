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

	"isthmus/cmd/isthmus/admin"
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
	pagesSlow  = 2000 * time.Millisecond
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
	t.Run("Actions", func(t *testing.T) { c.open(window{width: 1280, height: 800}).actions(t, site) })
	t.Run("Capture", func(t *testing.T) { c.open(window{width: 1280, height: 800}).capture(t, site) })
	t.Run("Keyboard", func(t *testing.T) { c.open(window{width: 1280, height: 800, script: true}).keyboard(t, site) })
	t.Run("Logout", func(t *testing.T) { c.open(window{width: 1280, height: 800}).logout(t, site) })
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
	// What pages about the CPE have to show.
	if _, err := (captures{i.proxy, i.acs}).StartCapture(s.live, pagesTime); err != nil {
		t.Fatal(err)
	}
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
		p.eval(`document.querySelectorAll(".capture details").forEach(d => d.open = true)`, nil)
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
	rows := func() (ids []string) {
		p.eval(`[...document.querySelectorAll("tbody tr th, tbody tr td:first-child")].map(e => e.textContent.trim())`, &ids)
		return ids
	}
	first := rows()
	if len(first) < 20 || !slices.IsSorted(first) {
		t.Fatalf("the first page has %d rows", len(first))
	}
	p.load(func() { p.eval(`document.querySelector("a[rel=next]").click()`, nil) })
	if second := rows(); len(second) < 20 || second[0] <= first[len(first)-1] {
		t.Errorf("the second page begins with %q", second)
	}
	p.eval(`document.querySelector("input[name=q]").focus()`, nil)
	p.enter("s0012345")
	p.load(func() { p.press("Enter") })
	if got := rows(); len(got) != 1 || !strings.Contains(got[0], "S0012345") {
		t.Errorf("found %q", got)
	}
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

// actions are done to the CPE that is there, by forms that need no JavaScript, and another is forgotten.
func (p *tab) actions(t *testing.T, s *webSite) {
	p.t = t
	act := func(action string) string {
		p.load(func() { p.eval(`document.querySelector("form[action$='/`+action+`'] button").click()`, nil) })
		p.checkConsole(s.origin)
		return p.text(`document.querySelector("[role=status]")?.textContent ?? document.querySelector("[role=alert]")?.textContent ?? ""`)
	}
	p.visit(s.origin + "/devices/" + admin.Segment(s.live))
	for _, tc := range [][2]string{{"refresh", "What is read from now on"}, {"connection-request", "has opened a session"},
		{"quarantine", "is in quarantine"}, {"release", "is over"}} {
		if got := act(tc[0]); !strings.Contains(got, tc[1]) {
			t.Errorf("%s: the page says %q", tc[0], got)
		}
	}
	p.visit(s.origin + "/?q=S0012346")
	p.load(func() { p.eval(`document.querySelector("tbody a").click()`, nil) })
	device := p.text("location.href")
	act("forget")
	if got := p.text("location.pathname"); got != "/" {
		t.Errorf("after forgetting a device it shows %s", got)
	}
	p.visit(device)
	if got := p.text(`document.querySelector("h1").textContent`); got != "Not Found" {
		t.Errorf("a forgotten device is still there: %q", got)
	}
}

// capture has the SOAP of the CPE that is there captured anew, without JavaScript.
func (p *tab) capture(t *testing.T, s *webSite) {
	p.t = t
	press := func(action string) {
		p.load(func() { p.eval(`document.querySelector("form[action$='/`+action+`'] button").click()`, nil) })
		p.checkConsole(s.origin)
	}
	p.visit(s.origin + "/devices/" + admin.Segment(s.live))
	p.load(func() { p.eval(`document.querySelector("main a[href$='/capture']").click()`, nil) })
	press("capture/stop")
	if got := p.text(`document.querySelector("main").textContent`); !strings.Contains(got, "Nothing is captured") {
		t.Errorf("after the stop it shows %s", got)
	}
	press("capture/start")
	press("connection-request")
	if got := p.text(`document.querySelector(".capture")?.textContent ?? ""`); !strings.Contains(got, "InformResponse") || !strings.Contains(got, "6 CONNECTION REQUEST") {
		t.Errorf("the capture shows %s", got)
	}
	p.eval(`document.querySelector(".capture summary").click()`, nil)
	if !strings.Contains(p.text(`document.querySelector(".capture li").innerText`), "6 CONNECTION REQUEST") {
		t.Error("a message that is opened is not seen")
	}
	shoot(p, "capture-opened")
}

// keyboard uses a page without a mouse.
func (p *tab) keyboard(t *testing.T, s *webSite) {
	p.t = t
	p.visit(s.origin + "/")
	p.press("Tab")
	if got := p.text(`document.activeElement.getAttribute("href") ?? ""`); got != "#main" {
		t.Errorf("the first thing that Tab leads to is %q, not the link that skips the navigation", got)
	}
	for range 12 {
		if outline := p.text(`getComputedStyle(document.activeElement).outlineStyle + " " + getComputedStyle(document.activeElement).outlineWidth`); strings.HasPrefix(outline, "none") ||
			strings.HasSuffix(outline, " 0px") {
			t.Errorf("the focus cannot be seen on %s", p.text("document.activeElement.outerHTML.slice(0, 100)"))
		}
		p.press("Tab")
	}
	p.eval("document.activeElement.blur()", nil)
	p.press("/")
	if got := p.text("document.activeElement.name ?? ''"); got != "q" {
		t.Errorf("/ leads to %q, not to the search", got)
	}
	if got := p.text(`document.querySelector("input[name=q]").value`); got != "" {
		t.Errorf("/ is typed into the search: %q", got)
	}
}

// logout is the last: the session is all tabs'.
func (p *tab) logout(t *testing.T, s *webSite) {
	p.t = t
	p.visit(s.origin + "/")
	p.load(func() { p.eval(`document.querySelector("form[action='/logout'] button").click()`, nil) })
	p.visit(s.origin + "/")
	if got := p.text(`document.querySelector("input[name=token]")?.type ?? ""`); got != "password" {
		t.Error("after the logout the fleet can still be seen")
	}
}
