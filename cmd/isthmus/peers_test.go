//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

const (
	peersTime       = 60 * time.Second // of them all
	peersController = "proto::peers-controller"
	gateway         = "../../testdata/peers/gateway.csv" // the data model of the Device:2 peers
	igd             = "../../testdata/peers/igd.csv"     // the same home as an InternetGatewayDevice
)

// peersConfig wants the URL of the Controller. Device.WiFi. is never answered from the cache, and a session ends as soon as there is
// nothing to do, so that the peers are called often.
const peersConfig = `
data_dir: data
log: {format: json}
cwmp:
  listen: 127.0.0.1:0
  session: {linger: 0s}
  connection_request: {username: cr-user, password: cr-password, timeout: 8s}
usp:
  controllers: [{endpoint_id: "` + peersController + `", websocket: {url: %q}}]
  websocket_server: {listen: 127.0.0.1:0}
cache:
  rules: [{path: Device.WiFi., max_age: 0s}]
admin: {listen: 127.0.0.1:0}
`

// TestPeers manages CWMP clients that nobody here wrote: a USP Controller, isthmus serve, and the client in a process of its own.
// The clients are no part of this repository; make test-peers needs them installed.
func TestPeers(t *testing.T) {
	if os.Getenv("ISTHMUS_PEERS") != "1" {
		t.Skip("NOT TESTED against foreign CWMP clients: run make test-peers")
	}
	ctx, cancel := context.WithTimeout(t.Context(), peersTime)
	t.Cleanup(cancel)
	c := controller.New(context.WithoutCancel(ctx), controller.Options{EndpointID: peersController})
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		c.Close(end)
	})
	url, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	acs := serve(ctx, t, fmt.Sprintf(peersConfig, url))
	t.Run("cwmp-sim", func(t *testing.T) {
		t.Parallel()
		cwmpSim(ctx, t, c, acs)
	})
	t.Run("cwmp-sim_TR-098", func(t *testing.T) {
		t.Parallel()
		cwmpSimTR098(ctx, t, c, acs)
	})
	t.Run("cwmp-sim_fleet", func(t *testing.T) {
		t.Parallel()
		cwmpSimFleet(ctx, t, c, acs)
	})
	t.Run("SimulaTR69", func(t *testing.T) {
		t.Parallel()
		simulaTR69(ctx, t, c, acs)
	})
	t.Run("SimulaTR69_TR-098", func(t *testing.T) {
		t.Parallel()
		simulaTR69TR098(ctx, t, c, acs)
	})
	t.Run("genieacs-sim", func(t *testing.T) {
		t.Parallel()
		genieACSSim(ctx, t, c, acs)
	})
	t.Run("genieacs-sim_TR-098", func(t *testing.T) {
		t.Parallel()
		startGenieACSSim(t, acs, "-m", absolute(t, igd), "-s", "198")
		p := onboarded(ctx, t, c, "ops::00D09E-PeerIGD-000198")
		p.gatewayTR098(t, "000198")
		p.downloads(t, true)
	})
	t.Run("genieacs-sim_real_gateway", func(t *testing.T) {
		t.Parallel()
		genieACSSimGateway(ctx, t, c, acs)
	})
}

// peer is an Agent behind which a foreign CPE stands.
type peer struct {
	ctx   context.Context
	agent *controller.Agent
}

// onboarded waits for the OnBoardRequest of a new Agent.
func onboarded(ctx context.Context, t *testing.T, c *controller.Controller, id usp.EndpointID) *peer {
	t.Helper()
	p := &peer{ctx: ctx, agent: c.Agent(id)}
	n, err := p.agent.WaitNotify(ctx, func(n *usppb.Notify) bool { return n.GetOnBoardReq() != nil })
	if err != nil {
		t.Fatalf("OnBoardRequest of %s: %v", id, err)
	}
	oui, serial := n.GetOnBoardReq().GetOui(), n.GetOnBoardReq().GetSerialNumber()
	if !strings.Contains(string(id), oui) || !strings.HasSuffix(string(id), serial) || oui == "" || serial == "" {
		t.Errorf("OnBoardRequest of %s: OUI %q, serial number %q", id, oui, serial)
	}
	return p
}

// do gives the lines of an answer without errors.
func (p *peer) do(t *testing.T, r *usppb.Request) []string {
	t.Helper()
	lines, err := p.try(r)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	return lines
}

func (p *peer) try(r *usppb.Request) ([]string, error) {
	answer, err := p.agent.Do(p.ctx, r)
	if err != nil {
		return nil, err
	}
	o := results(answer)
	return o.lines, o.err()
}

func get(path string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{path}}}}
}

func instances(path string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: []string{path}}}}
}

func supported(path string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{path},
		ReturnParams: true, ReturnCommands: true}}}
}

func set(object, name, value string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Set{Set: &usppb.Set{UpdateObjs: []*usppb.Set_UpdateObject{{ObjPath: object,
		ParamSettings: []*usppb.Set_UpdateParamSetting{{Param: name, Value: value, Required: true}}}}}}}
}

func add(table string, params ...string) *usppb.Request {
	row := &usppb.Add_CreateObject{ObjPath: table}
	for p := range slices.Chunk(params, 2) {
		row.ParamSettings = append(row.ParamSettings, &usppb.Add_CreateParamSetting{Param: p[0], Value: p[1], Required: true})
	}
	return &usppb.Request{ReqType: &usppb.Request_Add{Add: &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{row}}}}
}

func remove(path string) *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Delete{Delete: &usppb.Delete{ObjPaths: []string{path}}}}
}

func reboot() *usppb.Request {
	return &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: "Device.Reboot()", CommandKey: "peers", SendResp: true}}}
}

// same fails the test unless the request gives exactly these lines.
func (p *peer) same(t *testing.T, r *usppb.Request, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, p.do(t, r)); d != "" {
		t.Errorf("%v (-want +got):\n%s", r, d)
	}
}

// has fails the test unless the answer to the request has these lines, among others.
func (p *peer) has(t *testing.T, r *usppb.Request, want ...string) {
	t.Helper()
	got := p.do(t, r)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%v: no line %q in\n%s", r, w, strings.Join(got, "\n"))
		}
	}
}

// refused fails the test unless the request fails with the code, as a whole or for one of its parameters.
func (p *peer) refused(t *testing.T, r *usppb.Request, code usp.ErrorCode) {
	t.Helper()
	lines, err := p.try(r)
	var e *usp.Error
	if !errors.As(err, &e) || e.Code != code && !slices.ContainsFunc(e.Params, func(q usp.ParamError) bool { return q.Code == code }) {
		t.Errorf("%v: %q, %v; want the error %d", r, lines, err, code)
	}
}

// reads is what both peers with our model must say to requests that change nothing.
func (p *peer) reads(t *testing.T, serial string) {
	t.Helper()
	p.has(t, get("Device.DeviceInfo."), "Device.DeviceInfo.Manufacturer = Peer Works", "Device.DeviceInfo.ManufacturerOUI = 00D09E",
		"Device.DeviceInfo.ProductClass = PeerGateway", "Device.DeviceInfo.SerialNumber = "+serial, "Device.DeviceInfo.SoftwareVersion = 2.7.1")
	p.same(t, get("Device.WiFi.SSID.*.SSID"), "Device.WiFi.SSID.1.SSID = peer <2.4>", "Device.WiFi.SSID.2.SSID = peer & 5")
	p.same(t, get(`Device.WiFi.SSID.[Enable==false].LowerLayers`), "Device.WiFi.SSID.2.LowerLayers = Device.WiFi.Radio.2.")
	p.same(t, instances("Device.WiFi.SSID."), "Device.WiFi.SSID.1.", "Device.WiFi.SSID.2.")
	p.same(t, instances("Device.NAT.PortMapping."), "Device.NAT.PortMapping.1.")
	p.same(t, supported("Device.WiFi.Radio."), "Device.WiFi.Radio.{i}.  read-only", "  Channel  unsigned-int read-write",
		"  Enable  boolean read-write", "  OperatingFrequencyBand  string read-write")
	p.has(t, supported("Device."), "  Reboot()  sync(Cause, Reason) -> ()", "Device.LocalAgent.Subscription.{i}.  add-delete")
	p.refused(t, get("Device.WiFi.SSID.1.Sssid"), usp.InvalidPath)
	p.refused(t, set("Device.WiFi.SSID.1.", "Status", "Down"), usp.NonWritableParameter)
	p.refused(t, set("Device.WiFi.Radio.1.", "Channel", "eleven"), usp.InvalidType)
}

// sets writes a parameter and reads it from the peer.
func (p *peer) sets(t *testing.T, ssid string) {
	t.Helper()
	p.same(t, set("Device.WiFi.SSID.1.", "SSID", ssid), "Device.WiFi.SSID.1.SSID = "+ssid)
	p.same(t, get("Device.WiFi.SSID.1.SSID"), "Device.WiFi.SSID.1.SSID = "+ssid)
}

// addsAndDeletes makes a row, reads it, and deletes it.
func (p *peer) addsAndDeletes(t *testing.T) {
	t.Helper()
	p.same(t, add("Device.NAT.PortMapping.", "ExternalPort", "8443", "InternalClient", "192.168.1.20"), "created Device.NAT.PortMapping.2.")
	p.has(t, get("Device.NAT.PortMapping.2."), "Device.NAT.PortMapping.2.ExternalPort = 8443", "Device.NAT.PortMapping.2.InternalClient = 192.168.1.20")
	p.same(t, remove("Device.NAT.PortMapping.[ExternalPort==8443]."), "deleted Device.NAT.PortMapping.2.")
	p.same(t, instances("Device.NAT.PortMapping."), "Device.NAT.PortMapping.1.")
}

// reboots asks for a reboot and waits for the event that tells of it. The peers' M Reboot has no CommandKey, or is not there (S9).
func (p *peer) reboots(t *testing.T) {
	t.Helper()
	p.do(t, add("Device.LocalAgent.Subscription.", "ID", "boot", "Enable", "true", "NotifType", "Event", "ReferenceList", "Device.Boot!"))
	p.same(t, reboot(), "Device.Reboot() done")
	n, err := p.agent.WaitNotify(p.ctx, func(n *usppb.Notify) bool { return n.GetEvent().GetEventName() == "Boot!" })
	if err != nil {
		t.Fatalf("Boot!: %v", err)
	}
	if got := n.GetEvent().GetParams(); got["Cause"] != "RemoteReboot" || got["CommandKey"] != "peers" {
		t.Errorf("Boot! has %v, want the Cause RemoteReboot and our CommandKey", got)
	}
}

// downloads has the peer fetch a configuration, and waits for the end that it tells, in whatever way it does (S13, S14); untold is of one that
// opens no session to tell it.
func (p *peer) downloads(t *testing.T, untold bool) {
	t.Helper()
	const restore = "Device.DeviceInfo.VendorConfigFile.1.Restore()"
	fetched := make(chan struct{}, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "setting = 1\n")
		if r.Method == http.MethodGet {
			fetched <- struct{}{}
		}
	}))
	t.Cleanup(s.Close)
	p.do(t, add("Device.LocalAgent.Subscription.", "ID", "ends", "Enable", "true", "NotifType", "OperationComplete", "ReferenceList", restore, "Persistent", "true"))
	p.do(t, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: &usppb.Operate{Command: restore, CommandKey: "restore", SendResp: true,
		InputArgs: map[string]string{"URL": s.URL + "/settings.cfg", "Username": "u", "Password": "p"}}}})
	select {
	case <-fetched:
	case <-p.ctx.Done():
		t.Fatal("the file was not fetched")
	}
	if untold { // before its next session
		p.same(t, get("Device.WiFi.Radio.1.Channel"), "Device.WiFi.Radio.1.Channel = 6")
	}
	n, err := p.agent.WaitNotify(p.ctx, func(n *usppb.Notify) bool { return n.GetOperComplete().GetCommandKey() == "restore" })
	if err != nil {
		t.Fatalf("OperationComplete: %v", err)
	}
	if n.GetOperComplete().GetReqOutputArgs() == nil {
		t.Errorf("%v", n.GetOperComplete())
	}
}

// asDevice2 is what an InternetGatewayDevice CPE is: an Agent that has more than its identity, and none of it in names of TR-098.
func asDevice2(t *testing.T, p *peer, serial string) {
	t.Helper()
	p.has(t, get("Device.DeviceInfo."), "Device.DeviceInfo.SerialNumber = "+serial)
	p.has(t, get("Device.LocalAgent."), "Device.LocalAgent.EndpointID = "+string(p.agent.EndpointID()),
		"Device.LocalAgent.Controller.1.EndpointID = "+peersController)
	more := false
	for _, l := range p.do(t, get("Device.")) {
		more = more || strings.HasPrefix(l, "Device.IP.Interface.")
		if strings.Contains(l, "InternetGatewayDevice") {
			t.Errorf("an InternetGatewayDevice CPE shows %s", l)
		}
	}
	if !more {
		t.Error("an InternetGatewayDevice CPE shows no Device.IP.Interface.")
	}
}

func startCWMPSim(t *testing.T, acs string, args ...string) *transcript {
	t.Helper()
	script := findProgram(t, "cwmp-sim", "CWMP_SIM", "cwmp-sim 0.1.2")
	return launch(t, syscall.SIGKILL, t.TempDir(), node(t), append([]string{script, "--acs", acs, "--ip", "127.0.0.1", "--port", freePort(t), "--storage-dir", "state",
		"--conn-user", "cr-user", "--conn-pass", "cr-password", "--conn-auth", "Digest", "--boot-delay", "0", "--interval", "3600", "--log-level", "debug"}, args...)...)
}

// cwmpSim drives cwmp-sim 0.1.2 over its whole life. It has no BOOTSTRAP (S10) and never returns a cookie (H3).
func cwmpSim(ctx context.Context, t *testing.T, c *controller.Controller, acs string) {
	out := startCWMPSim(t, acs, "--model", absolute(t, gateway), "--serial", "SIM181", "--oui", "00D09E")
	p := onboarded(ctx, t, c, "ops::00D09E-PeerGateway-SIM181")
	p.has(t, supported("Device.NAT."), "Device.NAT.  read-only") // known when the CPE's model is
	if _, err := out.line(ctx, "End of Session"); err != nil {
		t.Fatal(err)
	}
	// It is silent for an hour now unless it is called.
	p.same(t, get("Device.WiFi.Radio.1.Channel"), "Device.WiFi.Radio.1.Channel = 6")
	if _, err := out.line(ctx, "Starting session with event: 6 CONNECTION REQUEST"); err != nil {
		t.Error(err)
	}
	p.reads(t, "SIM181")

	p.sets(t, "renamed")

	// Its new rows of a loaded model have no parameters, so it refuses to set one: with a fault of an undeclared prefix (X4) that has no
	// list of them (X21). The row must not stay.
	p.refused(t, add("Device.NAT.PortMapping.", "ExternalPort", "8443"), usp.NonWritableParameter)
	p.same(t, instances("Device.NAT.PortMapping."), "Device.NAT.PortMapping.1.")
	p.same(t, add("Device.NAT.PortMapping."), "created Device.NAT.PortMapping.2.")
	p.same(t, instances("Device.NAT.PortMapping."), "Device.NAT.PortMapping.1.", "Device.NAT.PortMapping.2.")
	p.same(t, remove("Device.NAT.PortMapping.2."), "deleted Device.NAT.PortMapping.2.")
	p.same(t, instances("Device.NAT.PortMapping."), "Device.NAT.PortMapping.1.")

	p.downloads(t, false)
	p.reboots(t)
	p.same(t, get("Device.WiFi.SSID.1.SSID"), "Device.WiFi.SSID.1.SSID = renamed")
}

// cwmpSimTR098 drives cwmp-sim as an InternetGatewayDevice; new rows of its own model have parameters.
func cwmpSimTR098(ctx context.Context, t *testing.T, c *controller.Controller, acs string) {
	out := startCWMPSim(t, acs, "--serial", "SIM098", "--oui", "00D09E", "--product-class", "IGD", "--device-root", "InternetGatewayDevice")
	p := onboarded(ctx, t, c, "ops::00D09E-IGD-SIM098")
	asDevice2(t, p, "SIM098")
	if _, err := out.line(ctx, "End of Session"); err != nil {
		t.Fatal(err)
	}
	p.same(t, get("Device.WiFi.Radio.1.Channel"), "Device.WiFi.Radio.1.Channel = 6")
	if _, err := out.line(ctx, "Starting session with event: 6 CONNECTION REQUEST"); err != nil {
		t.Error(err)
	}
	p.has(t, instances("Device.WiFi.SSID."), "Device.WiFi.SSID.1. BSSID=00:11:22:33:44:66 Name=BrByte WiFi")
	p.sets(t, "renamed")
	p.refused(t, set("Device.WiFi.SSID.1.", "BSSID", "02:00:00:00:00:01"), usp.NonWritableParameter)
	p.reboots(t)
	asDevice2(t, p, "SIM098")
	p.same(t, get("Device.WiFi.SSID.1.SSID"), "Device.WiFi.SSID.1.SSID = renamed")
}

// gatewayTR098 says of a peer with our InternetGatewayDevice what reads, sets and addsAndDeletes say of one with our Device:2: the names are the same,
// the numbers those of the mapping.
func (p *peer) gatewayTR098(t *testing.T, serial string) {
	t.Helper()
	const rows = "Device.NAT.PortMapping."
	const first, second = rows + "101010001.", rows + "101010002."
	asDevice2(t, p, serial)
	p.has(t, get("Device.DeviceInfo."), "Device.DeviceInfo.Manufacturer = Peer Works", "Device.DeviceInfo.SoftwareVersion = 2.7.1")
	p.same(t, get("Device.WiFi.SSID.*.SSID"), "Device.WiFi.SSID.1.SSID = peer <2.4>", "Device.WiFi.SSID.2.SSID = peer & 5")
	p.same(t, get(`Device.WiFi.SSID.[Enable==false].LowerLayers`), "Device.WiFi.SSID.2.LowerLayers = Device.WiFi.Radio.2")
	p.same(t, instances("Device.WiFi.SSID."), "Device.WiFi.SSID.1. BSSID=02:00:00:00:00:01", "Device.WiFi.SSID.2. BSSID=02:00:00:00:00:02")
	p.refused(t, get("Device.WiFi.SSID.1.Sssid"), usp.InvalidPath)
	p.refused(t, set("Device.WiFi.SSID.1.", "Status", "Down"), usp.NonWritableParameter)
	p.refused(t, set("Device.WiFi.Radio.1.", "Channel", "eleven"), usp.InvalidType)
	p.sets(t, "renamed & <new>")
	p.has(t, get(first), first+"ExternalPort = 8080", first+"Protocol = TCP", first+"Interface = Device.IP.Interface.10101")
	created := p.do(t, add(rows, "ExternalPort", "8443", "InternalClient", "192.168.1.20", "Protocol", "TCP"))
	if want := "created " + second + " Alias=cpe-PortMapping-101010002 ExternalPort=8443 Protocol=TCP"; len(created) != 1 || !strings.HasPrefix(created[0], want) {
		t.Errorf("%q, want %q", created, want) // RemoteHost, too, where new rows have more than what was set
	}
	p.has(t, get(second), second+"ExternalPort = 8443", second+"InternalClient = 192.168.1.20", second+"Protocol = TCP")
	p.same(t, remove(rows+"[ExternalPort==8443]."), "deleted "+second)
}

// fleetSize is how many CPE of each root are in one process of cwmp-sim.
const fleetSize = 5

// cwmpSimFleet drives several CPE of both roots that have one address and one Connection Request port: none is taken for another.
func cwmpSimFleet(ctx context.Context, t *testing.T, c *controller.Controller, acs string) {
	count := strconv.Itoa(fleetSize)
	startCWMPSim(t, acs, "--model", absolute(t, gateway), "--serial", "FLEET{i}", "--oui", "00D09E", "--count", count,
		"--model", "default", "--serial", "FLEET{i}", "--oui", "00D09E", "--product-class", "IGD", "--device-root", "InternetGatewayDevice", "--count", count)
	for i := range 2 * fleetSize {
		serial := "FLEET" + strconv.Itoa(i)
		if i >= fleetSize {
			p := onboarded(ctx, t, c, usp.EndpointID("ops::00D09E-IGD-"+serial))
			asDevice2(t, p, serial)
			if i == fleetSize { // one that boots takes its time
				p.reboots(t)
			}
			continue
		}
		p := onboarded(ctx, t, c, usp.EndpointID("ops::00D09E-PeerGateway-"+serial))
		p.has(t, get("Device.DeviceInfo."), "Device.DeviceInfo.SerialNumber = "+serial)
		p.sets(t, serial)
		p.same(t, add("Device.NAT.PortMapping."), "created Device.NAT.PortMapping.2.")
		p.same(t, remove("Device.NAT.PortMapping.2."), "deleted Device.NAT.PortMapping.2.")
	}
	for i := range fleetSize { // what was written to one is at no other
		serial := "FLEET" + strconv.Itoa(i)
		p := &peer{ctx: ctx, agent: c.Agent(usp.EndpointID("ops::00D09E-PeerGateway-" + serial))}
		p.same(t, get("Device.WiFi.SSID.1.SSID"), "Device.WiFi.SSID.1.SSID = "+serial)
		if i == 0 {
			p.reboots(t)
		}
	}
}

func startSimulaTR69(t *testing.T, acs, model, serial string) *transcript {
	t.Helper()
	program := findProgram(t, "simulatr69", "SIMULATR69", "SimulaTR69's server of September 2025")
	return launch(t, syscall.SIGKILL, t.TempDir(), "env", "ACS_URL="+acs, "API_HOST=127.0.0.1", "API_PORT=0", "CR_UDP=false", "SERIAL_NUMBER="+serial,
		"DATAMODEL_PATH="+absolute(t, model), "REBOOT_DELAY=1s", "UPGRADE_DELAY=1s", program)
}

// simulaTR69 drives SimulaTR69, which keeps to the rules but for M Reboot: of a reboot it says 1 BOOT alone (S9).
func simulaTR69(ctx context.Context, t *testing.T, c *controller.Controller, acs string) {
	out := startSimulaTR69(t, acs, gateway, "TR69")
	p := onboarded(ctx, t, c, "ops::00D09E-PeerGateway-TR69")
	p.reads(t, "TR69")
	p.sets(t, "renamed & <new>")
	p.addsAndDeletes(t)
	for !out.has("Received HTTP connection request") { // a session that is still open needs none
		p.same(t, get("Device.WiFi.Radio.1.Channel"), "Device.WiFi.Radio.1.Channel = 6")
	}
	p.reboots(t)
	p.downloads(t, false) // after which it boots, too
	p.same(t, get("Device.WiFi.SSID.1.SSID"), "Device.WiFi.SSID.1.SSID = renamed & <new>")
}

func simulaTR69TR098(ctx context.Context, t *testing.T, c *controller.Controller, acs string) {
	startSimulaTR69(t, acs, igd, "TR98")
	p := onboarded(ctx, t, c, "ops::00D09E-PeerIGD-TR98")
	p.gatewayTR098(t, "TR98")
	p.reboots(t)
	p.downloads(t, false) // after which it boots, too
	p.same(t, get("Device.WiFi.SSID.1.SSID"), "Device.WiFi.SSID.1.SSID = renamed & <new>")
}

func startGenieACSSim(t *testing.T, acs string, args ...string) *transcript {
	t.Helper()
	script := findProgram(t, "genieacs-sim", "GENIEACS_SIM", "genieacs-sim 0.9.0")
	return launch(t, syscall.SIGKILL, filepath.Dir(script), node(t), append([]string{script, "-u", acs}, args...)...)
}

// genieACSSim drives genieacs-sim 0.9. Every event of it is PERIODIC or a Connection Request (S10), which it lets in unasked (N1);
// its process crashes when a partial path (R8) or a name that it does not have is read.
func genieACSSim(ctx context.Context, t *testing.T, c *controller.Controller, acs string) {
	out := startGenieACSSim(t, acs, "-m", absolute(t, gateway), "-s", "181")
	p := onboarded(ctx, t, c, "ops::00D09E-PeerGateway-000181")
	p.reads(t, "000181")

	p.sets(t, "renamed & <new>")
	for !out.has("got connection request") { // a session that is still open needs none
		p.same(t, get("Device.WiFi.Radio.1.Channel"), "Device.WiFi.Radio.1.Channel = 6")
	}
	p.addsAndDeletes(t)
	p.downloads(t, true)

	// It knows no Reboot: fault 9000.
	p.refused(t, reboot(), usp.CommandFailure)
	if out.has("died") {
		t.Error("genieacs-sim was sent what kills it")
	}
}

// genieACSSimGateway drives genieacs-sim without a model of ours: it is a gateway of 1,002 paths then, dumped from a real one, whose new rows have
// the parameters of the first.
func genieACSSimGateway(ctx context.Context, t *testing.T, c *controller.Controller, acs string) {
	const rules = "Device.Firewall.X_HUAWEI_FireWall.FilterMode.2.IpFilter."
	out := startGenieACSSim(t, acs, "-s", "98")
	p := onboarded(ctx, t, c, "ops::202BC1-BM632w-000098")
	asDevice2(t, p, "000098")
	p.same(t, instances("Device.WiFi.SSID."), "Device.WiFi.SSID.1. BSSID=20:2B:C1:E0:06:67")
	p.sets(t, "renamed & <new>")
	before := p.do(t, instances(rules))
	created := p.do(t, add(rules, "Name", "peers", "DestPortStart", "8443"))
	if len(created) != 1 {
		t.Fatalf("%q", created)
	}
	row := strings.TrimPrefix(created[0], "created ")
	p.has(t, get(row), row+"Name = peers", row+"DestPortStart = 8443", row+"DestPortEnd = 0")
	p.same(t, remove(row), "deleted "+row)
	p.same(t, instances(rules), before...)
	p.refused(t, reboot(), usp.CommandFailure) // by a Connection Request; it knows none: fault 9000
	if out.has("died") {
		t.Error("genieacs-sim was sent what kills it")
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
