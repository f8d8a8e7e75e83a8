package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
	"isthmus/usp/usppb"
)

type demoCmd struct {
	MTP string `name:"mtp" enum:"websocket,mqtt,stomp" default:"websocket" help:"What carries USP: websocket, mqtt or stomp, these with a broker in this process (${default})."`
}

const (
	demoTime   = 28 * time.Second // of it all, ending included
	demoStop   = 6 * time.Second
	demoLinger = 300 * time.Millisecond

	demoController = "proto::demo-controller"
	ssid           = "Device.WiFi.SSID.1.SSID"
	portMapping    = "Device.NAT.PortMapping."
	subscription   = "Device.LocalAgent.Subscription."
)

var demoID = cwmp.DeviceID{Manufacturer: "Example", OUI: "00D09E", ProductClass: "Gateway", SerialNumber: "DEMO1"}

const demoIntro = `A TR-069 CPE, isthmus and a USP Controller, all in this process, on loopback.

   CPE  <--- CWMP: SOAP over HTTP --->  isthmus  <--- USP: protobuf over %s --->  Controller

The CPE believes that isthmus is its ACS. The Controller believes that the CPE speaks USP: isthmus plays its Agent.
On the left is every message between CPE and isthmus, on the right every one between isthmus and Controller.`

func (c *demoCmd) Run(a *app) error {
	begin := time.Now()
	ctx, stop := signal.NotifyContext(a.ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, demoTime-demoStop)
	defer cancel()
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d := &demo{mtp: c.MTP, out: &sideBySide{w: a.stdout}}
	err := d.run(ctx, context.WithoutCancel(a.ctx), log)
	if err != nil {
		d.out.say("\nFAILED: " + err.Error())
		return fmt.Errorf("the demo failed in step %d: %w", d.step, err)
	}
	d.out.say(fmt.Sprintf("\nAll %d steps worked, in %.1f s. Next: isthmus serve, and point a CPE at http://<this machine>:7547/.", d.step, time.Since(begin).Seconds()))
	return nil
}

// demo is the cast of the demonstration.
type demo struct {
	mtp   string
	out   *sideBySide
	step  int
	cpe   *cpe.CPE
	agent *controller.Agent
}

// run sets the stage, plays, and clears it. life is the context of what must end in order, after ctx.
func (d *demo) run(ctx, life context.Context, log *slog.Logger) (err error) {
	dir, err := os.MkdirTemp("", "isthmus-demo-")
	if err != nil {
		return fmt.Errorf("a directory for the store: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	var reach demoReach
	defer func() { err = errors.Join(err, reach.close()) }() // after the Controller
	c := controller.New(life, controller.Options{EndpointID: demoController, Observe: d.out.usp, Logger: log})
	defer func() {
		end, cancel := context.WithTimeout(life, closeTimeout)
		defer cancel()
		c.Close(end)
	}()
	if err := reach.listen(ctx, d.mtp, c); err != nil {
		return err
	}
	i, err := start(life, demoConfig(filepath.Join(dir, "data"), reach.entry), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.stop(life)) }()

	id, _, err := usp.AgentEndpointID(demoID.OUI, demoID.ProductClass, demoID.SerialNumber)
	if err != nil {
		return err
	}
	d.agent = c.Agent(id)
	d.cpe = cpe.New(cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: demoID, Logger: log, Observe: d.out.cwmp})
	power, off := context.WithCancel(life)
	down := make(chan error, 1)
	d.out.say(fmt.Sprintf(demoIntro, reach.over))
	d.begin(fmt.Sprintf("The CPE is switched on for the first time and informs its ACS. isthmus makes the Agent %s for it, which connects to the "+
		"Controller and introduces itself with an OnBoardRequest. Meanwhile isthmus reads the CPE's data model.", id))
	go func() { down <- d.cpe.Run(power) }()
	defer func() {
		off()
		err = errors.Join(err, <-down)
		d.out.mute()
	}()
	return d.play(ctx)
}

func demoConfig(dir string, controller config.Controller) *config.Config {
	c := config.Default()
	c.DataDir = dir
	c.CWMP.Listen, c.USP.WebSocketServer.Listen, c.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	c.CWMP.Session.Linger = config.Duration(demoLinger)
	c.USP.Controllers = []config.Controller{controller}
	c.Cache.Rules = []config.Rule{{Path: "Device.WiFi.Radio."}}
	return c
}

// begin announces a step.
func (d *demo) begin(text string) {
	d.step++
	d.out.say(fmt.Sprintf("\n%d. %s", d.step, text))
}

// rest ends a step: what it set off at the CPE is over.
func (d *demo) rest(ctx context.Context, result string) error {
	if err := d.cpe.WaitIdle(ctx); err != nil {
		return fmt.Errorf("waiting for the CPE to come to rest: %w", err)
	}
	d.out.result(result)
	return nil
}

func (d *demo) play(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.onboard, d.getCached, d.getLive, d.set, d.add, d.remove, d.valueChange, d.reboot} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) onboard(ctx context.Context) error {
	if err := d.agent.WaitConnects(ctx, 1); err != nil {
		return err
	}
	n, err := d.agent.WaitNotify(ctx, func(n *usppb.Notify) bool { return n.GetOnBoardReq() != nil })
	if err != nil {
		return err
	}
	// This waits until the whole data model is known.
	if _, err := d.agent.GetSupportedDM(ctx, &usppb.GetSupportedDM{ObjPaths: []string{"Device."}, FirstLevelOnly: true}); err != nil {
		return err
	}
	return d.rest(ctx, "The Controller has a new Agent, of the CPE with serial number "+n.GetOnBoardReq().GetSerialNumber()+".")
}

// value reads one parameter.
func (d *demo) value(ctx context.Context, path string) (string, error) {
	r, err := d.agent.Get(ctx, 0, path)
	if err != nil {
		return "", err
	}
	for _, q := range r.GetReqPathResults() {
		if q.GetErrCode() != 0 {
			return "", fmt.Errorf("get %s: %d %s", path, q.GetErrCode(), q.GetErrMsg())
		}
		for _, o := range q.GetResolvedPathResults() {
			for name, v := range o.GetResultParams() {
				if o.GetResolvedPath()+name == path {
					return v, nil
				}
			}
		}
	}
	return "", fmt.Errorf("get %s: no value", path)
}

func (d *demo) getCached(ctx context.Context) error {
	const path = "Device.DeviceInfo.SerialNumber"
	d.begin("Get: the Controller asks for a value that isthmus has just read, so the CPE is not asked.")
	v, err := d.value(ctx, path)
	if err != nil {
		return err
	}
	if v != demoID.SerialNumber {
		return fmt.Errorf("%s is %q, the CPE's is %q", path, v, demoID.SerialNumber)
	}
	return d.rest(ctx, "The serial number is "+v+".")
}

func (d *demo) getLive(ctx context.Context) error {
	const path = "Device.WiFi.Radio.1.Channel"
	d.begin("Get: this value must be fresh (a rule in cache.rules says so), so isthmus asks the CPE to come: a Connection Request, " +
		"which the CPE answers with an Inform.")
	v, err := d.value(ctx, path)
	if err != nil {
		return err
	}
	if have := d.cpe.Value(path); v != have {
		return fmt.Errorf("%s is %q, the CPE's is %q", path, v, have)
	}
	return d.rest(ctx, "The radio is on channel "+v+".")
}

func (d *demo) set(ctx context.Context) error {
	const name = "isthmus demo"
	d.begin("Set: the Controller changes the name of the wireless network.")
	r, err := d.agent.Set(ctx, &usppb.Set{UpdateObjs: []*usppb.Set_UpdateObject{{ObjPath: "Device.WiFi.SSID.1.",
		ParamSettings: []*usppb.Set_UpdateParamSetting{{Param: "SSID", Value: name, Required: true}}}}})
	if err == nil {
		err = results(&usppb.Response{RespType: &usppb.Response_SetResp{SetResp: r}}).err()
	}
	if err != nil {
		return err
	}
	if have := d.cpe.Value(ssid); have != name {
		return fmt.Errorf("the CPE's %s is %q, want %q", ssid, have, name)
	}
	return d.rest(ctx, "The CPE now has "+ssid+" = "+name+".")
}

// create adds one row and gives its path.
func (d *demo) create(ctx context.Context, table string, params ...string) (string, error) {
	row := &usppb.Add_CreateObject{ObjPath: table}
	for i := 0; i+1 < len(params); i += 2 {
		row.ParamSettings = append(row.ParamSettings, &usppb.Add_CreateParamSetting{Param: params[i], Value: params[i+1], Required: true})
	}
	r, err := d.agent.Add(ctx, &usppb.Add{CreateObjs: []*usppb.Add_CreateObject{row}})
	if err == nil {
		err = results(&usppb.Response{RespType: &usppb.Response_AddResp{AddResp: r}}).err()
	}
	if err != nil {
		return "", err
	}
	if n := len(r.GetCreatedObjResults()); n != 1 {
		return "", fmt.Errorf("add %s: %d results", table, n)
	}
	return r.GetCreatedObjResults()[0].GetOperStatus().GetOperSuccess().GetInstantiatedPath(), nil
}

func (d *demo) add(ctx context.Context) error {
	d.begin("Add: the Controller makes a port mapping. In CWMP that is two requests: AddObject, then SetParameterValues.")
	path, err := d.create(ctx, portMapping, "ExternalPort", "8443", "InternalPort", "443", "Protocol", "TCP", "InternalClient", "192.168.1.20", "Enable", "true")
	if err != nil {
		return err
	}
	if !d.cpe.Exists(path) {
		return fmt.Errorf("the CPE has no %s", path)
	}
	return d.rest(ctx, "The CPE now has "+path)
}

func (d *demo) remove(ctx context.Context) error {
	d.begin("Delete: the Controller deletes the port mapping, found by a search for its port.")
	r, err := d.agent.Delete(ctx, &usppb.Delete{ObjPaths: []string{portMapping + "[ExternalPort==8443]."}})
	if err == nil {
		err = results(&usppb.Response{RespType: &usppb.Response_DeleteResp{DeleteResp: r}}).err()
	}
	if err != nil {
		return err
	}
	var gone []string
	for _, o := range r.GetDeletedObjResults() {
		gone = append(gone, o.GetOperStatus().GetOperSuccess().GetAffectedPaths()...)
	}
	if len(gone) != 1 || d.cpe.Exists(gone[0]) {
		return fmt.Errorf("delete: affected %q", gone)
	}
	return d.rest(ctx, "The CPE no longer has "+gone[0])
}

func (d *demo) valueChange(ctx context.Context) error {
	const name = "changed at the CPE"
	d.begin("Subscribe: the Controller wants to know when the network's name changes. isthmus has the CPE report that by setting a notification attribute.")
	if _, err := d.create(ctx, subscription, "ID", "name", "Enable", "true", "NotifType", "ValueChange", "ReferenceList", ssid, "Persistent", "true"); err != nil {
		return err
	}
	if _, err := d.cpe.WaitCall(ctx, "SetParameterAttributes", 1); err != nil {
		return fmt.Errorf("waiting for the notification attribute: %w", err)
	}
	if err := d.rest(ctx, "The subscription stands; it is persistent: a reboot does not end it."); err != nil {
		return err
	}
	d.begin("ValueChange: somebody changes the name at the CPE itself. The CPE informs isthmus, the Agent notifies the Controller.")
	if err := d.cpe.SetValue(ssid, name); err != nil {
		return err
	}
	n, err := d.agent.WaitNotify(ctx, func(n *usppb.Notify) bool {
		return n.GetValueChange() != nil && n.GetValueChange().GetParamValue() == name
	})
	if err != nil {
		return err
	}
	return d.rest(ctx, "The Controller knows: "+n.GetValueChange().GetParamPath()+" = "+n.GetValueChange().GetParamValue()+".")
}

func (d *demo) reboot(ctx context.Context) error {
	const key = "demo-reboot"
	d.begin("Operate: the Controller subscribes to Boot! and reboots the CPE. What the CPE says after its boot becomes the event Boot!.")
	if _, err := d.create(ctx, subscription, "ID", "boot", "Enable", "true", "NotifType", "Event", "ReferenceList", "Device.Boot!", "Persistent", "true"); err != nil {
		return err
	}
	r, err := d.agent.Operate(ctx, &usppb.Operate{Command: "Device.Reboot()", CommandKey: key, SendResp: true})
	if err == nil {
		err = results(&usppb.Response{RespType: &usppb.Response_OperateResp{OperateResp: r}}).err()
	}
	if err != nil {
		return err
	}
	n, err := d.agent.WaitNotify(ctx, func(n *usppb.Notify) bool { return n.GetEvent().GetEventName() == "Boot!" })
	if err != nil {
		return err
	}
	if got := n.GetEvent().GetParams()["CommandKey"]; got != key {
		return fmt.Errorf("the event Boot! has CommandKey %q, want %q", got, key)
	}
	return d.rest(ctx, "The CPE has booted, Cause "+strings.TrimSpace(n.GetEvent().GetParams()["Cause"])+".")
}
