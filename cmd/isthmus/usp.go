package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"

	"isthmus/usp"
	"isthmus/usp/usppb"
)

// uspCmd sends one USP request: through the admin address of a running proxy, or as a Controller of its own.
type uspCmd struct {
	adminFlags  `embed:""`
	Agent       string        `required:"" placeholder:"ID" help:"Endpoint ID of the Agent."`
	Connect     string        `placeholder:"URL" help:"Reach the Agent at this WebSocket URL (ws, wss) or broker (mqtt, mqtts, stomp, stomps) instead, as a Controller of its own."`
	As          string        `placeholder:"ID" help:"With --connect: the Endpoint ID to take."`
	Topic       string        `placeholder:"NAME" help:"With --connect mqtt or stomp: where the Agent listens (usp/agent/{endpoint_id}, /queue/usp.agent.{endpoint_id})."`
	MQTTVersion string        `name:"mqtt-version" enum:"5.0,3.1.1" default:"5.0" help:"With --connect mqtt: 5.0 or 3.1.1 (${default})."`
	ReplyTopic  string        `placeholder:"NAME" help:"With --connect mqtt or stomp: where answers are to go (usp/controller/ID, /queue/usp.controller.ID)."`
	JSON        bool          `help:"Print the answer as JSON."`
	Timeout     time.Duration `default:"40s" help:"How long to wait for the answer (${default})."`
	Every       time.Duration `placeholder:"DURATION" help:"Ask again so often, until a request fails or a signal comes."`

	Get         uspGet         `cmd:"" help:"Read parameters and objects."`
	Set         uspSet         `cmd:"" help:"Write parameters."`
	Add         uspAdd         `cmd:"" help:"Create a row of a table."`
	Delete      uspDelete      `cmd:"" help:"Delete rows."`
	Operate     uspOperate     `cmd:"" help:"Run a command."`
	Instances   uspInstances   `cmd:"" help:"List the rows of tables."`
	SupportedDM uspSupportedDM `cmd:"" name:"supported-dm" help:"List what the data model supports."`
}

type uspGet struct {
	Paths    []string `arg:"" name:"path" help:"Parameter, object (ends in a dot), or search path."`
	MaxDepth uint32   `placeholder:"N" help:"How many levels of objects to read; 0 is all."`
}

func (c *uspGet) Run(a *app, u *uspCmd) error {
	return u.send(a, &usppb.Request{ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: c.Paths, MaxDepth: c.MaxDepth}}})
}

type uspSet struct {
	Values       []string `arg:"" name:"path=value" help:"Parameter and its new value."`
	AllowPartial bool     `help:"Write what can be written, even if other parameters fail."`
}

func (c *uspSet) Run(a *app, u *uspCmd) error {
	set := &usppb.Set{AllowPartial: c.AllowPartial}
	for _, v := range c.Values {
		path, value, ok := splitValue(v)
		object, name := splitPath(path)
		if !ok || object == "" || name == "" {
			return fmt.Errorf("%q: write PATH=VALUE, such as Device.WiFi.SSID.1.SSID=home: %w", v, errUse)
		}
		p := &usppb.Set_UpdateParamSetting{Param: name, Value: value, Required: !c.AllowPartial}
		if n := len(set.UpdateObjs); n > 0 && set.UpdateObjs[n-1].ObjPath == object {
			set.UpdateObjs[n-1].ParamSettings = append(set.UpdateObjs[n-1].ParamSettings, p)
			continue
		}
		set.UpdateObjs = append(set.UpdateObjs, &usppb.Set_UpdateObject{ObjPath: object, ParamSettings: []*usppb.Set_UpdateParamSetting{p}})
	}
	return u.send(a, &usppb.Request{ReqType: &usppb.Request_Set{Set: set}})
}

type uspAdd struct {
	Table        string   `arg:"" help:"Table, such as Device.NAT.PortMapping."`
	Values       []string `arg:"" optional:"" name:"name=value" help:"Parameters of the new row."`
	AllowPartial bool     `help:"Create the row even if a parameter fails."`
}

func (c *uspAdd) Run(a *app, u *uspCmd) error {
	row := &usppb.Add_CreateObject{ObjPath: c.Table}
	for _, v := range c.Values {
		name, value, ok := splitValue(v)
		if !ok || name == "" {
			return fmt.Errorf("%q: write NAME=VALUE: %w", v, errUse)
		}
		row.ParamSettings = append(row.ParamSettings, &usppb.Add_CreateParamSetting{Param: name, Value: value, Required: !c.AllowPartial})
	}
	return u.send(a, &usppb.Request{ReqType: &usppb.Request_Add{Add: &usppb.Add{AllowPartial: c.AllowPartial, CreateObjs: []*usppb.Add_CreateObject{row}}}})
}

type uspDelete struct {
	Paths        []string `arg:"" name:"path" help:"Row, such as Device.NAT.PortMapping.1."`
	AllowPartial bool     `help:"Delete what can be deleted."`
}

func (c *uspDelete) Run(a *app, u *uspCmd) error {
	return u.send(a, &usppb.Request{ReqType: &usppb.Request_Delete{Delete: &usppb.Delete{AllowPartial: c.AllowPartial, ObjPaths: c.Paths}}})
}

type uspOperate struct {
	Command    string   `arg:"" help:"Command, such as Device.Reboot()."`
	Args       []string `arg:"" optional:"" name:"name=value" help:"Input arguments."`
	CommandKey string   `placeholder:"KEY" help:"CommandKey; a random one if left out."`
}

func (c *uspOperate) Run(a *app, u *uspCmd) error {
	op := &usppb.Operate{Command: c.Command, CommandKey: c.CommandKey, SendResp: true, InputArgs: map[string]string{}}
	if op.CommandKey == "" {
		op.CommandKey = uuid.NewString()
	}
	for _, v := range c.Args {
		name, value, ok := splitValue(v)
		if !ok || name == "" {
			return fmt.Errorf("%q: write NAME=VALUE: %w", v, errUse)
		}
		op.InputArgs[name] = value
	}
	return u.send(a, &usppb.Request{ReqType: &usppb.Request_Operate{Operate: op}})
}

type uspInstances struct {
	Paths          []string `arg:"" name:"path" help:"Table or object."`
	FirstLevelOnly bool     `help:"Only the table's own rows, not those of tables below."`
}

func (c *uspInstances) Run(a *app, u *uspCmd) error {
	return u.send(a, &usppb.Request{ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: c.Paths, FirstLevelOnly: c.FirstLevelOnly}}})
}

type uspSupportedDM struct {
	Paths          []string `arg:"" optional:"" name:"path" default:"Device." help:"Object (${default})."`
	FirstLevelOnly bool     `help:"Only the object itself and the names of those right below."`
}

func (c *uspSupportedDM) Run(a *app, u *uspCmd) error {
	return u.send(a, &usppb.Request{ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: c.Paths,
		FirstLevelOnly: c.FirstLevelOnly, ReturnCommands: true, ReturnEvents: true, ReturnParams: true, ReturnUniqueKeySets: true}}})
}

// send gets a request answered and prints the answer. What failed at the Agent is an error.
func (u *uspCmd) send(a *app, req *usppb.Request) error {
	if (u.Connect == "") != (u.As == "") {
		return fmt.Errorf("--connect and --as belong together: %w", errUse)
	}
	err := u.once(a, req)
	for err == nil && u.Every > 0 {
		select {
		case <-a.ctx.Done():
			return nil
		case <-time.After(u.Every):
			err = u.once(a, req)
		}
	}
	return err
}

func (u *uspCmd) once(a *app, req *usppb.Request) error {
	msg := usp.NewRequest(uuid.NewString(), req)
	ctx, cancel := context.WithTimeout(a.ctx, u.Timeout)
	defer cancel()
	resp, err := u.exchange(ctx, msg)
	if err != nil {
		return err
	}
	if e := resp.GetBody().GetError(); e != nil {
		return agentError(e)
	}
	failed := results(resp.GetBody().GetResponse())
	if !u.JSON {
		return failed.print(a.stdout)
	}
	text, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true, EmitUnpopulated: true}.Marshal(resp)
	if err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	fmt.Fprintln(a.stdout, string(text))
	return failed.err()
}

func (u *uspCmd) exchange(ctx context.Context, msg *usppb.Msg) (*usppb.Msg, error) {
	if u.Connect != "" {
		return u.dial(ctx, msg)
	}
	return u.do(ctx, u.Agent, msg)
}

// splitValue cuts at the first "=" that is in no search expression.
func splitValue(s string) (path, value string, ok bool) {
	depth, quoted := 0, false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted && depth > 0
		case '[':
			depth++
		case ']':
			if !quoted {
				depth--
			}
		case '=':
			if depth <= 0 {
				return s[:i], s[i+1:], true
			}
		}
	}
	return s, "", false
}

// splitPath cuts a parameter's path after its object.
func splitPath(path string) (object, name string) {
	// A name has no brackets, so the last dot behind any search expression ends the object.
	i := strings.LastIndexByte(path, '.')
	return path[:i+1], path[i+1:]
}
