package cwmp

import (
	"iter"
	"net/http"
	"net/netip"
	"strings"
)

// source is where a POST comes from, and whether a trusted proxy has passed it on: then it is the last address in Forwarded (RFC 7239) or
// X-Forwarded-For that is no trusted proxy's. It is no address at all where that cannot be read, where the two headers differ, one of
// which the proxy may have passed on unseen, and where a proxy elsewhere says that it is loopback.
func source(r *http.Request, trusted []netip.Prefix) (from netip.AddrPort, proxied bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !covers(trusted, peer.Addr()) {
		return peer, false // a pipe has no address
	}
	from = origin(peer, forwarded(r.Header), trusted)
	if hops := forwardedFor(r.Header); hops != nil {
		if other := origin(peer, hops, trusted); len(r.Header["Forwarded"]) == 0 {
			from = other
		} else if other.Addr() != from.Addr() {
			return netip.AddrPort{}, true
		}
	}
	return from, true
}

// origin follows the hops back to the first address that is no proxy's.
func origin(peer netip.AddrPort, hops []string, trusted []netip.Prefix) netip.AddrPort {
	from := peer
	for i := len(hops) - 1; i >= 0 && covers(trusted, from.Addr()); i-- {
		hop, ok := parseHop(hops[i])
		if !ok || hop.Addr().IsLoopback() && !peer.Addr().Unmap().IsLoopback() {
			return netip.AddrPort{}
		}
		from = hop
	}
	return from
}

func covers(trusted []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// forwarded lists the addresses that proxies noted in Forwarded, the nearest proxy's last.
func forwarded(h http.Header) (hops []string) {
	for element := range elements(h["Forwarded"]) {
		for pair := range strings.SplitSeq(element, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.EqualFold(name, "for") {
				hops = append(hops, strings.Trim(value, `"`))
			}
		}
	}
	return hops
}

// forwardedFor lists those in X-Forwarded-For.
func forwardedFor(h http.Header) (hops []string) {
	for element := range elements(h["X-Forwarded-For"]) {
		hops = append(hops, strings.TrimSpace(element))
	}
	return hops
}

// elements are those of a list header, over all its lines.
func elements(lines []string) iter.Seq[string] {
	if len(lines) == 0 {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(strings.Join(lines, ","), ",")
}

// parseHop reads an address with or without a port, an IPv6 one in brackets or not.
func parseHop(s string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return netip.AddrPortFrom(a.Unmap(), 0), err == nil
}
