package translate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"isthmus/cwmp"
	"isthmus/translate/datamodel"
	"isthmus/usp"
)

// Provision says what is written to CPE unasked: once, again after 0 BOOTSTRAP, and when it has become something else.
type Provision struct {
	// ConnectionRequest gives each CPE a user name and password of its own for Connection Requests, but for those that
	// ConnectionRequest.Credentials knows.
	ConnectionRequest bool
	// Credentials gives each CPE a user name and password of its own for CWMP, but for those that HasCredentials knows. The Proxy is the
	// cwmp.Issuer of them.
	Credentials    bool
	HasCredentials func(usp.EndpointID) bool // nil: none has
	// PeriodicInformInterval is in whole seconds; 0 leaves it as it is.
	PeriodicInformInterval time.Duration
	// SpreadPeriodicInform gives each CPE a PeriodicInformTime by a hash of its Endpoint ID.
	SpreadPeriodicInform bool
}

// setting is one thing that is written to a CPE unasked; a CPE may refuse one and take the others.
type setting int

const (
	setConnReq setting = iota
	setCredentials
	setInterval
	setSpread
	settings
)

func (s setting) String() string {
	return [...]string{"connection_request", "credentials", "periodic_inform_interval", "spread_periodic_inform"}[s]
}

// wants says what is asked of all CPE, "" where nothing is. A setting is written again when this has changed.
func (p *Provision) wants() (w [settings]string) {
	if p.ConnectionRequest {
		w[setConnReq] = wantOwn
	}
	if p.Credentials {
		w[setCredentials] = wantOwn
	}
	if p.PeriodicInformInterval > 0 {
		w[setInterval] = strconv.FormatInt(int64(p.PeriodicInformInterval/time.Second), 10)
	}
	if p.SpreadPeriodicInform {
		w[setSpread] = "over " + w[setInterval]
	}
	return w
}

const wantOwn = "own"

// maxTries is how often a setting is written to a CPE that does not answer, or says that it will apply it and does not, until it is left
// alone: the next session would end the same way.
const maxTries = 3

// owed lists what the CPE is to be given now.
func (d *Device) owed() (owed []setting) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.model == nil || d.head.Quarantine != nil {
		return nil
	}
	for s, want := range d.p.wants {
		var was gift
		if d.given != nil {
			was = d.given.Gifts[s]
		}
		if want == "" || want == was.Done || want == was.Refused || was.Tries >= maxTries && was.For == want+d.head.Software {
			continue
		}
		if s := setting(s); !d.keepsOwn(s) {
			owed = append(owed, s)
		}
	}
	return owed
}

// keepsOwn says whether the operator has given the CPE other credentials than isthmus would.
func (d *Device) keepsOwn(s setting) bool {
	switch o := &d.p.opts; {
	case s == setConnReq && o.ConnectionRequest.Credentials != nil:
		username, _ := o.ConnectionRequest.Credentials(d.id)
		return username != ""
	case s == setCredentials && o.Provision.HasCredentials != nil:
		return o.Provision.HasCredentials(d.id)
	}
	return false
}

// provision writes to the CPE what it is owed. Requests of Controllers go before: where one waits, that is left for later, and owing is true.
func (d *Device) provision(ctx context.Context, s *cwmp.Session) (owing bool) {
	c := &caller{d: d, next: s}
	for _, set := range d.owed() {
		d.mu.RLock()
		waiting := len(d.queue) > 0
		d.mu.RUnlock()
		switch {
		case ctx.Err() != nil || d.p.closing.Load():
			return false
		case waiting:
			return true
		}
		if err := d.give(ctx, c, set); err != nil {
			d.p.m.provisioned.WithLabelValues(set.String(), "lost").Inc()
			d.p.log.Info("a setting of cwmp.provision is written in a later session", "device", d.id, "setting", set, "err", err)
			return false
		}
	}
	return false
}

// errKept says that a CPE took a value and has another.
var errKept = errors.New("the CPE has other values after it took those")

// give writes one setting. The error is one that ends the session, or of the store; a refusal is none.
func (d *Device) give(ctx context.Context, c cwmp.Caller, s setting) error {
	// What a CPE may have got is on disk before it gets it.
	if err := d.changeGiven(ctx, func(g *given) { g.begin(s, d.p.wants[s], d.head.Software, d.p.random) }); err != nil {
		return err
	}
	later, err := d.write(ctx, c, s)
	var f *cwmp.Fault
	switch {
	case errors.As(err, &f):
		err = fmt.Errorf("fault %d %s", f.Code, f.Code.Text()) // the CPE's own text may quote a password
	case errors.Is(err, cwmp.ErrUnexpectedAnswer), errors.Is(err, errKept):
	case err != nil:
		return err
	}
	outcome := "done"
	switch {
	case err != nil:
		outcome = "refused"
		d.p.log.Warn("the CPE refuses a setting of cwmp.provision, it is not asked again before it boots", "device", d.id, "setting", s, "err", err)
	case later:
		outcome = "later"
	}
	d.p.m.provisioned.WithLabelValues(s.String(), outcome).Inc()
	if later {
		return nil // the next session sees whether it did
	}
	return d.changeGiven(context.WithoutCancel(ctx), func(g *given) { g.end(s, d.p.wants[s], err == nil) })
}

// write makes the CPE have a setting. later says that the CPE applies it after the session.
func (d *Device) write(ctx context.Context, c cwmp.Caller, s setting) (later bool, err error) {
	d.mu.RLock()
	object, g := d.head.Root+managementServer, *d.given
	d.mu.RUnlock()
	switch s {
	case setConnReq:
		return false, assign(ctx, c, d.p.random, text(object+"ConnectionRequestUsername", loginName(d.id)), text(object+"ConnectionRequestPassword", g.ConnReq))
	case setCredentials:
		return false, assign(ctx, c, d.p.random, text(object+"Username", d.ownName(g.Number)), text(object+"Password", g.Password))
	case setInterval:
		want := d.p.wants[setInterval]
		later, err = d.verified(ctx, c, object, func(map[string]string) []cwmp.ParameterValueStruct {
			return []cwmp.ParameterValueStruct{{Name: object + paramEnable, Type: "boolean", Value: "1"}, {Name: object + paramInterval, Type: "unsignedInt", Value: want}}
		}, paramEnable, paramInterval)
		if seconds, _ := strconv.Atoi(want); err == nil && !later {
			d.mu.Lock()
			d.head.Interval = seconds
			d.mu.Unlock()
			err = d.putHead(ctx)
		}
		return later, err
	default:
		return d.verified(ctx, c, object, func(have map[string]string) []cwmp.ParameterValueStruct {
			seconds, _ := strconv.ParseUint(have[object+paramInterval], 10, 32)
			return []cwmp.ParameterValueStruct{{Name: object + paramTime, Type: "dateTime", Value: informTime(d.id, seconds)}}
		}, paramInterval, paramTime)
	}
}

// The parameters of ManagementServer. about periodic Informs.
const (
	paramEnable   = "PeriodicInformEnable"
	paramInterval = "PeriodicInformInterval"
	paramTime     = "PeriodicInformTime"
)

// verified reads parameters below object, writes those that are not as want has them, and reads them again.
func (d *Device) verified(ctx context.Context, c cwmp.Caller, object string, want func(have map[string]string) []cwmp.ParameterValueStruct,
	names ...string) (later bool, err error) {
	read := &cwmp.GetParameterValues{}
	for _, n := range names {
		read.ParameterNames = append(read.ParameterNames, object+n)
	}
	missing := func() (list []cwmp.ParameterValueStruct, err error) {
		resp, err := cwmp.Call(ctx, c, read)
		if err != nil {
			return nil, err
		}
		have := map[string]string{}
		for _, p := range resp.ParameterList {
			have[p.Name] = strings.TrimSpace(p.Value)
		}
		for _, p := range want(have) {
			v, has := have[p.Name]
			if normal := datamodel.Normalize; !has || normal(p.Type, schemaType(p.Name), v) != normal(p.Type, schemaType(p.Name), p.Value) {
				list = append(list, p)
			}
		}
		return list, nil
	}
	list, err := missing()
	if err != nil || len(list) == 0 {
		return false, err
	}
	resp, err := cwmp.Call(ctx, c, &cwmp.SetParameterValues{ParameterList: list, ParameterKey: token(d.p.random)})
	if err != nil || resp.Status != 0 {
		return err == nil, err
	}
	if list, err = missing(); err == nil && len(list) > 0 {
		err = errKept
	}
	return false, err
}

// assign writes parameters that cannot be read again. A CPE that applies them after the session has taken them.
func assign(ctx context.Context, c cwmp.Caller, random func() [12]byte, list ...cwmp.ParameterValueStruct) error {
	_, err := cwmp.Call(ctx, c, &cwmp.SetParameterValues{ParameterList: list, ParameterKey: token(random)})
	return err
}

func text(name, value string) cwmp.ParameterValueStruct {
	return cwmp.ParameterValueStruct{Name: name, Type: "string", Value: value}
}

// informTime spreads CPE evenly over their interval, in seconds (row S19): each has a moment of its own, any multiple of the interval away
// from which it informs. A CPE that tells no interval is given one of the moments of an hour.
func informTime(id usp.EndpointID, interval uint64) string {
	const hour = 3600
	if interval == 0 {
		interval = hour
	}
	// A time that every CPE can express, whatever it takes for its epoch, and that is over for all of them.
	start := time.Date(2010, time.January, 1, 0, 0, 0, 0, time.UTC)
	return start.Add(time.Duration(xxhash.Sum64String(string(id))%interval) * time.Second).Format(time.RFC3339)
}
