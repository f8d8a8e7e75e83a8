//go:build unix

package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"isthmus/cmd/isthmus/config"
	"isthmus/usp"
	"isthmus/usp/mtp/mqtt/client"
	"isthmus/usp/usppb"
)

// oktopusInfo is the request by which Oktopus's adapter registers an Agent.
func oktopusInfo() *usppb.Msg {
	return usp.NewRequest("info", getOf("Device.DeviceInfo.Manufacturer", "Device.DeviceInfo.ModelName", "Device.DeviceInfo.SoftwareVersion",
		"Device.DeviceInfo.SerialNumber", "Device.DeviceInfo.ProductClass"))
}

// register reads a Record as Oktopus's adapter does (July 2025), with the same assumptions.
func (c *canary) register(r *usppb.Record) {
	m := &usppb.Msg{}
	if err := proto.Unmarshal(r.GetNoSessionContext().Payload, m); err != nil {
		panic(err)
	}
	results := m.Body.MsgBody.(*usppb.Body_Response).Response.GetGetResp().ReqPathResults
	_ = results[0].ResolvedPathResults[0].ResultParams["Manufacturer"]
	_ = results[1].ResolvedPathResults[0].ResultParams["ModelName"]
	_ = results[2].ResolvedPathResults[0].ResultParams["SoftwareVersion"]
	_ = results[4].ResolvedPathResults[0].ResultParams["ProductClass"]
	c.saw("registration")
}

// oktopusWS is Oktopus behind WebSocket: the first Record without a session context after a connection is the answer to its Get, and any later one
// that of a request that waits.
func oktopusWS(t *testing.T, id usp.EndpointID) (c *canary, url string) {
	t.Helper()
	c = newCanary(id)
	registered := false // of the latest connection
	url = c.serveWebSocket(t, func() {
		c.mu.Lock()
		registered = false
		send := c.send
		c.mu.Unlock()
		_ = send(c.agent, oktopusInfo()) // a connection that is gone again registers nobody
	}, func(r *usppb.Record) {
		n := r.GetNoSessionContext()
		if n == nil {
			c.saw("connect Record")
			return
		}
		c.mu.Lock()
		first := !registered
		registered = true
		c.mu.Unlock()
		if first {
			c.register(r)
			return
		}
		m := &usppb.Msg{}
		if err := proto.Unmarshal(n.Payload, m); err != nil {
			panic(err)
		}
		if notify := m.GetBody().GetRequest().GetNotify(); notify != nil {
			c.saw("Notify " + notify.GetEvent().GetEventName())
		}
		c.answered(m)
	})
	return c, url + "/ws/agent"
}

// TestCanaryOktopusWS: an Agent that is met, notifies, boots and reconnects leaves Oktopus alive, and is of use to it, with the profile; and ends it
// without.
func TestCanaryOktopusWS(t *testing.T) {
	c, url := oktopusWS(t, oktopusName)
	device := c.before(t, config.Controller{Profile: "oktopus-ws", CycleOnBoot: true, WebSocket: &config.WebSocket{URL: url}}, nil)
	c.wait(t, "registration", 1)
	c.wait(t, "Notify ", 1) // the OnBoardRequest, when it can do no harm
	c.bootsWanted(t)
	const boots = 3
	for n := range boots {
		device.Inform("1 BOOT") // and the Agent connects anew
		if !c.wait(t, "registration", n+2) || !c.wait(t, "Notify Boot!", n+1) {
			break
		}
		if got := c.ask(t, getOf("Device.DeviceInfo.SerialNumber")).GetBody().GetResponse().GetGetResp().GetReqPathResults(); len(got) != 1 || got[0].GetErrCode() != 0 {
			t.Errorf("Get: %v", got)
		}
	}
	c.alive(t)
	if c.seen["connect Record"] > 0 || c.seen["Notify Boot!"] != boots {
		t.Errorf("got %v", c.seen)
	}
}

func TestCanaryOktopusWSEndsWithoutProfile(t *testing.T) {
	c, url := oktopusWS(t, oktopusID)
	c.before(t, config.Controller{Profile: "strict", WebSocket: &config.WebSocket{URL: url}}, func(cfg *config.Config) {
		cfg.USP.Roles = map[string][]config.Permission{"narrow": narrow}
		cfg.USP.Controllers[0].Role = "narrow"
	})
	if c.wait(t, "no end", 1) {
		t.Error("the canary is alive: it shows nothing")
	}
}

// narrow has no right to what Oktopus asks for first.
var narrow = []config.Permission{{Order: 1, Targets: []string{"Device.LocalAgent."}, Param: "r--n", Obj: "r--n", InstantiatedObj: "r--n", CommandEvent: "r--n"}}

// oktopusMQTT is Oktopus behind a broker: what comes at the Agent's own topic below its own is the answer to its Get, what comes at its own topic it
// does not read.
func oktopusMQTT(t *testing.T, id usp.EndpointID) (c *canary, addr string) {
	t.Helper()
	addr, end, err := demoBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end() })
	c = newCanary(id)
	const own = "oktopus/usp/v1/"
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	down := make(chan struct{})
	wheel := client.NewWheel()
	conn, _, err := client.Connect(t.Context(), nc, client.Options{ClientID: "oktopus", CleanStart: true, Wheel: wheel, Down: func(error) { close(down) },
		Handle: func(p *client.Publish) {
			c.on(func() {
				r := &usppb.Record{}
				if err := proto.Unmarshal(p.Payload, r); err != nil {
					panic(err)
				}
				switch {
				case strings.HasPrefix(p.Topic, own+"controller/"):
					c.register(r)
				case strings.HasPrefix(p.Topic, own+"api/"):
					m := &usppb.Msg{}
					if err := proto.Unmarshal(r.GetNoSessionContext().Payload, m); err != nil {
						panic(err)
					}
					c.answered(m)
				default:
					c.saw("unread")
				}
			})
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Abort()
		<-down
		wheel.Close()
	})
	if _, err := conn.Subscribe(t.Context(), []client.Subscription{{Filter: own + "controller/#", QoS: 1}, {Filter: own + "controller", QoS: 1},
		{Filter: own + "api/#", QoS: 1}}); err != nil {
		t.Fatal(err)
	}
	c.send = func(to usp.EndpointID, m *usppb.Msg) error {
		b, err := usp.EncodeRecord(c.id, to, "1.0", m)
		if err != nil {
			return err
		}
		reply := own + "api/" + string(to)
		if m.GetHeader().GetMsgId() == "info" {
			reply = own + "controller/" + string(to)
		}
		return conn.Publish(t.Context(), &client.Publish{Topic: own + "agent/" + string(to), ResponseTopic: reply, Payload: b})
	}
	return c, addr
}

func oktopusEntry(profile, addr string) config.Controller {
	return config.Controller{Profile: profile, MQTT: &config.MQTT{Broker: "mqtt://" + addr, Version: "5", Connection: "per_agent",
		AgentTopic: "oktopus/usp/v1/agent/{endpoint_id}", ControllerTopic: "oktopus/usp/v1/controller"}}
}

// registers asks until the Agent is there; Oktopus's own broker would tell when. It says no if that has ended the Controller.
func (c *canary) registers(t *testing.T) bool {
	t.Helper()
	for range int(canaryTime / (100 * time.Millisecond)) {
		if err := c.send(c.agent, oktopusInfo()); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		grown := c.grown
		done, dead := c.seen["registration"] > 0, c.dead != ""
		c.mu.Unlock()
		if done || dead {
			return !dead
		}
		select {
		case <-grown:
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("the Agent does not answer")
	return false
}

// TestCanaryOktopusMQTT: answers go where each request wants them, notifications where nobody reads, and a Get that finds nothing ends nobody.
func TestCanaryOktopusMQTT(t *testing.T) {
	for profile, id := range map[string]usp.EndpointID{"oktopus-mqtt": oktopusName, "strict": oktopusID} {
		t.Run(profile, func(t *testing.T) {
			c, addr := oktopusMQTT(t, id)
			device := c.before(t, oktopusEntry(profile, addr), func(cfg *config.Config) {
				cfg.USP.Roles = map[string][]config.Permission{"narrow": narrow}
				cfg.USP.Controllers[0].Role = "narrow"
			})
			alive := c.registers(t)
			if profile == "strict" {
				if alive {
					t.Error("the canary is alive: it shows nothing")
				}
				return
			}
			for range 3 {
				device.Inform("1 BOOT")
				if err := device.WaitIdle(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			c.wait(t, "unread", 1) // the OnBoardRequest
			c.registers(t)
			m := c.ask(t, getOf("Device.LocalAgent.EndpointID", "Device.DeviceInfo.Nothing"))
			if res := m.GetBody().GetResponse().GetGetResp().GetReqPathResults(); len(res) != 2 || res[0].GetErrCode() != 0 || res[1].GetErrCode() == 0 {
				t.Errorf("Get: %v", m)
			}
			c.alive(t)
		})
	}
}
