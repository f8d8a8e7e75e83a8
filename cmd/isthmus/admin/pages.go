package admin

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

//go:embed pages
var files embed.FS

var pages = func() map[string]*template.Template {
	funcs := template.FuncMap{"segment": Segment, "ago": ago, "stamp": stamp, "ms": func(v float64) string { return fmt.Sprintf("%.1f", v) },
		"seconds": func(t time.Time) string { return time.Since(t).Round(time.Second).String() }, "number": number, "bodyName": bodyName, "lines": lines, "status": http.StatusText}
	all := map[string]*template.Template{}
	for _, name := range []string{"login.html", "fleet.html", "device.html", "capture.html", "sessions.html", "problems.html", "error.html"} {
		all[name] = template.Must(template.New("layout.html").Funcs(funcs).ParseFS(files, "pages/layout.html", "pages/"+name))
	}
	return all
}()

// stamp is a time as a page shows it.
func stamp(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// ago is how long something is past, in one unit.
func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	switch d := time.Since(*t); {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// number is a count with its thousands apart.
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// view is what every page has.
type view struct {
	Title string
	Here  string // the path
	CSRF  string
	User  bool // somebody has logged in and can log out
	Page  any
}

// render sends a page, whole or not at all.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name, title string, data any) {
	c := callerOf(r)
	var b bytes.Buffer
	if err := pages[name].Execute(&b, view{title, r.URL.Path, s.access.csrf(c), c.who == "session", data}); err != nil {
		s.opts.Log.Error("page cannot be made", "page", name, "err", err)
		fail(w, http.StatusInternalServerError, "the page could not be made: see the log of isthmus")
		return
	}
	html(w)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone
}

// asset is a style sheet or script; they are for everybody, the login page needs them.
func (s *Server) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	text, err := files.ReadFile("pages/" + name)
	if err != nil || types[path.Ext(name)] == "" {
		fail(w, http.StatusNotFound, "no such resource")
		return
	}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(text) // the client is gone
}

// choice is an option of a select element.
type choice struct {
	Value, Label string
	Chosen       bool
}

func choices(chosen string, pairs ...string) (all []choice) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, choice{pairs[i], pairs[i+1], pairs[i] == chosen})
	}
	return all
}

func (s *Server) fleetPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	by, err := filter(q)
	if err != nil {
		s.errorPage(w, r, http.StatusBadRequest, err)
		return
	}
	l := s.list(q.Get("after"), by, defaultLimit)
	next := ""
	if l.Next != "" {
		n := url.Values{"after": {l.Next}}
		for key, value := range map[string]string{"q": by.Text, "root": by.Root, "state": by.State} {
			if value != "" {
				n.Set(key, value)
			}
		}
		next = "/?" + n.Encode()
	}
	s.render(w, r, http.StatusOK, "fleet.html", "Fleet", struct {
		*List
		Filter        Filter
		Filtered      bool
		Total         int
		Later         bool // not the first page
		NextPage      string
		States, Roots []choice
	}{l, by, by != Filter{}, s.opts.Fleet.Len(), q.Get("after") != "", next,
		choices(by.State, "", "any", "online", "online", "offline", "offline", "session", "in a session", "quarantined", "quarantined",
			"unreachable", "unreachable", "retrying", "failing sessions"),
		choices(by.Root, "", "any", "Device.", "Device.", "InternetGatewayDevice.", "InternetGatewayDevice.")})
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, err error) {
	s.render(w, r, status, "error.html", http.StatusText(status), err.Error())
}

func (s *Server) noDevicePage(w http.ResponseWriter, r *http.Request) {
	s.errorPage(w, r, http.StatusNotFound, fmt.Errorf("There is no device %s. It may have been forgotten, or has not informed yet.", r.PathValue("id"))) //nolint:staticcheck // it is shown to a person
}

// words of what an Action has done.
var words = map[Action]string{
	Refresh: "What is read from now on is read from the CPE.", Ask: "The CPE has opened a session.",
	Quarantine: "The CPE is in quarantine.", Release: "The quarantine is over.",
}

func (s *Server) devicePage(w http.ResponseWriter, r *http.Request) {
	s.showDevice(w, r, http.StatusOK, words[Action(r.URL.Query().Get("done"))], "")
}

// showDevice is the page of one device, with what an action has done, or why it has failed.
func (s *Server) showDevice(w http.ResponseWriter, r *http.Request, status int, said, failed string) {
	id := r.PathValue("id")
	d, ok := s.opts.Fleet.Device(id)
	if !ok {
		s.noDevicePage(w, r)
		return
	}
	trace, _ := s.opts.Fleet.Trace(id)
	s.render(w, r, status, "device.html", id, struct {
		*Detail
		Trace        []Exchange
		Said, Failed string
	}{d, trace, said, failed})
}

// tracedPage leads to the exchange of a trace, on the page of its device.
func (s *Server) tracedPage(w http.ResponseWriter, r *http.Request) {
	trace := strings.ToLower(r.PathValue("trace"))
	id, ok := s.opts.Fleet.Traced(trace)
	if !ok {
		s.errorPage(w, r, http.StatusNotFound, errors.New(noTrace))
		return
	}
	http.Redirect(w, r, "/devices/"+Segment(id)+"#trace-"+trace, http.StatusFound)
}

// actPage does something to a device, for a person.
func (s *Server) actPage(w http.ResponseWriter, r *http.Request, a Action) {
	switch err := s.do(r, a); {
	case errors.Is(err, ErrNoDevice):
		s.noDevicePage(w, r)
	case err != nil:
		s.showDevice(w, r, http.StatusConflict, "", err.Error())
	case a == Forget:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case r.PostFormValue("from") == "capture":
		s.toCapture(w, r)
	default:
		http.Redirect(w, r, "/devices/"+Segment(r.PathValue("id"))+"?done="+string(a), http.StatusSeeOther)
	}
}

func (s *Server) sessionsPage(w http.ResponseWriter, r *http.Request) {
	list := s.opts.Fleet.Sessions(maxLimit)
	s.render(w, r, http.StatusOK, "sessions.html", "Sessions", struct {
		Sessions []Session
		More     bool
	}{list, len(list) == maxLimit})
}

// problemsShown is how many devices of a kind of problem the page names.
const problemsShown = 20

// problem is one kind.
type problem struct {
	State, Title, Advice string
	Devices              []Device
	More                 bool
}

func (s *Server) problemsPage(w http.ResponseWriter, r *http.Request) {
	all := []problem{
		{State: "quarantined", Title: "Quarantined, or informing without end", Advice: "Of two CPE under one DeviceId neither is written to: find the cloned one by its address and give it a serial number of its own, or give each CPE a row in cwmp.auth.credentials_file. One that informs every few seconds is served last in a storm."},
		{State: "unreachable", Title: "Not reached by a Connection Request", Advice: "Requests wait for the next periodic Inform. A refused or timed out connection is a firewall or NAT: STUN (cwmp.connection_request.udp_listen) or XMPP helps. 401 is a wrong user name or password: cwmp.provision.connection_request gives each CPE its own."},
		{State: "retrying", Title: "Sessions that fail at the CPE's end", Advice: "The CPE says in RetryCount that its sessions do not come to their end. Look at the trace for the RPC at which they stop, and capture what is said."},
	}
	for i := range all {
		l := s.list("", Filter{State: all[i].State}, problemsShown)
		all[i].Devices, all[i].More = l.Devices, l.Next != ""
	}
	s.render(w, r, http.StatusOK, "problems.html", "Problems", struct {
		Problems []problem
		Refused  []count
	}{all, s.refusals()})
}

// count is a counter of refusals that is not zero.
type count struct {
	What, Advice string
	N            int
}

// refused are the counters that tell of CPE which never become devices, or are not let in: by metric, and by the value of its label.
var refused = map[string]map[string]string{
	"isthmus_cwmp_authentications_total": {
		"credentials": "wrong credentials: compare cwmp.auth.username and credentials_file with what the CPE has", "identity": "right credentials, of another CPE: a DeviceId that is not the row's in credentials_file",
		"certificate": "no certificate, or that of another CPE"},
	"isthmus_new_devices_refused_total": {"max_devices": "new CPE beyond cwmp.max_devices", "rate": "new CPE beyond cwmp.new_devices_per_second"},
}

func (s *Server) refusals() (list []count) {
	families, err := s.opts.Gatherer.Gather()
	if err != nil {
		s.opts.Log.Debug("metrics are not complete", "err", err)
	}
	for _, f := range families {
		advice := refused[f.GetName()]
		if advice == nil {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if text := advice[l.GetValue()]; text != "" && value(m) > 0 {
					list = append(list, count{f.GetName() + "{" + l.GetName() + "=\"" + l.GetValue() + "\"}", text, value(m)})
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b count) int { return strings.Compare(a.What, b.What) })
	return list
}

func value(m *dto.Metric) int { return int(m.GetCounter().GetValue()) }
