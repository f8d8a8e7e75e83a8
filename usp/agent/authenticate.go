package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"isthmus/usp"
	"isthmus/usp/mtp"
)

var _ = mtp.Authenticator(&Agent{})

// Authenticate implements mtp.Authenticator with the Agent's Certificates: R-SEC.2, R-SEC.3 and the figure "Checking a Certificate" of TR-369. Where
// the certificate is revoked, the Controller gets BannedRole.
func (a *Agent) Authenticate(ctx context.Context, peer usp.EndpointID, shown []*x509.Certificate) (proven bool, err error) {
	if err := a.use(ctx); err != nil {
		return false, err
	}
	defer a.leave()
	v, err := a.rows().vouch(a.fleet, peer, shown)
	named := usp.Named(shown[0], peer)
	switch {
	case errors.Is(err, errRevoked) && named == usp.NamesIt:
		return false, errors.Join(err, a.ban(ctx, peer))
	case err != nil:
		return false, err
	case v.stored, v.proves && named == usp.NamesIt:
		return true, nil
	case named == usp.NamesOther && peer != "":
		return false, fmt.Errorf("the certificate names another Endpoint than %s", peer)
	}
	return false, nil
}

// ban gives a Controller BannedRole and no other, if there is such a Role.
func (a *Agent) ban(ctx context.Context, peer usp.EndpointID) error {
	rs := a.rows()
	row, banned := rs.controller(peer), rs.get(trustObject, "BannedRole")
	if row == "" || banned == "" || rs.get(row, "AssignedRole") == banned && rs.get(row, "InheritedRole") == "" {
		return nil
	}
	return a.update(ctx, peer, func(t *tx) error {
		t.disown(row)
		t.put(row, "AssignedRole", banned)
		return nil
	})
}

// disown takes from a Controller's row what the Endpoint that it was for has proven.
func (t *tx) disown(row string) {
	for _, key := range []string{viaKey, "InheritedRole", challengeKey, challengeIDKey, expiresKey} {
		t.put(row, key, "")
	}
}

// banned says that a Controller has BannedRole.
func (rs *rowSet) banned(row string) bool {
	role := rs.get(trustObject, "BannedRole")
	return role != "" && slices.ContainsFunc([]string{"AssignedRole", "InheritedRole"}, func(name string) bool {
		return slices.Contains(splitList(rs.get(row, name)), role)
	})
}

// admitCertificates gives the Controller at the other end of a new channel the Role that comes with its certificates, and takes one away that came with
// those of an earlier session (figure "Determining the Role"). The error is errRevoked.
func (a *Agent) admitCertificates(ctx context.Context, l *channel) error {
	if l.peer == "" || l.stranger {
		return nil
	}
	rs := a.rows()
	row := rs.controller(l.peer)
	if row == "" {
		return nil
	}
	via, sound := "", false
	if c, ok := l.ch.(mtp.Certified); ok && len(c.Certificates()) > 0 {
		shown := c.Certificates()
		v, err := rs.vouch(a.fleet, l.peer, shown)
		switch {
		case errors.Is(err, errRevoked):
			return errors.Join(err, a.ban(ctx, l.peer))
		case err == nil && (v.stored || usp.Named(shown[0], l.peer) == usp.NamesIt):
			via, sound = v.via, true
		}
	}
	// The ban of a Controller of the configuration, which says what its Role is, is for as long as it has no better certificate.
	from := a.fleet.base.controller(l.peer)
	lift := sound && from != "" && rs.values[row][fleetMark] != "" && rs.get(row, "AssignedRole") == rs.get(trustObject, "BannedRole")
	if rs.values[row][viaKey] == via && !lift {
		return nil
	}
	return a.update(ctx, l.peer, func(t *tx) error {
		t.put(row, viaKey, via)
		t.put(row, "InheritedRole", t.rows.inheritable(via))
		if lift {
			t.put(row, "AssignedRole", t.rows.configuredRole(from, a.fleet.base))
		}
		return nil
	})
}
