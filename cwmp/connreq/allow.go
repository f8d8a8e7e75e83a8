package connreq

import (
	"fmt"
	"net"
	"net/netip"
)

// check says whether an address may be called: a CPE must not make us call others, or ourselves.
func (c *Client) check(to netip.AddrPort, loopback bool) error {
	addr := to.Addr()
	if addr.IsUnspecified() || c.isOwn(to) {
		return fmt.Errorf("%w: %s is this proxy itself", ErrNotAllowed, to)
	}
	if len(c.Allow) > 0 {
		for _, p := range c.Allow {
			if p.Contains(addr.WithZone("")) {
				return nil
			}
		}
		return fmt.Errorf("%w: %s is in none of the allowed ranges", ErrNotAllowed, addr)
	}
	switch {
	case addr.IsMulticast():
		return fmt.Errorf("%w: %s is multicast", ErrNotAllowed, addr)
	case addr.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %s is link-local", ErrNotAllowed, addr)
	case addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%w: %s is broadcast", ErrNotAllowed, addr)
	case addr.IsLoopback() && !loopback:
		return fmt.Errorf("%w: %s is loopback and the CPE's Inform came from elsewhere", ErrNotAllowed, addr)
	}
	return nil
}

func (c *Client) isOwn(to netip.AddrPort) bool {
	for _, own := range c.Own {
		if own.Port() != to.Port() {
			continue
		}
		if own.Addr().Unmap() == to.Addr() || own.Addr().IsUnspecified() && isLocal(to.Addr()) {
			return true
		}
	}
	return false
}

// isLocal tells whether an address is this host's. If that cannot be found out it may be.
func isLocal(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	locals, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	for _, l := range locals {
		if p, err := netip.ParsePrefix(l.String()); err == nil && p.Addr().Unmap() == addr.WithZone("") {
			return true
		}
	}
	return false
}
