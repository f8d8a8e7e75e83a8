//go:build unix

package main

import (
	"strings"
	"testing"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp"
	"isthmus/usp/usppb"
)

// split takes a ParameterMap apart as OpenUSP does (April 2024), with the same assumption.
func split(s string) map[string]string {
	m := map[string]string{}
	for _, pair := range strings.Split(strings.ReplaceAll(strings.Trim(s, "{}"), `"`, ""), ",") {
		t := strings.Split(pair, ":")
		m[t[0]] = t[1]
	}
	return m
}

// openUSP reads the whole Agent whenever it connects or boots, and answers every other notification.
func openUSP(t *testing.T) (c *canary, url string) {
	t.Helper()
	c = newCanary("self::openusp-controller")
	inits := func() {
		c.mu.Lock()
		send := c.send
		c.mu.Unlock()
		for id, req := range map[string]*usppb.Request{
			"AGENT_REINIT_GET_DM_0":        {ReqType: &usppb.Request_GetSupportedDm{GetSupportedDm: &usppb.GetSupportedDM{ObjPaths: []string{"Device."}, ReturnCommands: true, ReturnEvents: true, ReturnParams: true}}},
			"AGENT_REINIT_GET_INSTANCES_0": {ReqType: &usppb.Request_GetInstances{GetInstances: &usppb.GetInstances{ObjPaths: []string{"Device."}}}},
			"AGENT_REINIT_GET_0":           {ReqType: &usppb.Request_Get{Get: &usppb.Get{ParamPaths: []string{"Device."}}}},
		} {
			_ = send(c.agent, usp.NewRequest(id, req)) // a connection that is gone again is one more Connect Record
		}
	}
	url = c.serveWebSocket(t, func() {}, func(r *usppb.Record) {
		if r.GetWebsocketConnect() != nil {
			c.saw("connect Record")
			inits()
		}
		if r.GetNoSessionContext() == nil {
			return
		}
		m, err := usp.DecodeMsg(r.GetNoSessionContext().GetPayload())
		if err != nil {
			panic(err)
		}
		n := m.GetBody().GetRequest().GetNotify()
		switch {
		case n.GetEvent().GetEventName() == "Boot!":
			split(n.GetEvent().GetParams()["ParameterMap"])
			c.saw("Boot!")
			inits()
		case n != nil:
			c.saw("Notify")
			resp := &usppb.Response{RespType: &usppb.Response_NotifyResp{NotifyResp: &usppb.NotifyResp{SubscriptionId: n.GetSubscriptionId()}}}
			_ = c.send(c.agent, usp.NewResponse(m.GetHeader().GetMsgId(), resp))
		case strings.HasPrefix(m.GetHeader().GetMsgId(), "AGENT_REINIT"):
			if m.GetBody().GetError() != nil {
				panic(m)
			}
			c.saw("read")
		default:
			c.answered(m)
		}
	})
	return c, url + "/usp"
}

// TestCanaryOpenUSP: boots, whose parameters have anything in them, leave OpenUSP alive with the profile, and end it without; what it sends over the
// wrong connection is not answered.
func TestCanaryOpenUSP(t *testing.T) {
	for _, profile := range []string{"openusp", "strict"} {
		t.Run(profile, func(t *testing.T) {
			c, url := openUSP(t)
			device := c.before(t, config.Controller{Profile: profile, CycleOnBoot: true, WebSocket: &config.WebSocket{URL: url}}, nil)
			c.wait(t, "read", 3)
			c.wait(t, "Notify", 1) // OnBoardRequest
			c.bootsWanted(t)
			if err := c.send("os::other-agent", usp.NewRequest("stray", getOf("Device.LocalAgent."))); err != nil {
				t.Fatal(err)
			}
			alive := true
			for n := range 3 {
				device.Inform("1 BOOT")
				if alive = c.wait(t, "Boot!", n+1) && c.wait(t, "connect Record", n+2); !alive {
					break
				}
				if err := device.WaitIdle(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n == 0 { // from now on it has more in it
					if err := device.SetValue("Device.WiFi.SSID.1.SSID", `a, b: "c"{}`); err != nil {
						t.Fatal(err)
					}
					table := c.ask(t, getOf(`Device.LocalAgent.Controller.[EndpointID=="`+string(c.id)+`"].EndpointID`)).GetBody().GetResponse().GetGetResp().GetReqPathResults()
					row := table[0].GetResolvedPathResults()[0].GetResolvedPath()
					c.ask(t, addOf(row+"BootParameter.", "ParameterName", "Device.WiFi.SSID.1.SSID", "Enable", "true"))
				}
			}
			if profile == "strict" {
				if alive {
					t.Error("the canary is alive: it shows nothing")
				}
				return
			}
			c.alive(t)
		})
	}
}
