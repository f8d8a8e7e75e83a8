package cwmp

import (
	"bytes"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// Quirks is how a Session humours a CPE. The zero value is what nearly all want.
type Quirks struct {
	EndWith200 bool          // an empty 200 says that the ACS has nothing more, not a 204
	Timeout    time.Duration // of silence, in place of ServerOptions.SessionTimeout; 0: that. A SessionTimeout header of the CPE wins.
	Words      bool          // Booleans in RPCs are true and false, not 1 and 0
	Declared   bool          // messages begin with an XML declaration
	ByAddress  bool          // a POST without cookie, on a connection that opened no session, is the CPE's if it comes from its address
}

// Humour sets the quirks of a CPE. It may be called in Handler.Begin only.
func (s *Session) Humour(q Quirks) {
	s.quirks = q
	if q.Timeout != 0 && !s.timeoutTold {
		s.timeout = q.Timeout
	}
}

// farewell is the answer of an ACS that has nothing more to say. s may be nil.
func (s *Session) farewell() answer {
	if s != nil && s.quirks.EndWith200 {
		return answer{status: http.StatusOK}
	}
	return answer{status: http.StatusNoContent}
}

// expect notes that POSTs from a CPE's address may belong to its session.
func (sv *Server) expect(s *Session, r *http.Request) {
	s.certificate = leaf(r)
	a := s.RemoteAddr.Addr()
	sv.mu.Lock()
	sv.byAddress[a] = append(sv.byAddress[a], s)
	sv.mu.Unlock()
}

// expectNoMore undoes expect. sv.mu is held.
func (sv *Server) expectNoMore(s *Session) {
	a := s.RemoteAddr.Addr()
	left := slices.DeleteFunc(sv.byAddress[a], func(other *Session) bool { return other == s })
	if sv.byAddress[a] = left; len(left) == 0 {
		delete(sv.byAddress, a)
	}
}

// expected finds the session that is expected to go on with a POST from an address: the only such one, and only if whoever posts has shown
// the same credentials as the Inform. Another CPE behind the address would be taken for it otherwise.
func (sv *Server) expected(r *http.Request, who *caller) *Session {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil // a pipe has no address
	}
	sv.mu.Lock()
	defer sv.mu.Unlock()
	there := sv.byAddress[from.Addr()]
	if len(there) != 1 || len(cookieValues(r.Header)) > 0 {
		return nil
	}
	s, user := there[0], ""
	if who != nil {
		user = who.user
	}
	if user != s.Username || !bytes.Equal(leaf(r), s.certificate) {
		return nil
	}
	return s
}

// leaf is the certificate that a client has shown, nil if none.
func leaf(r *http.Request) []byte {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0].Raw
}
