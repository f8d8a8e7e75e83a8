package translate

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"isthmus/cwmp"
	"isthmus/usp"
)

// managementServer is where a CPE tells how it can be reached, below its root.
const managementServer = "ManagementServer."

// The parameters of ManagementServer. that tell it besides ConnectionRequestURL (TR-181, TR-069 Annex G and K).
const (
	paramUDPAddress = "UDPConnectionRequestAddress"
	paramNAT        = "NATDetected"
	paramJID        = "ConnReqJabberID"
	paramConnection = "ConnReqXMPPConnection"
)

var reachParams = [...]string{paramUDPAddress, paramNAT, paramJID, paramConnection}

// reachKnown says that head.Reach is known.
const reachKnown = 1 << 7

// udpAddress is where UDP Connection Requests go: where the STUN server saw the CPE, if it has, since it told another address itself.
func (h *head) udpAddress() string {
	if h.Bound != "" {
		return h.Bound
	}
	return h.UDP
}

// reach takes over what a CPE says of how it can be reached, and tells whether that is news.
func (h *head) reach(name, value string) bool {
	value = strings.TrimSpace(value)
	if len(value) > maxReachValue {
		return false
	}
	switch name {
	case paramUDPAddress:
		if value == h.UDP {
			return false
		}
		h.UDP, h.Bound = strings.Clone(value), ""
		return true
	case paramNAT:
		nat := value == "1" || strings.EqualFold(value, "true")
		changed := nat != h.NAT
		h.NAT = nat
		return changed
	case paramJID:
		changed := value != h.JID
		h.JID = strings.Clone(value)
		return changed
	}
	return false
}

const maxReachValue = 1024 // bytes; TR-181 has 256

// learnReach asks the CPE how it can be reached, where the answer matters and may be another than before: after a boot, or when a
// Connection Request was of no use. Many CPE put it into an Inform only if they are told to, and isthmus writes nothing unasked.
func (d *Device) learnReach(ctx context.Context, c cwmp.Caller, in *cwmp.Inform) error {
	d.mu.RLock()
	root, has, due := d.head.Root, d.head.Reach, d.reachDue(in)
	d.mu.RUnlock()
	if !due {
		return nil
	}
	if has == 0 {
		var err error
		if has, err = d.reachNames(ctx, c, root+managementServer); err != nil {
			return err
		}
	}
	told := make(map[string]string)
	for _, p := range in.ParameterList {
		told[p.Name] = p.Value
	}
	if err := d.readReach(ctx, c, root+managementServer, has, told); err != nil {
		return err
	}
	d.mu.Lock()
	changed := d.head.Reach != has
	d.head.Reach = has
	if d.contact != nil {
		d.contact.relearn = false
	}
	for _, name := range reachParams {
		if v, ok := told[root+managementServer+name]; ok && d.head.reach(name, v) {
			changed = true
		}
	}
	d.mu.Unlock()
	if !changed {
		return nil
	}
	return d.putHead(ctx)
}

// reachDue says whether the CPE is asked how it can be reached. d.mu is held.
func (d *Device) reachDue(in *cwmp.Inform) bool {
	if o := &d.p.opts.ConnectionRequest; o.UDP == nil && o.XMPP == nil {
		return false
	}
	return d.head.Reach == 0 || d.contact != nil && d.contact.relearn || booted(in) || hasEvent(in, cwmp.EventBootstrap)
}

// reachNames says which of reachParams the CPE has.
func (d *Device) reachNames(ctx context.Context, c cwmp.Caller, object string) (has uint8, err error) {
	resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterNames{ParameterPath: object, NextLevel: true})
	if err != nil {
		return reachKnown, unlessAnswered(err)
	}
	for i, name := range reachParams {
		if slices.ContainsFunc(resp.ParameterList, func(p cwmp.ParameterInfoStruct) bool { return p.Name == object+name }) {
			has |= 1 << i
		}
	}
	return has | reachKnown, nil
}

// unlessAnswered is an error of an RPC, or nil if the session goes on: a CPE that does not answer this is reached as before.
func unlessAnswered(err error) error {
	var f *cwmp.Fault
	if errors.As(err, &f) || errors.Is(err, cwmp.ErrUnexpectedAnswer) {
		return nil
	}
	return err
}

// readReach adds to what the CPE told what it did not, and the JabberID of its connection where it names only that.
func (d *Device) readReach(ctx context.Context, c cwmp.Caller, object string, has uint8, told map[string]string) error {
	read := func(paths ...string) error {
		resp, err := cwmp.Call(ctx, c, &cwmp.GetParameterValues{ParameterNames: paths})
		if err != nil {
			return unlessAnswered(err)
		}
		for _, p := range resp.ParameterList {
			told[p.Name] = p.Value
		}
		return nil
	}
	var missing []string
	for i, name := range reachParams {
		if _, ok := told[object+name]; !ok && has&(1<<i) != 0 {
			missing = append(missing, object+name)
		}
	}
	if len(missing) > 0 {
		if err := read(missing...); err != nil {
			return err
		}
	}
	connection := strings.TrimSuffix(told[object+paramConnection], ".")
	if told[object+paramJID] != "" || connection == "" || len(connection) > maxReachValue {
		return nil
	}
	jid := connection + ".JabberID"
	if err := read(jid); err != nil {
		return err
	}
	if v, ok := told[jid]; ok {
		told[object+paramJID] = v
	}
	return nil
}

// STUNPassword implements connreq.Bindings: a CPE is named by its Endpoint ID, with or without what stands before the OUI, and its
// password is that of its Connection Requests.
func (p *Proxy) STUNPassword(username string) (string, bool) {
	d := p.named(username)
	if d == nil {
		return "", false
	}
	_, password := p.opts.ConnectionRequest.credentials(d.id)
	if g := d.givenNow(); password == "" {
		password = g.ConnReq
	}
	return password, password != ""
}

// challengeEvery is how often a CPE that is bound to another address than is known is asked to prove who it is. One that cannot loses
// no more than a request each time.
const challengeEvery = 10 * time.Minute

// Challenge implements connreq.Bindings.
func (p *Proxy) Challenge(username string, at netip.AddrPort) bool {
	d := p.named(username)
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.contact == nil {
		d.contact = new(contact)
	}
	if d.head.udpAddress() == at.String() || time.Since(d.contact.challenged) < challengeEvery {
		return false
	}
	d.contact.challenged = time.Now()
	return true
}

// Bound implements connreq.Bindings.
func (p *Proxy) Bound(username string, at netip.AddrPort) {
	d := p.named(username)
	if d == nil || p.closing.Load() {
		return
	}
	d.mu.Lock()
	changed := d.head.udpAddress() != at.String()
	if changed {
		d.head.Bound = at.String()
	}
	if d.contact != nil {
		d.contact.challenged = time.Time{}
	}
	d.mu.Unlock()
	if !changed {
		return
	}
	p.wg.Go(func() {
		if err := d.putHead(p.ctx); err != nil {
			p.log.Error("binding could not be kept", "device", d.id, "err", err)
		}
	})
}

// named finds the device that a STUN USERNAME stands for, or nil.
func (p *Proxy) named(username string) *Device {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, prefix := range []string{"", "ops::", "os::", "uuid::"} {
		if d := p.devices[usp.EndpointID(prefix+username)]; d != nil {
			return d
		}
	}
	return nil
}
