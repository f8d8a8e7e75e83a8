package connreq

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Rules say which addresses may be called: a CPE must not make us call others, or ourselves.
type Rules struct {
	Allow []netip.Prefix   // addresses that may be called; empty: any but multicast, link-local and, mostly, loopback
	Own   []netip.AddrPort // our own listeners, never called; an unspecified address stands for all of this host's
}

const defaultPort = 80 // of HTTP, and of a UDPConnectionRequestAddress without a port

// resolve gives the addresses of host that may be called, at least one; loopback says that the CPE may be on this host. A host is
// resolved once, since a second look-up could tell another address than the one that was checked.
func (r *Rules) resolve(ctx context.Context, host, port string, loopback bool) ([]netip.AddrPort, error) {
	number := uint64(defaultPort)
	if port != "" {
		var err error
		if number, err = strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return nil, fmt.Errorf("%w: port %q", ErrNotAllowed, port)
		}
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var allowed []netip.AddrPort
	for _, a := range addrs {
		to := netip.AddrPortFrom(a.Unmap(), uint16(number))
		if checked := r.Check(to, loopback); checked != nil {
			err = checked
			continue
		}
		allowed = append(allowed, to)
	}
	switch {
	case len(allowed) > 0:
		return allowed, nil
	case err == nil:
		err = fmt.Errorf("%s has no address", host)
	}
	return nil, err
}

// Check says why an address must not be called: an error that is ErrNotAllowed. Where loopback is false an address of this host's loopback has to be
// in Allow.
func (r *Rules) Check(to netip.AddrPort, loopback bool) error {
	addr := to.Addr()
	if addr.IsUnspecified() || r.isOwn(to) {
		return fmt.Errorf("%w: %s is this proxy itself", ErrNotAllowed, to)
	}
	if len(r.Allow) > 0 {
		for _, p := range r.Allow {
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

func (r *Rules) isOwn(to netip.AddrPort) bool {
	for _, own := range r.Own {
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
