// Package quirks knows how CPE differ from the letter of TR-069, as data: profiles say for which CPE something holds, and what.
//
// A table has the profiles that come with isthmus (quirks.yaml) and those of the operator's file, which is of the same form. Of each quirk
// the last profile that fits a CPE and says something about it counts; between the two stands what was learnt at run time (Learnt).
package quirks

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"isthmus/translate/legacy"
)

// Quirks is what is peculiar about a CPE. A zero field is that nothing was said.
type Quirks struct {
	// SessionEnd is how an ACS ends a session: "204", or "200" with an empty body for CPE that do not understand 204 (H16).
	SessionEnd string `yaml:"session_end"`
	// SessionTimeout is the silence that ends a session, in place of cwmp.session.timeout (H20).
	SessionTimeout Duration `yaml:"session_timeout"`
	// Correlate "address" takes a POST without cookie from a CPE's address for the CPE's, if there is one such session (H4).
	Correlate string `yaml:"correlate"`
	// Envelope "declared" puts an XML declaration before every message, "plain" none (S12).
	Envelope string `yaml:"envelope"`
	// ArgumentBooleans is how the Booleans of RPCs are written: "digits", 1 and 0, or "words", true and false (R3).
	ArgumentBooleans string `yaml:"argument_booleans"`
	// ValueBooleans is the same for the values of parameters (X18).
	ValueBooleans string `yaml:"value_booleans"`
	// NamesPerGet is how many names one GetParameterValues may have (R9).
	NamesPerGet int `yaml:"names_per_get"`
	// DiagnosticsState "apart" starts a test in a write of its own, after that of its arguments.
	DiagnosticsState string `yaml:"diagnostics_state"`
	// RestAfterBoot is how long after its boot a CPE is not asked for anything (S17).
	RestAfterBoot Duration `yaml:"rest_after_boot"`
	// TransferScheme "http" says that the CPE cannot fetch files over https, nor send them.
	TransferScheme string `yaml:"transfer_scheme"`
	// ConnectionRequestURL stands in for the one that the CPE tells (N7).
	ConnectionRequestURL string `yaml:"connection_request_url"`
	// ConnectionRequestHost "observed" puts the address that the CPE's Informs come from in place of the URL's host (N7).
	ConnectionRequestHost string `yaml:"connection_request_host"`
	// Mapping is the table of what a maker adds to TR-098: one of isthmus by its name (legacy.Vendors), or an operator's by its file, which ends in .tsv.
	Mapping string `yaml:"mapping"`
}

// The values of Quirks that are words.
const (
	End200   = "200"
	Address  = "address"
	Declared = "declared"
	Words    = "words"
	Digits   = "digits"
	Observed = "observed"
	HTTP     = "http"
	Apart    = "apart"
)

// Bounds of what a profile can say.
const (
	minTimeout, maxTimeout = 10 * time.Second, 300 * time.Second
	maxRest                = time.Hour
	maxNames               = 1024
	maxURL                 = 1024
	maxFile                = 4 << 20
	maxProfiles            = 10_000
)

// Match says which CPE a profile is for: those whose every field that is given fits.
type Match struct {
	OUI             string `yaml:"oui"`              // six hexadecimal digits
	ProductClass    string `yaml:"product_class"`    // "*" stands for anything
	SoftwareVersion string `yaml:"software_version"` // likewise
	EndpointID      string `yaml:"endpoint_id"`      // of one CPE's Agent
}

// Profile is an entry of a table.
type Profile struct {
	Name  string `yaml:"name"`
	Match Match  `yaml:"match"`
	Set   Quirks `yaml:"set"`
}

// CPE is what profiles are chosen by.
type CPE struct{ OUI, ProductClass, SoftwareVersion, EndpointID string }

// Model is the CPE without what is its own.
func (c CPE) Model() CPE {
	c.EndpointID = ""
	return c
}

// Table is the profiles of isthmus and those of an operator. It does not change.
type Table struct {
	own, operators []Profile
	individual     map[string]struct{}       // the Endpoint IDs that operators' profiles match
	vendors        map[string]*legacy.Vendor // of operators' files, by what profiles call them
}

//go:embed quirks.yaml
var embedded []byte

var builtIn = func() []Profile {
	ps, err := parse("quirks.yaml", embedded)
	if err != nil {
		panic(err)
	}
	return ps
}()

// Default is the table without an operator's file.
func Default() *Table { return &Table{own: builtIn} }

// Load lays an operator's file over the default. The error has a line "file:line: what is wrong and what to do" for everything wrong.
func Load(file string) (*Table, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", file, maxFile)
	}
	ps, err := parse(file, text)
	if err != nil {
		return nil, err
	}
	t := &Table{own: builtIn, operators: ps, individual: map[string]struct{}{}, vendors: map[string]*legacy.Vendor{}}
	for i := range ps {
		if name := ps[i].Set.Mapping; name != "" && t.vendors[name] == nil {
			if t.vendors[name], err = legacy.LoadVendor(name); err != nil {
				return nil, err
			}
		}
		if id := ps[i].Match.EndpointID; id != "" {
			t.individual[id] = struct{}{}
		}
	}
	return t, nil
}

// Of gives what holds for a CPE, with the names of the profiles that say so. learnt was found out at run time.
func (t *Table) Of(c CPE, learnt Learnt) (q Quirks, names []string) {
	lay := func(ps []Profile) {
		for i := range ps {
			if ps[i].Match.fits(c) {
				q.lay(&ps[i].Set)
				names = append(names, ps[i].Name)
			}
		}
	}
	lay(t.own)
	from := learnt.quirks()
	q.lay(&from)
	lay(t.operators)
	return q, names
}

// Vendor gives the table that Quirks call Mapping, nil for none.
func (t *Table) Vendor(mapping string) *legacy.Vendor {
	if v := t.vendors[mapping]; v != nil || mapping == "" {
		return v
	}
	v, err := legacy.LoadVendor(mapping)
	if err != nil {
		panic(err) // the built-in profiles are wrong
	}
	return v
}

// MapsAs says whether CPE have the same names in Device:2 by t and by o: the same profiles give the same mappings.
func (t *Table) MapsAs(o *Table) bool {
	mappings := func(ps []Profile) (out []Profile) {
		for _, p := range ps {
			if p.Set.Mapping != "" {
				out = append(out, Profile{Match: p.Match, Set: Quirks{Mapping: p.Set.Mapping}})
			}
		}
		return out
	}
	return reflect.DeepEqual(mappings(t.operators), mappings(o.operators)) && maps.EqualFunc(t.vendors, o.vendors, (*legacy.Vendor).Same)
}

// Told gives the operator's word for a CPE.
func (t *Table) Told(c CPE) (q Quirks) {
	for i := range t.operators {
		if p := &t.operators[i]; p.Match.fits(c) {
			q.lay(&p.Set)
		}
	}
	return q
}

// Individual says whether a profile names this one CPE, not only its model.
func (t *Table) Individual(c CPE) bool {
	_, named := t.individual[c.EndpointID]
	return named
}

func (m *Match) fits(c CPE) bool {
	return (m.OUI == "" || strings.EqualFold(m.OUI, c.OUI)) &&
		(m.ProductClass == "" || glob(m.ProductClass, c.ProductClass)) &&
		(m.SoftwareVersion == "" || glob(m.SoftwareVersion, c.SoftwareVersion)) &&
		(m.EndpointID == "" || m.EndpointID == c.EndpointID)
}

// glob says whether s fits a pattern in which "*" stands for anything.
func glob(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	s, ok := strings.CutPrefix(s, first)
	if !ok || !star {
		return ok && s == ""
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], after
	}
}

// lay lets what over says count.
func (q *Quirks) lay(over *Quirks) {
	take(&q.SessionEnd, over.SessionEnd)
	take(&q.SessionTimeout, over.SessionTimeout)
	take(&q.Correlate, over.Correlate)
	take(&q.Envelope, over.Envelope)
	take(&q.ArgumentBooleans, over.ArgumentBooleans)
	take(&q.ValueBooleans, over.ValueBooleans)
	take(&q.DiagnosticsState, over.DiagnosticsState)
	take(&q.NamesPerGet, over.NamesPerGet)
	take(&q.RestAfterBoot, over.RestAfterBoot)
	take(&q.ConnectionRequestURL, over.ConnectionRequestURL)
	take(&q.ConnectionRequestHost, over.ConnectionRequestHost)
	take(&q.TransferScheme, over.TransferScheme)
	take(&q.Mapping, over.Mapping)
}

func take[T comparable](q *T, over T) {
	var unsaid T
	if over != unsaid {
		*q = over
	}
}

// Duration is Go's, written as "30s".
type Duration time.Duration

// UnmarshalYAML reads a duration.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no duration: write it as 30s or 5m", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// parse reads the text of a table.
func parse(file string, text []byte) ([]Profile, error) {
	var doc struct {
		Profiles []yaml.Node `yaml:"profiles"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, located(file, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, fmt.Errorf("%s:%d: a second document begins here: keep one", file, second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, located(file, err)
	}
	if len(doc.Profiles) > maxProfiles {
		return nil, fmt.Errorf("%s: has %d profiles, over %d: match models by patterns", file, len(doc.Profiles), maxProfiles)
	}
	var ps []Profile
	var problems []error
	for i := range doc.Profiles {
		n := &doc.Profiles[i]
		var p Profile
		if err := decode(n, &p); err != nil {
			problems = append(problems, located(file, err))
			continue
		}
		for _, wrong := range p.wrong() {
			problems = append(problems, fmt.Errorf("%s:%d: profile %q: %s", file, n.Line, p.Name, wrong))
		}
		ps = append(ps, p)
	}
	return ps, errors.Join(problems...)
}

// decode is strict about keys, which yaml.Node.Decode cannot be told to be.
func decode(n *yaml.Node, p *Profile) error {
	for _, keys := range []struct {
		of    *yaml.Node
		known []string
	}{{n, profileKeys}, {child(n, "match"), matchKeys}, {child(n, "set"), setKeys}} {
		if err := checkKeys(keys.of, keys.known); err != nil {
			return err
		}
	}
	if err := n.Decode(p); err != nil {
		return err
	}
	return checkSaid(child(n, "set"), reflect.ValueOf(p.Set))
}

// located gives the lines of YAML's errors their file.
func located(file string, err error) error {
	var te *yaml.TypeError
	if errors.As(err, &te) {
		var all []error
		for _, s := range te.Errors {
			all = append(all, place(file, s))
		}
		return errors.Join(all...)
	}
	return place(file, err.Error())
}

func place(file, text string) error {
	text = strings.TrimPrefix(text, "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		return fmt.Errorf("%s:%s", file, rest)
	}
	return fmt.Errorf("%s: %s", file, text)
}

// wrong says what is wrong with a profile, in sentences.
func (p *Profile) wrong() (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if p.Name == "" {
		say("has no name: give it one, it is what the log and isthmus devices show")
	}
	if p.Match == (Match{}) {
		say("match is empty: say which CPE it is for, by oui, product_class, software_version or endpoint_id")
	}
	if o := p.Match.OUI; o != "" && !isOUI(o) {
		say("match.oui %q is no OUI: write six hexadecimal digits", o)
	}
	if p.Set == (Quirks{}) {
		say("set is empty: say what is peculiar about these CPE")
	}
	for _, w := range []struct{ key, value, oneOf string }{
		{"session_end", p.Set.SessionEnd, "204 200"}, {"correlate", p.Set.Correlate, "cookie address"}, {"envelope", p.Set.Envelope, "plain declared"},
		{"argument_booleans", p.Set.ArgumentBooleans, "digits words"}, {"value_booleans", p.Set.ValueBooleans, "digits words"},
		{"connection_request_host", p.Set.ConnectionRequestHost, "told observed"}, {"transfer_scheme", p.Set.TransferScheme, "https http"},
		{"diagnostics_state", p.Set.DiagnosticsState, "together apart"},
	} {
		if w.value != "" && !slices.Contains(strings.Fields(w.oneOf), w.value) {
			say("set.%s %q is unknown: write one of %s", w.key, w.value, strings.ReplaceAll(w.oneOf, " ", ", "))
		}
	}
	if d := time.Duration(p.Set.SessionTimeout); d != 0 && (d < minTimeout || d > maxTimeout) {
		say("set.session_timeout %v must be from %v to %v", d, minTimeout, maxTimeout)
	}
	if d := time.Duration(p.Set.RestAfterBoot); d < 0 || d > maxRest {
		say("set.rest_after_boot %v must be at most %v", d, maxRest)
	}
	if p.Set.Mapping != "" {
		if _, err := legacy.LoadVendor(p.Set.Mapping); err != nil {
			say("set.mapping: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	if n := p.Set.NamesPerGet; n < 0 || n > maxNames {
		say("set.names_per_get %d must be from 1 to %d", n, maxNames)
	}
	if u := p.Set.ConnectionRequestURL; u != "" {
		parsed, err := url.Parse(u)
		switch {
		case p.Match.EndpointID == "":
			say("set.connection_request_url would be that of several CPE: match one endpoint_id")
		case err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || len(u) > maxURL:
			say("set.connection_request_url is no URL of http or https: write it as http://192.0.2.1:7547/path")
		case parsed.User != nil:
			say("set.connection_request_url has a user name, which is not used: remove it; credentials are under cwmp.connection_request")
		}
	}
	return all
}
