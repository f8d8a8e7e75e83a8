//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

const (
	foreignTime = 60 * time.Second // of one Controller
	foreignPoll = 200 * time.Millisecond
)

// foreignConfig wants the Endpoint ID, the profile and the MTP of the Controller.
const foreignConfig = `
data_dir: data
log: {format: json}
cwmp: {listen: "127.0.0.1:0", session: {linger: 0s}}
usp:
  controllers: [{endpoint_id: %q, profile: %s, %s}]
  websocket_server: {listen: ""}
admin: {listen: "127.0.0.1:0"}
`

// foreign is a Controller that nobody here wrote, at work on an Agent of ours: isthmus serve in a process of its own, a simulated CPE, and
// a relay that sees what crosses. The Controller is driven through its own HTTP interface.
type foreign struct {
	ctx    context.Context
	relay  *relay
	device *cpe.CPE
	agent  usp.EndpointID
	api    *url.URL
	header http.Header
}

// foreignAt finds what two variables say: where the Controller's HTTP interface is, and where Agents dial it.
func foreignAt(t *testing.T, name, api, ws string) (*url.URL, string) {
	t.Helper()
	if os.Getenv("ISTHMUS_PEERS") != "1" {
		t.Skipf("NOT TESTED against the Controller %s: run make test-peers", name)
	}
	if os.Getenv(api) == "" || os.Getenv(ws) == "" {
		t.Skipf("NOT TESTED against the Controller %s: start it, and set %s to the URL of its HTTP interface and %s to that of its WebSocket", name, api, ws)
	}
	u, err := url.Parse(os.Getenv(api))
	if err != nil {
		t.Fatalf("%s: %v", api, err)
	}
	return u, os.Getenv(ws)
}

// startForeign has a new Agent dial the Controller over WebSocket.
func startForeign(t *testing.T, api *url.URL, ws string, id usp.EndpointID, profile string) *foreign {
	t.Helper()
	relay, at := startRelay(t, ws)
	f := startBehind(t, api, id, profile, fmt.Sprintf("websocket: {url: %q}", at))
	f.relay = relay
	return f
}

// startBehind has a new Agent reach the Controller over an MTP.
func startBehind(t *testing.T, api *url.URL, id usp.EndpointID, profile, mtp string) *foreign {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), foreignTime)
	t.Cleanup(cancel)
	f := &foreign{ctx: ctx, api: api, header: http.Header{}}
	device := cwmp.DeviceID{Manufacturer: "Peer Works", OUI: "00D09E", ProductClass: "Gateway", SerialNumber: fmt.Sprintf("F%d", time.Now().UnixNano())}
	var err error
	if f.agent, _, err = usp.AgentEndpointID(device.OUI, device.ProductClass, device.SerialNumber); err != nil {
		t.Fatal(err)
	}
	f.device = cpe.New(cpe.Config{ACS: serve(ctx, t, fmt.Sprintf(foreignConfig, id, profile, mtp)), DeviceID: device, Logger: slog.New(slog.DiscardHandler),
		RebootTime: time.Millisecond})
	power, off := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.device.Run(power) }()
	t.Cleanup(func() {
		off()
		if err := <-ended; err != nil {
			t.Errorf("CPE: %v", err)
		}
	})
	return f
}

// call asks the Controller's HTTP interface and gives what it says.
func (f *foreign) call(t *testing.T, method, path string, body any) string {
	t.Helper()
	text, status, err := f.ask(method, path, body)
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s %s: %d %s, %v", method, path, status, text, err)
	}
	return text
}

func (f *foreign) ask(method, path string, body any) (text string, status int, err error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return "", 0, err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(f.ctx, method, strings.TrimSuffix(f.api.String(), "/")+path, in)
	if err != nil {
		return "", 0, err
	}
	for k, v := range f.header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(b)), resp.StatusCode, err
}

// until asks until the answer has the text: what an Agent told a Controller, the Controller shows some time later.
func (f *foreign) until(t *testing.T, path, want string) {
	t.Helper()
	for {
		text, _, err := f.ask(http.MethodGet, path, nil)
		if err == nil && strings.Contains(text, want) {
			return
		}
		select {
		case <-time.After(foreignPoll):
		case <-f.ctx.Done():
			t.Fatalf("%s: no %q in %q, %v", path, want, text, err)
		}
	}
}

// says fails the test unless the text has all of these in it.
func says(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in %s", w, text)
		}
	}
}

// TestPeerOpenUSP has OpenUSP (n4-networks, April 2024) onboard an Agent, read its whole data model, and manage it. It has its profile, as Oktopus has.
func TestPeerOpenUSP(t *testing.T) {
	api, ws := foreignAt(t, "OpenUSP", "OPENUSP", "OPENUSP_WS")
	f := startForeign(t, api, ws, "self::openusp-controller", "openusp")

	// What it does of itself when an Agent connects, and what it says to the OnBoardRequest.
	if n := f.relay.next(f.ctx, t, true, usppb.Header_NOTIFY); n.GetBody().GetRequest().GetNotify().GetOnBoardReq().GetOui() != "00D09E" {
		t.Errorf("the first notification is %v", n)
	}
	f.relay.next(f.ctx, t, false, usppb.Header_NOTIFY_RESP)
	f.until(t, "/get/agents/", string(f.agent))
	f.call(t, http.MethodGet, "/update/dm/"+string(f.agent)+"/Device.", nil)
	dm := f.relay.next(f.ctx, t, true, usppb.Header_GET_SUPPORTED_DM_RESP)
	if len(dm.GetBody().GetResponse().GetGetSupportedDmResp().GetReqObjResults()) != 1 {
		t.Errorf("GetSupportedDM: %v", dm)
	}
	at := func(verb, path string) string { return "/" + verb + "/" + string(f.agent) + "/" + path }
	f.until(t, at("get/params", "Device.DeviceInfo."), `"`+strings.TrimPrefix(string(f.agent), "ops::00D09E-Gateway-")+`"`)
	f.call(t, http.MethodGet, at("update/instances", "Device.WiFi.SSID."), nil)
	f.until(t, at("get/instances", "Device.WiFi.SSID."), "Device.WiFi.SSID.2.")

	f.call(t, http.MethodPost, at("set/params", "Device.WiFi.SSID.1."), map[string]string{"SSID": "by OpenUSP"})
	if got := f.device.Value("Device.WiFi.SSID.1.SSID"); got != "by OpenUSP" {
		t.Errorf("the CPE has the SSID %q", got)
	}
	f.call(t, http.MethodGet, at("update/params", "Device.WiFi.SSID.1."), nil)
	f.until(t, at("get/params", "Device.WiFi.SSID.1."), "by OpenUSP")

	row := f.call(t, http.MethodPost, at("add/instances", "Device.NAT.PortMapping."), map[string]string{"ExternalPort": "8443", "InternalClient": "192.168.1.20"})
	var created struct{ Path string }
	if err := json.Unmarshal([]byte(row), &created); err != nil || f.device.Value(created.Path+"ExternalPort") != "8443" {
		t.Fatalf("Add: %s, %v", row, err)
	}
	f.call(t, http.MethodGet, at("delete/instances", created.Path), nil)
	f.relay.next(f.ctx, t, true, usppb.Header_DELETE_RESP)
	if f.device.Exists(created.Path) {
		t.Errorf("%s is still there", created.Path)
	}

	// A subscription, a change at the CPE, and the NotifyResp.
	f.call(t, http.MethodPost, at("add/instances", "Device.LocalAgent.Subscription."), map[string]string{"ID": "ssid", "Enable": "true",
		"NotifType": "ValueChange", "NotifRetry": "true", "ReferenceList": "Device.WiFi.SSID.2.SSID"})
	if _, err := f.device.WaitCall(f.ctx, "SetParameterAttributes", 1); err != nil {
		t.Fatal(err)
	}
	if err := f.device.SetValue("Device.WiFi.SSID.2.SSID", "by the owner"); err != nil {
		t.Fatal(err)
	}
	n := f.relay.next(f.ctx, t, true, usppb.Header_NOTIFY)
	if got := n.GetBody().GetRequest().GetNotify().GetValueChange(); got.GetParamPath() != "Device.WiFi.SSID.2.SSID" || got.GetParamValue() != "by the owner" {
		t.Errorf("ValueChange: %v", n)
	}
	if resp := f.relay.next(f.ctx, t, false, usppb.Header_NOTIFY_RESP); resp.GetHeader().GetMsgId() != n.GetHeader().GetMsgId() {
		t.Errorf("NotifyResp to %s: %v", n.GetHeader().GetMsgId(), resp)
	}

	// A Set that fails: OpenUSP shows 200 for it, whatever the SetResp has.
	f.call(t, http.MethodPost, at("set/params", "Device.WiFi.SSID.1."), map[string]string{"Status": "Down"})
	failed := f.relay.next(f.ctx, t, true, usppb.Header_SET_RESP).GetBody().GetResponse().GetSetResp().GetUpdatedObjResults()
	if len(failed) != 1 || failed[0].GetOperStatus().GetOperFailure() == nil {
		t.Errorf("setting a read-only parameter: %v", failed)
	}

	// Boot!, which ends it where its ParameterMap is not in its profile's form.
	f.call(t, http.MethodPost, at("add/instances", "Device.LocalAgent.Subscription."), map[string]string{"ID": "boots", "Enable": "true",
		"NotifType": "Event", "NotifRetry": "true", "ReferenceList": "Device.Boot!"})
	f.call(t, http.MethodPost, at("operate/cmd", "Device.Reboot()"), map[string]string{})
	f.relay.next(f.ctx, t, true, usppb.Header_OPERATE_RESP)
	if _, err := f.device.WaitCall(f.ctx, "Reboot", 1); err != nil {
		t.Fatal(err)
	}
	if n := f.relay.next(f.ctx, t, true, usppb.Header_NOTIFY).GetBody().GetRequest().GetNotify().GetEvent(); n.GetEventName() != "Boot!" {
		t.Errorf("a notification of %v", n)
	}
	f.relay.next(f.ctx, t, false, usppb.Header_GET_SUPPORTED_DM) // it reads everything anew
}

const (
	oktopusName = "oktopusController" // what it calls itself, which is no Endpoint ID (R-ARC.1)
	oktopusID   = "proto::oktopus"
)

// TestPeerOktopus has Oktopus (OktopUSP, July 2025) onboard an Agent over WebSocket and manage it. It has no notifications.
func TestPeerOktopus(t *testing.T) {
	api, ws := foreignAt(t, "Oktopus", "OKTOPUS", "OKTOPUS_WS")
	f := startForeign(t, api, ws, oktopusName, "oktopus-ws")
	f.loginToOktopus(t)

	// It registers an Agent by a Get of its own.
	f.relay.next(f.ctx, t, true, usppb.Header_GET_RESP)
	f.until(t, "/api/device?id="+string(f.agent), `"Gateway"`)

	do := func(verb string, body any) string { return f.oktopus(t, "ws/"+verb, body) }
	says(t, do("parameters", object{"obj_paths": []string{"Device.WiFi.SSID."}, "return_params": true, "return_commands": true}), "Device.WiFi.SSID.{i}.", "LowerLayers")
	says(t, do("instances", object{"obj_paths": []string{"Device.WiFi.SSID."}}), "Device.WiFi.SSID.1.", "Device.WiFi.SSID.2.")
	says(t, do("get", object{"param_paths": []string{"Device.WiFi.SSID.1.SSID"}, "max_depth": 1}), f.device.Value("Device.WiFi.SSID.1.SSID"))
	says(t, do("get", object{"param_paths": []string{"Device.Nothing."}}), "7026")

	// Its pages leave the last dot out.
	do("set", object{"allow_partial": true, "update_objs": []object{{"obj_path": "Device.WiFi.SSID.1",
		"param_settings": []object{{"param": "SSID", "value": "by Oktopus", "required": true}}}}})
	if got := f.device.Value("Device.WiFi.SSID.1.SSID"); got != "by Oktopus" {
		t.Errorf("the CPE has the SSID %q", got)
	}
	says(t, do("set", object{"update_objs": []object{{"obj_path": "Device.WiFi.SSID.1.",
		"param_settings": []object{{"param": "Status", "value": "Down", "required": true}}}}}), "7013")

	do("add", object{"create_objs": []object{{"obj_path": "Device.NAT.PortMapping."}}})
	created := f.relay.next(f.ctx, t, true, usppb.Header_ADD_RESP).GetBody().GetResponse().GetAddResp().GetCreatedObjResults()
	if len(created) != 1 || created[0].GetOperStatus().GetOperSuccess() == nil {
		t.Fatalf("Add: %v", created)
	}
	row := created[0].GetOperStatus().GetOperSuccess().GetInstantiatedPath()
	if !f.device.Exists(row) {
		t.Errorf("%s is not at the CPE", row)
	}
	says(t, do("del", object{"obj_paths": []string{row}}), row)
	if f.device.Exists(row) {
		t.Errorf("%s is still there", row)
	}

	// Boot!, which it neither wants nor answers, leaves it as it is.
	do("add", oktopusBoots)
	says(t, do("operate", object{"command": "Device.Reboot()", "command_key": "k", "send_resp": true}), "Device.Reboot()")
	if _, err := f.device.WaitCall(f.ctx, "Reboot", 1); err != nil {
		t.Fatal(err)
	}
	for f.relay.next(f.ctx, t, true, usppb.Header_NOTIFY).GetBody().GetRequest().GetNotify().GetEvent().GetEventName() != "Boot!" {
		continue // the OnBoardRequest
	}
	// A Notify that was on its way may be taken for the answer of a request that was sent meanwhile (500); not of the next.
	get := object{"param_paths": []string{"Device.WiFi.SSID.1.SSID"}, "max_depth": 1}
	if _, _, err := f.ask(http.MethodPut, "/api/device/"+string(f.agent)+"/ws/get", get); err != nil {
		t.Fatal(err)
	}
	says(t, do("get", get), "by Oktopus")
}

// object is what Oktopus's HTTP interface takes.
type object map[string]any

// oktopusBoots is a Subscription to boots.
var oktopusBoots = object{"create_objs": []object{{"obj_path": "Device.LocalAgent.Subscription.", "param_settings": []object{
	{"param": "ID", "value": "boots", "required": true}, {"param": "NotifType", "value": "Event", "required": true},
	{"param": "ReferenceList", "value": "Device.Boot!", "required": true}, {"param": "NotifRetry", "value": "true", "required": true},
	{"param": "Enable", "value": "true", "required": true}}}}}

// loginToOktopus makes the first administrator; later runs find one with this password.
func (f *foreign) loginToOktopus(t *testing.T) {
	t.Helper()
	user := map[string]string{"email": "peers@example.com", "password": "peers-password", "name": "Peers"}
	if _, _, err := f.ask(http.MethodPost, "/api/auth/admin/register", user); err != nil {
		t.Fatal(err)
	}
	var token string
	if err := json.Unmarshal([]byte(f.call(t, http.MethodPut, "/api/auth/login", user)), &token); err != nil {
		t.Fatal(err)
	}
	f.header.Set("Authorization", token)
}

// oktopus has Oktopus send a request over an MTP and gives the answer.
func (f *foreign) oktopus(t *testing.T, mtpAndVerb string, body any) string {
	t.Helper()
	return f.call(t, http.MethodPut, "/api/device/"+string(f.agent)+"/"+mtpAndVerb, body)
}

// TestPeerOktopusMQTT is the same over MQTT, through Oktopus's own broker.
func TestPeerOktopusMQTT(t *testing.T) {
	api, broker := foreignAt(t, "Oktopus", "OKTOPUS", "OKTOPUS_MQTT")
	f := startBehind(t, api, oktopusName, "oktopus-mqtt",
		fmt.Sprintf(`mqtt: {broker: %q, agent_topic: "oktopus/usp/v1/agent/{endpoint_id}", controller_topic: "oktopus/usp/v1/controller"}`, broker))
	f.loginToOktopus(t)
	f.until(t, "/api/device?id="+string(f.agent), `"Gateway"`)
	do := func(verb string, body any) string { return f.oktopus(t, "mqtt/"+verb, body) }
	says(t, do("parameters", object{"obj_paths": []string{"Device.WiFi.SSID."}, "return_params": true, "return_commands": true}), "Device.WiFi.SSID.{i}.", "LowerLayers")
	says(t, do("instances", object{"obj_paths": []string{"Device.WiFi.SSID."}}), "Device.WiFi.SSID.1.", "Device.WiFi.SSID.2.")
	do("set", object{"allow_partial": true, "update_objs": []object{{"obj_path": "Device.WiFi.SSID.1",
		"param_settings": []object{{"param": "SSID", "value": "by Oktopus", "required": true}}}}})
	if got := f.device.Value("Device.WiFi.SSID.1.SSID"); got != "by Oktopus" {
		t.Errorf("the CPE has the SSID %q", got)
	}
	do("add", oktopusBoots)
	says(t, do("operate", object{"command": "Device.Reboot()", "command_key": "k", "send_resp": true}), "Device.Reboot()")
	if _, err := f.device.WaitCall(f.ctx, "Reboot", 1); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		says(t, do("get", object{"param_paths": []string{"Device.WiFi.SSID.1.SSID"}, "max_depth": 1}), "by Oktopus")
	}
	says(t, do("get", object{"param_paths": []string{"Device.Nothing."}}), "7026")
}
