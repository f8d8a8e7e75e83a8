package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp/cpe"
	"isthmus/usp"
	"isthmus/usp/controller"
)

// TestStopWithCPEThatDoesNotAnswer holds us to the 6 s: an RPC is in flight that the CPE never answers, and a Controller waits for it.
func TestStopWithCPEThatDoesNotAnswer(t *testing.T) {
	const promised = 6 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	c := controller.New(ctx, controller.Options{EndpointID: demoController, Logger: log})
	defer c.Close(ctx)
	url, err := c.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i, err := start(ctx, demoConfig(filepath.Join(t.TempDir(), "data"), overWebSocket(url)), log)
	if err != nil {
		t.Fatal(err)
	}
	var deaf atomic.Bool
	asked, hold := make(chan struct{}), make(chan struct{})
	device := cpe.New(cpe.Config{ACS: "http://" + i.listeners.cwmp.Addr().String() + "/", DeviceID: demoID, Logger: log, Observe: func(x cpe.Exchange) {
		if x.RPC == "GetParameterValues" && deaf.Load() {
			close(asked)
			<-hold
		}
	}})
	power, off := context.WithCancel(ctx)
	down := make(chan error, 1)
	go func() { down <- device.Run(power) }()
	defer func() {
		close(hold)
		off()
		if err := <-down; err != nil {
			t.Error(err)
		}
	}()
	id, _, err := usp.AgentEndpointID(demoID.OUI, demoID.ProductClass, demoID.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	agent := c.Agent(id)
	if err := errors.Join(agent.WaitConnects(ctx, 1), device.WaitSessions(ctx, 1), device.WaitIdle(ctx)); err != nil {
		t.Fatal(err)
	}
	deaf.Store(true)
	answer := make(chan error, 1)
	go func() {
		r, err := agent.Get(ctx, 0, "Device.WiFi.Radio.1.Channel")
		if err == nil && len(r.GetReqPathResults()) == 1 && r.GetReqPathResults()[0].GetErrCode() != 0 {
			err = &usp.Error{Code: usp.ErrorCode(r.GetReqPathResults()[0].GetErrCode()), Msg: r.GetReqPathResults()[0].GetErrMsg()}
		}
		answer <- err
	}()
	<-asked
	begin := time.Now()
	if err := i.stop(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > promised {
		t.Errorf("stopping took %v", took)
	}
	if e := (*usp.Error)(nil); !errors.As(<-answer, &e) || e.Code < usp.Unreachable {
		t.Errorf("the waiting Get got %v, want a USP error of 7800 or above", e)
	}
}

func TestShareOut(t *testing.T) {
	for descriptors, want := range map[int]limits{
		1024:    {1024, 256, 128, 140},
		20_000:  {20_000, 5000, 2500, 12_000},
		262_144: {262_144, 20_000, 20_000, 221_644},
	} {
		if got := shareOut(descriptors); got != want {
			t.Errorf("%d descriptors: got %+v, want %+v", descriptors, got, want)
		}
	}
}

func TestDialerKeepsWithinItsShare(t *testing.T) {
	var l listeners
	if err := l.open(t.Context(), &config.Config{Admin: config.Admin{Listen: "127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	d := &dialer{}
	d.room.Store(1)
	first, err := d.dial(t.Context(), "tcp", l.admin.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.dial(t.Context(), "tcp", l.admin.Addr().String()); !errors.Is(err, errNoDescriptor) {
		t.Errorf("a second connection: %v, want errNoDescriptor", err)
	}
	for range 2 { // a place is given back once
		_ = first.Close()
	}
	if room := d.room.Load(); room != 1 {
		t.Errorf("%d places after closing, want 1", room)
	}
}
