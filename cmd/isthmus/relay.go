package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"isthmus/cmd/isthmus/config"
	"isthmus/cwmp/connreq"
	filerelay "isthmus/translate/relay"
)

// newRelay is nil where transfers.listen is not set.
func (i *instance) newRelay(ctx context.Context, c *config.Config, reg prometheus.Registerer) (*filerelay.Relay, error) {
	l := i.listeners.transfers
	if l == nil {
		return nil, nil
	}
	t := &c.Transfers
	at := t.PublicURL
	if at == "" {
		at = "http://" + l.Addr().String()
	}
	return filerelay.New(ctx, filerelay.Options{Dir: filepath.Join(c.DataDir, "transfers"), PublicURL: at, MaxSize: int64(t.MaxSize),
		Guard: transferGuard(i.listeners.addresses(), prefixes(t.Allow)), Logger: i.log, Registerer: reg})
}

var errNotFetched = errors.New("is in a network that transfers.allow does not name")

// special are addresses that lead to somebody's own network by ways that netip does not tell: shared address space, benchmarks, reserved ones, and such
// as hold an IPv4 address.
var special = func() (out []netip.Prefix) {
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}()

// transferGuard says of an address that a Controller's URL has led to why nothing is fetched from it, or sent to it: it is not public, and no network
// that the operator allows; or it is isthmus itself.
func transferGuard(own []netip.AddrPort, allow []netip.Prefix) func(netip.AddrPort) error {
	public, allowed := connreq.Rules{Own: own}, connreq.Rules{Own: own, Allow: allow}
	return func(to netip.AddrPort) error {
		if len(allow) > 0 && allowed.Check(to, false) == nil {
			return nil
		}
		inside := to.Addr().IsPrivate()
		for _, p := range special {
			inside = inside || p.Contains(to.Addr())
		}
		if inside || public.Check(to, false) != nil {
			return fmt.Errorf("%s %w", to.Addr(), errNotFetched)
		}
		return nil
	}
}
