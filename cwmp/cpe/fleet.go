package cpe

import (
	"context"
	"fmt"
	"time"
)

// FleetConfig describes many CPE that differ in their serial number only.
type FleetConfig struct {
	Config
	Count        int
	Rate         float64 // CPE switched on per second; 0: all at once
	SerialFormat string  // of fmt, for the number of the CPE from 1 on; "": "%06d"
}

const defaultSerialFormat = "%06d"

// RunFleet runs Count CPE behind one Connection Request listener until ctx ends. A CPE at rest costs what differs from the tree that
// all share, and no goroutine. Sessions that ctx cuts off are among the Stats.
func RunFleet(ctx context.Context, cfg FleetConfig) (Stats, error) {
	if cfg.Listener == nil {
		l, err := Listen("127.0.0.1:0")
		if err != nil {
			return Stats{}, err
		}
		defer l.Close()
		cfg.Listener = l
	}
	var stats collector
	err := cfg.run(ctx, &stats)
	return stats.stats(), err
}

// run is RunFleet with a listener. All sessions have ended when it returns.
func (cfg *FleetConfig) run(ctx context.Context, stats *collector) error {
	stops := make([]func(), 0, cfg.Count)
	defer func() {
		for _, stop := range stops {
			stop()
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before the stops, which wait for what it ends
	begin := time.Now()
	for i := range cfg.Count {
		if !pause(ctx, begin, i, cfg.Rate) {
			return nil
		}
		stop, err := cfg.member(i+1, stats).start(ctx)
		if err != nil {
			return fmt.Errorf("CPE %d of the fleet: %w", i+1, err)
		}
		stops = append(stops, stop)
	}
	<-ctx.Done()
	return nil
}

// member is the n-th CPE.
func (cfg *FleetConfig) member(n int, stats *collector) *CPE {
	c := cfg.Config
	if c.Tree == nil {
		c.Tree = Device2()
	}
	if c.DeviceID.OUI == "" {
		c.DeviceID = c.Tree.DeviceID
	}
	if c.DeviceID.OUI == "" {
		c.DeviceID = exampleID
	}
	c.DeviceID.SerialNumber = serial(cfg.SerialFormat, n)
	cpe := New(c)
	cpe.stats = stats
	return cpe
}

func serial(format string, n int) string {
	if format == "" {
		format = defaultSerialFormat
	}
	return fmt.Sprintf(format, n)
}

// pause waits until it is the turn of number i at rate per second; false if ctx ended first.
func pause(ctx context.Context, begin time.Time, i int, rate float64) bool {
	if rate <= 0 {
		return ctx.Err() == nil
	}
	wait := time.Until(begin.Add(time.Duration(float64(i) / rate * float64(time.Second))))
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
