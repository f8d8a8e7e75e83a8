//go:build unix

package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
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

// What an operator can look at: the log at its lowest level, the metrics, the JSON API with its trace, the page of the fleet. None of the passwords of
// a run is in it: those of the configuration, those that isthmus made up, those that a Controller sets, and those that a CPE tells unasked.
func TestSecretsAreNotShown(t *testing.T) {
	for _, mode := range []string{"basic", "digest"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			shown := newTranscript()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			t.Cleanup(cancel)
			log := slog.New(slog.NewJSONHandler(shown, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c := controller.New(ctx, controller.Options{EndpointID: demoController, Logger: slog.New(slog.DiscardHandler)})
			at, err := c.Listen(ctx, "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			secrets := map[string]string{}
			secret := func(whose string) string {
				secrets[whose] = "Geheim-" + strings.ReplaceAll(whose, " ", "-") + "-" + mode
				return secrets[whose]
			}
			cfg := demoConfig(filepath.Join(t.TempDir(), "data"), overWebSocket(at))
			cfg.CWMP.Auth = config.Auth{Mode: mode, Username: "fleet", Password: config.Secret(secret("fleet")), Credentials: []config.Credential{
				{EndpointID: endpointID(numbered("OWN")), Username: "own", Password: config.Secret(secret("row")), ConnReqUsername: "own", ConnReqPassword: config.Secret(secret("row's requests"))}}}
			cfg.CWMP.Provision.Credentials, cfg.CWMP.Provision.ConnectionRequest = true, true
			cr := &cfg.CWMP.ConnectionRequest
			cr.Username, cr.Password, cr.UDPListen = "cr", config.Secret(secret("requests")), "127.0.0.1:0"
			cr.XMPP = config.XMPP{Server: "127.0.0.1:1", JID: "isthmus@example.com", Password: config.Secret(secret("XMPP"))}
			cfg.Admin.Token = config.Secret(secret("admin"))
			cfg.Transfers = config.Transfers{Listen: "127.0.0.1:0", MaxSize: 1 << 20}
			i, err := start(ctx, cfg, log)
			if err != nil {
				t.Fatal(err)
			}
			stopped := false
			stop := func() {
				if !stopped {
					stopped = true
					if err := i.stop(ctx); err != nil {
						t.Error(err)
					}
					c.Close(ctx)
				}
			}
			t.Cleanup(stop)
			acs := "http://" + i.listeners.cwmp.Addr().String() + "/"
			quiet := slog.New(slog.DiscardHandler)

			var devices []*cpe.CPE
			for _, own := range []cpe.Config{
				{DeviceID: numbered("OWN"), Username: "own", Password: secrets["row"], ConnReqUsername: "own", ConnReqPassword: secrets["row's requests"]},
				{DeviceID: numbered("ANY"), Username: "fleet", Password: secrets["fleet"], ConnReqUsername: "cr", ConnReqPassword: secrets["requests"]},
			} {
				own.ACS, own.Logger, own.RetryWait = acs, quiet, time.Millisecond
				// It tells its passwords unasked, and quotes what it is to be set to when it refuses it.
				own.Dial = leaking(own.Password, own.ConnReqPassword)
				d := on(t, own)
				devices = append(devices, d)
				p := &peer{ctx: ctx, agent: c.Agent(usp.EndpointID(endpointID(own.DeviceID)))}
				if err := errors.Join(p.agent.WaitConnects(ctx, 1), d.WaitSessions(ctx, 1), d.WaitIdle(ctx)); err != nil {
					t.Fatal(err)
				}
				if _, err := (captures{i.proxy, i.acs}).StartCapture(endpointID(own.DeviceID), time.Minute); err != nil {
					t.Fatal(err)
				}
				p.do(t, get(live))
				const security = "Device.WiFi.AccessPoint.1.Security."
				p.do(t, set(security, "KeyPassphrase", secret("passphrase of "+own.DeviceID.SerialNumber)))
				refused := secret("refused of " + own.DeviceID.SerialNumber)
				d.SetFaults(answering("SetParameterValues", &cwmp.Fault{Code: cwmp.FaultInvalidArguments, String: "cannot take " + refused, Params: []cwmp.ParameterFault{
					{Name: security + "KeyPassphrase", Code: cwmp.FaultInvalidParameterValue, String: "what is " + refused + "?"}}}))
				if _, err := p.try(set(security, "KeyPassphrase", refused)); err == nil {
					t.Error("not refused")
				}
				d.SetFaults(cpe.Faults{})
				p.do(t, get(security))
				broker := secret("broker's of " + own.DeviceID.SerialNumber)
				p.do(t, add("Device.MQTT.Client.", "BrokerAddress", "broker.invalid", "Password", broker))
				if _, err := p.try(set("Device.MQTT.Client.1.", "Password", broker+"\x00")); err == nil {
					t.Error("a password that no packet can have is not refused")
				}
				if row := fmt.Sprint(p.do(t, get("Device.MQTT.Client.1."))); !strings.Contains(row, "broker.invalid") || strings.Contains(row, broker) {
					t.Errorf("the row is %s", row)
				}
				// A file that isthmus is to fetch for it, from where it must not.
				p.do(t, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: "Device.DeviceInfo.FirmwareImage.1.Download()", SendResp: true,
					InputArgs: map[string]string{"URL": "http://127.0.0.1:1/image?signature=" + secret("signature"), "Username": "u", "Password": secret("file server"),
						"AutoActivate": "true", "CheckSumAlgorithm": "SHA-256", "CheckSum": strings.Repeat("00", 32)}}}})
				for len(p.do(t, get("Device.LocalAgent.Request.*.Status"))) > 0 {
					continue // until it is over
				}
			}
			session(t, cpe.Config{ACS: acs, DeviceID: numbered("NEW"), Username: "fleet", Password: secret("wrong")})
			for _, authorization := range []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("fleet:"+secret("wrong again"))), "Nonsense " + secret("of no scheme")} {
				for _, body := range []string{"", "<" + secret("no XML"), encoded(t, &cwmp.TransferComplete{CommandKey: secret("key")})} {
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, acs+"?password="+secret("of a URL"), strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Authorization", authorization)
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					_ = resp.Body.Close()
				}
			}
			for n, d := range devices {
				for _, name := range []string{"Password", "ConnectionRequestPassword"} {
					if v := d.Value("Device.ManagementServer." + name); v != "" {
						secrets[fmt.Sprintf("%s of CPE %d", name, n)] = v
					}
				}
			}
			for _, path := range []string{"/metrics", "/", "/api/v1/devices", "/api/v1/devices/" + url.PathEscape(endpointID(numbered("OWN"))),
				"/api/v1/devices/" + url.PathEscape(endpointID(numbered("ANY"))), "/api/v1/devices/" + url.PathEscape(endpointID(numbered("OWN"))) + "/trace",
				"/api/v1/devices/" + url.PathEscape(endpointID(numbered("ANY"))) + "/trace", "/api/v1/devices/" + url.PathEscape(endpointID(numbered("OWN"))) + "/capture",
				"/api/v1/devices/" + url.PathEscape(endpointID(numbered("ANY"))) + "/capture"} {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.listeners.admin.Addr().String()+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+secrets["admin"])
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintln(shown, "GET", path)
				if _, err := io.Copy(shown, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("%s: %s, %v", path, resp.Status, err)
				}
				_ = resp.Body.Close()
			}
			stop()
			if !shown.has(`isthmus_relay_transfers_total{direction=\"download\",outcome=\"failed\"} 2`) && !shown.has(`isthmus_relay_transfers_total{direction="download",outcome="failed"} 2`) {
				t.Error("nothing was to be fetched")
			}
			if !shown.has("SetParameterValues") || !shown.has("fleet") || !shown.has("<FaultString>[cut]</FaultString>") {
				t.Error("nothing to be looked at")
			}
			for whose, text := range secrets {
				for _, form := range []string{text, base64.StdEncoding.EncodeToString([]byte("fleet:" + text)), url.QueryEscape(text)} {
					if line, _ := shown.find(form); line != "" {
						t.Errorf("the secret %s is shown: %.400s", whose, line)
					}
				}
			}
		})
	}
}

// leaking has a CPE put its passwords into Informs and into what it is asked.
func leaking(password, requests string) func(context.Context, string, string) (net.Conn, error) {
	var cfg cpe.Config
	garbled(in("Inform", func(s string) string {
		return strings.Replace(s, "</ParameterList>", "<ParameterValueStruct><Name>Device.ManagementServer.Password</Name><Value>"+password+
			"</Value></ParameterValueStruct><ParameterValueStruct><Name>Device.ManagementServer.ConnectionRequestPassword</Name><Value>"+requests+
			"</Value></ParameterValueStruct></ParameterList>", 1)
	}))(&cfg)
	return cfg.Dial
}
