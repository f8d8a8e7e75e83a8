package connreq

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"isthmus/cwmp/stun"
)

// Bindings is told what CPE say to the STUN server. Its methods must not block.
type Bindings interface {
	// STUNPassword gives the password of the CPE that a USERNAME names; false where it names none whose password is known.
	STUNPassword(username string) (password string, ok bool)
	// Challenge says whether the CPE of that name, which asks from this address, is to prove who it is, so that it can be bound there.
	Challenge(username string, at netip.AddrPort) bool
	// Bound says that the CPE of that name gets UDP Connection Requests at this address. The CPE has proven who it is.
	Bound(username string, at netip.AddrPort)
}

const (
	maxDatagram   = 2048
	controlSize   = 128 // bytes of ancillary data: the address that was asked
	maxReadErrors = 10  // in a row
	readRetry     = 100 * time.Millisecond
)

// control is which ancillary data a socket gives.
type control int

const (
	controlNone control = iota
	controlIPv4
	controlIPv6 // of a socket that takes both
)

// Serve answers Binding Requests until Close. Everybody is answered, within the rate of its address; what a CPE says of its binding
// counts only with a MESSAGE-INTEGRITY that its password made.
func (u *UDP) Serve(b Bindings) error {
	in, control := make([]byte, maxDatagram), make([]byte, controlSize)
	failed := 0
	for {
		n, cn, _, from, err := u.conn.ReadMsgUDPAddrPort(in, control)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if failed++; failed == maxReadErrors {
				return fmt.Errorf("STUN socket: %w", err)
			}
			time.Sleep(readRetry) // out of memory, as a rule
			continue
		}
		failed = 0
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		dst := u.destination(control[:cn])
		out, to, outcome := u.handle(in[:n], from, u.asked(dst), b)
		u.stun.WithLabelValues(outcome).Inc()
		if out == nil {
			continue
		}
		if _, _, err := u.conn.WriteMsgUDPAddrPort(out, u.source(dst), to); err != nil {
			u.opts.Logger.Debug("STUN answer could not be sent", "to", to, "err", err)
		}
	}
}

// nameDestination has the socket tell which address of ours a datagram was sent to. An answer from another one would be of no use, and
// the system chooses one where the socket is bound to none.
func (u *UDP) nameDestination() {
	switch {
	case !u.Addr().Addr().IsUnspecified():
	case ipv6.NewPacketConn(u.conn).SetControlMessage(ipv6.FlagDst, true) == nil:
		u.control = controlIPv6
	case ipv4.NewPacketConn(u.conn).SetControlMessage(ipv4.FlagDst, true) == nil:
		u.control = controlIPv4
	}
}

// destination is the address that ancillary data names, or nil.
func (u *UDP) destination(data []byte) net.IP {
	switch u.control {
	case controlIPv6:
		var m ipv6.ControlMessage
		if err := m.Parse(data); err == nil {
			return m.Dst
		}
	case controlIPv4:
		var m ipv4.ControlMessage
		if err := m.Parse(data); err == nil {
			return m.Dst
		}
	}
	return nil
}

// source is the ancillary data that has an answer leave from the address that was asked, or nil where that needs no saying.
func (u *UDP) source(dst net.IP) []byte {
	if dst == nil || dst.IsMulticast() || dst.Equal(net.IPv4bcast) {
		return nil
	}
	if dst.To4() != nil {
		return (&ipv4.ControlMessage{Src: dst}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: dst}).Marshal()
}

// asked is the address of ours that a datagram was sent to, as far as it is known.
func (u *UDP) asked(dst net.IP) netip.AddrPort {
	own := u.Addr()
	if addr, ok := netip.AddrFromSlice(dst); ok {
		return netip.AddrPortFrom(addr.Unmap(), own.Port())
	}
	return netip.AddrPortFrom(own.Addr().Unmap(), own.Port())
}

// handle says what a datagram is answered with, and whom: nil where it deserves no answer.
func (u *UDP) handle(datagram []byte, from, asked netip.AddrPort, b Bindings) (out []byte, to netip.AddrPort, outcome string) {
	req, err := stun.Parse(datagram)
	switch {
	case err != nil || req.Type != stun.BindingRequest || from.Port() == 0:
		return nil, from, "malformed"
	case !u.rates.allow(from.Addr(), time.Now()):
		return nil, from, "limited"
	case req.Changes():
		// There is no other address to answer from. Silence is what the asker takes for a restricted NAT, which is the safe conclusion.
		return nil, from, "ignored"
	}
	to = from
	if at := req.Address(stun.ResponseAddress); at.IsValid() && at.Port() != 0 {
		// That is how a CPE finds out how long its binding lasts (G.2.1.2): from another port of the same host, and nobody else's.
		if at.Addr() != from.Addr() {
			return nil, from, "ignored"
		}
		to = at
	}
	outcome, password := "answered", ""
	if name := req.Username(); name != "" && req.Has(stun.ConnectionRequestBinding) && b != nil {
		if known, ok := b.STUNPassword(name); ok {
			switch {
			case req.Authentic(known):
				password, outcome = known, "bound"
				b.Bound(name, from)
			case req.Has(stun.MessageIntegrity):
				outcome = "unauthentic" // answered all the same: the CPE tells its address in an Inform
			case b.Challenge(name, from):
				w := stun.New(stun.BindingError, req.ID)
				w.Error(stun.Unauthorized, "Unauthorized")
				return w.Bytes(), from, "challenged"
			}
		}
	}
	return response(req, from, to, asked, password), to, outcome
}

// response is a Binding Response (RFC 3489 8.1), signed if the request was.
func response(req *stun.Message, from, to, asked netip.AddrPort, password string) []byte {
	w := stun.New(stun.BindingResponse, req.ID)
	w.Address(stun.MappedAddress, from)
	if !asked.Addr().IsUnspecified() {
		w.Address(stun.SourceAddress, asked)
		w.Address(stun.ChangedAddress, asked) // there is no other
	}
	if !req.ID.Classic() {
		w.Address(stun.XORMappedAddress, from)
	}
	if to != from {
		w.Address(stun.ReflectedFrom, from)
	}
	if password != "" {
		w.Sign(password)
	}
	return w.Bytes()
}
