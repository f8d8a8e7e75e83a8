package translate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"isthmus/cwmp/connreq"
	"isthmus/store"
	"isthmus/usp"
)

// given is what a CPE was written unasked, or is about to be: the record of kind store.Secret. It outlives the configuration that asked
// for it, as the CPE does not forget.
type given struct {
	ConnReq  string         `json:"connection_request_password,omitempty"`
	Password string         `json:"password,omitempty"`
	Number   int            `json:"number,omitempty"` // of Password: it grows with each reset
	Used     bool           `json:"used,omitempty"`   // the CPE has shown Password: the fleet's is no longer good for it
	Resets   *resets        `json:"resets,omitempty"` // nil: none was believed
	Gifts    [settings]gift `json:"gifts"`
}

// gift is how far one setting has come. Done and Refused are what was wanted then.
type gift struct {
	Done    string `json:"done,omitempty"`
	Refused string `json:"refused,omitempty"` // since the last boot
	Tries   int    `json:"tries,omitempty"`   // whose outcome is not known
	For     string `json:"for,omitempty"`     // what they were for, and by which firmware
}

// begin notes that a setting is about to be written. A password is made once: the CPE may have got it before.
func (g *given) begin(s setting, want, software string, random func() [12]byte) {
	switch {
	case s == setConnReq && g.ConnReq == "":
		g.ConnReq = token(random)
	case s == setCredentials && g.Password == "":
		g.Password = token(random)
	}
	t := &g.Gifts[s]
	if t.For != want+software {
		t.For, t.Tries = want+software, 0
	}
	t.Tries++
}

func (g *given) end(s setting, want string, taken bool) {
	t := &g.Gifts[s]
	if *t = (gift{Done: want}); !taken {
		*t = gift{Refused: want}
	}
}

// givenNow is a copy of what the CPE was given.
func (d *Device) givenNow() given {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.given == nil {
		return given{}
	}
	return *d.given
}

// changeGiven changes what the CPE was given; it is on disk on return.
func (d *Device) changeGiven(ctx context.Context, change func(*given)) error {
	return d.keepGiven(ctx, d.setGiven(change))
}

func (d *Device) setGiven(change func(*given)) *given {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := new(given)
	if d.given != nil {
		*g = *d.given
	}
	change(g)
	d.given = g
	return g
}

func (d *Device) keepGiven(ctx context.Context, g *given) error {
	for {
		b, err := json.Marshal(g)
		if err == nil {
			err = d.put(ctx, store.Op{Key: d.key(store.Secret, ""), Value: b})
		}
		if err != nil {
			return fmt.Errorf("keeping what %s is given: %w", d.id, err)
		}
		d.mu.RLock()
		now := d.given
		d.mu.RUnlock()
		if now == g {
			return nil
		}
		g = now // of two at the same time the last one writes the whole
	}
}

// forgotten notes that the CPE has booted, so that it is asked again what it refused, and where it has lost its settings, all of them.
// reset says that isthmus made it lose them: then it has its first credentials again (row R27).
func (d *Device) forgotten(ctx context.Context, lost, reset bool) error {
	g := d.givenNow()
	if g == (given{}) {
		return nil
	}
	was := g
	for s := range g.Gifts {
		g.Gifts[s].Refused = ""
		if lost {
			g.Gifts[s].Done = ""
		}
	}
	g.Used = g.Used && !reset
	if g == was {
		return nil
	}
	return d.changeGiven(ctx, func(now *given) { *now = g })
}

// restoreGiven brings back what CPE were given.
func (p *Proxy) restoreGiven(ctx context.Context) error {
	for item, err := range p.store.All(ctx, store.Secret) {
		if err != nil {
			return fmt.Errorf("reading what CPE were given: %w", err)
		}
		d := p.devices[usp.EndpointID(item.Key.Device)]
		if d == nil {
			continue
		}
		d.given = new(given)
		if err := json.Unmarshal(item.Value, d.given); err != nil {
			return fmt.Errorf("what %s was given is damaged", d.id) // without the cause, which may quote a password
		}
	}
	return nil
}

// loginName is the user name that a CPE is given: its Endpoint ID without the scheme, whose colons HTTP authentication could not carry.
func loginName(id usp.EndpointID) string {
	_, name, _ := strings.Cut(string(id), "::")
	return name
}

// login is what a CPE may ask of a Connection Request.
type login struct{ username, password string }

// logins are what the CPE may ask of Connection Requests, in the order of trying: what the operator's file says of this CPE, what it was
// given, what is common to all. d.mu is held.
func (d *Device) logins() []login {
	username, password := d.p.opts.ConnectionRequest.credentials(d.id)
	list := []login{{username, password}}
	if d.given == nil || d.given.ConnReq == "" {
		return list
	}
	own := login{loginName(d.id), d.given.ConnReq}
	switch {
	case username == "" && password == "":
		return []login{own}
	case d.keepsOwn(setConnReq):
		return append(list, own)
	}
	return []login{own, list[0]}
}

// request makes a Connection Request, by the credentials that the CPE took last before the others; a method that hears nothing of a
// refusal uses all.
func (r *round) request(ctx context.Context, m method) error {
	d := r.d
	d.mu.RLock()
	first := d.contact.login
	d.mu.RUnlock()
	var err error
	for i := range r.logins {
		n := (first + i) % len(r.logins)
		t := r.target
		t.Username, t.Password = r.logins[n].username, r.logins[n].password
		err = m.request(ctx, t)
		switch {
		case m.name == methodUDP && err == nil, errors.Is(err, connreq.ErrAuth):
			continue
		case err == nil:
			d.mu.Lock()
			d.contact.login = n
			d.mu.Unlock()
		}
		return err
	}
	return err
}
