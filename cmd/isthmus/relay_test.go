//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

// What a Controller's URL leads to is fetched from public addresses, and from such networks of the operator's as are named; never from isthmus itself.
func TestTransferGuard(t *testing.T) {
	own := []netip.AddrPort{netip.MustParseAddrPort("[::]:7547"), netip.MustParseAddrPort("10.0.0.1:8080")}
	for allow, cases := range map[string]map[string]bool{
		"": {"192.0.2.1:443": true, "8.8.8.8:80": true, "[2606:4700::1]:443": true, "10.1.2.3:80": false, "192.168.1.1:80": false, "172.16.0.1:80": false, "100.64.0.1:80": false,
			"127.0.0.1:80": false, "[::1]:80": false, "169.254.169.254:80": false, "[fe80::1]:80": false, "[fd00::1]:80": false, "224.0.0.1:80": false, "0.0.0.0:80": false, "0.1.2.3:80": false,
			"255.255.255.255:80": false, "198.18.0.1:80": false, "[64:ff9b::a00:1]:80": false, "[2002:a00:1::]:80": false, "127.0.0.1:7547": false},
		"10.0.0.0/8":  {"10.1.2.3:80": true, "8.8.8.8:80": true, "192.168.1.1:80": false, "10.0.0.1:8080": false, "127.0.0.1:80": false},
		"127.0.0.0/8": {"127.0.0.1:80": true, "127.0.0.1:7547": false},
	} {
		var prefixes []netip.Prefix
		if allow != "" {
			prefixes = append(prefixes, netip.MustParsePrefix(allow))
		}
		guard := transferGuard(own, prefixes)
		for to, ok := range cases {
			err := guard(netip.MustParseAddrPort(to))
			if (err == nil) != ok {
				t.Errorf("%s with %q allowed: %v", to, allow, err)
			}
			if err != nil && !strings.Contains(err.Error(), "transfers.allow") {
				t.Errorf("%s: %v", to, err)
			}
		}
	}
}

// The relay as it is wired: a Controller gives a CheckSum, the CPE gets its firmware from transfers.listen, and boots it.
func TestServeRelays(t *testing.T) {
	const image = "2.0.0\nimage"
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, image) }))
	t.Cleanup(origin.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	quiet := slog.New(slog.DiscardHandler)
	c := controller.New(ctx, controller.Options{EndpointID: demoController, Logger: quiet})
	at, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(ctx) })
	cfg := demoConfig(filepath.Join(t.TempDir(), "data"), overWebSocket(at))
	cfg.Transfers = config.Transfers{Listen: "127.0.0.1:0", MaxSize: 1 << 20, Allow: []config.Prefix{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}}
	i, err := start(ctx, cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.stop(ctx); err != nil {
			t.Error(err)
		}
	})
	d := on(t, cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: numbered("RELAY"), Logger: quiet, RebootTime: time.Millisecond})
	p := &peer{ctx: ctx, agent: c.Agent(usp.EndpointID(endpointID(numbered("RELAY"))))}
	if err := errors.Join(p.agent.WaitConnects(ctx, 1), d.WaitSessions(ctx, 1), d.WaitIdle(ctx)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(image))
	p.do(t, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: "Device.DeviceInfo.FirmwareImage.2.Download()", SendResp: true,
		InputArgs: map[string]string{"URL": origin.URL, "AutoActivate": "true", "CheckSumAlgorithm": "SHA-256", "CheckSum": hex.EncodeToString(sum[:])}}}})
	if err := d.WaitSessions(ctx, 3); err != nil { // the one that asks, the boot
		t.Fatal(err)
	}
	for d.Value("Device.DeviceInfo.SoftwareVersion") != "2.0.0" && ctx.Err() == nil {
		if err := d.WaitIdle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	call, err := d.WaitCall(ctx, "Download", 1)
	if err != nil {
		t.Fatal(err)
	}
	if url := call.Request.(*cwmp.Download).URL; !strings.HasPrefix(url, "http://"+i.listeners.transfers.Addr().String()+"/") {
		t.Errorf("the CPE was told of %s", url)
	}
}
