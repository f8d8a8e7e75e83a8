package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
)

const (
	// ephemeralPorts is how many connections one local address can have to one Controller or broker with Linux's default port range.
	ephemeralPorts = 28_000
	// houseDescriptors are for the store, the listeners and the admin address.
	houseDescriptors = 500
	// maxCWMP is the most sessions that descriptors are set aside for.
	maxCWMP = 20_000
	// noLimit stands for a descriptor limit that cannot be read.
	noLimit = 1 << 30
)

// limits shares out the process's descriptors. What the Agents' connections may use is bounded, so that CPE can always come in.
type limits struct {
	descriptors int
	cwmp        int // sessions
	dialIn      int // connections of Controllers
	agents      int // connections of Agents to Controllers
}

func shareOut(descriptors int) limits {
	l := limits{descriptors: descriptors, cwmp: min(descriptors/4, maxCWMP), dialIn: min(descriptors/8, maxCWMP)}
	l.agents = max(descriptors-l.cwmp-l.dialIn-houseDescriptors, 1)
	return l
}

// descriptorLimit is the limit of open files; Go raises the soft limit to the hard one at start.
func descriptorLimit() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || r.Cur > noLimit {
		return noLimit
	}
	return int(r.Cur)
}

// tell logs which limit will bite first: how many CPE can have connected Agents, given how many connections each Agent has, each with another address.
func (l limits) tell(log *slog.Logger, devices, connections, sources int) {
	if connections == 0 {
		return
	}
	byDescriptors, byPorts := l.agents/connections, ephemeralPorts*max(sources, 1)
	bites, agents, remedy := "descriptors", byDescriptors, "raise the limit of open files (LimitNOFILE, ulimit -n)"
	if byPorts < byDescriptors {
		bites, agents, remedy = "local ports", byPorts, "list more addresses in usp.source_addresses"
	}
	level := slog.LevelInfo
	if devices > agents {
		level = slog.LevelWarn
	}
	log.Log(context.Background(), level, "the limit that will bite first", "limit", bites, "connected_agents", agents, "known_devices", devices,
		"open_files", l.descriptors, "kept_for_cwmp", l.cwmp, "remedy", remedy)
}

var errNoDescriptor = errors.New("the descriptors set aside for the Agents' connections are used up: raise the limit of open files")

// dialer opens the Agents' connections within their share of the descriptors, from the source addresses in turn.
type dialer struct {
	room    atomic.Int64
	turn    atomic.Uint64
	sources []netip.Addr
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return d.dialWith(ctx, net.Dialer{}, network, addr)
}

// guarded dials where guard has nothing against the address that a name has turned out to be.
type guarded struct {
	*dialer
	guard func(netip.AddrPort) error
}

func (g *guarded) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return g.dialWith(ctx, net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%s is no address: %w", address, err)
		}
		return g.guard(netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	}}, network, addr)
}

func (d *dialer) dialWith(ctx context.Context, nd net.Dialer, network, addr string) (net.Conn, error) {
	if d.room.Add(-1) < 0 {
		d.room.Add(1)
		return nil, errNoDescriptor
	}
	if n := uint64(len(d.sources)); n > 0 {
		nd.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(d.sources[d.turn.Add(1)%n], 0))
	}
	conn, err := nd.DialContext(ctx, network, addr)
	if err != nil {
		d.room.Add(1)
		return nil, err
	}
	return &counted{TCPConn: conn.(*net.TCPConn), d: d}, nil
}

// counted gives its place back once it is closed.
type counted struct {
	*net.TCPConn
	d      *dialer
	closed atomic.Bool
}

func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.d.room.Add(1)
	}
	return c.TCPConn.Close()
}
