package cwmp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/beevik/etree"
)

// declaration begins a message for CPE that want one. Most take none, and some stumble over it (X9).
const declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

var writeSettings = etree.WriteSettings{CanonicalEndTags: true, CanonicalText: true, CanonicalAttrVal: true}

// Encode writes a message in the plainest form of XML: what the strictest hand-written parser of a CPE takes. The error is
// ErrUnencodable where a value holds what XML 1.0 cannot carry.
func Encode(e *Envelope) ([]byte, error) {
	o := outcome{words: e.Words}
	root := etree.NewElement("SOAP-ENV:Envelope")
	root.CreateAttr("xmlns:SOAP-ENV", "http://schemas.xmlsoap.org/soap/envelope/")
	root.CreateAttr("xmlns:SOAP-ENC", "http://schemas.xmlsoap.org/soap/encoding/")
	root.CreateAttr("xmlns:xsd", "http://www.w3.org/2001/XMLSchema")
	root.CreateAttr("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
	root.CreateAttr("xmlns:cwmp", published(e.Namespace))
	e.writeHeader(&args{el: root, write: true, outcome: &o})
	body := root.CreateElement("SOAP-ENV:Body")
	if e.Body != nil {
		prefix := "cwmp:"
		if _, ok := e.Body.(*Fault); ok {
			prefix = "SOAP-ENV:"
		}
		if u, ok := e.Body.(*Unknown); ok && !isName(u.Method) {
			return nil, fmt.Errorf("method %q: %w", u.Method, ErrUnencodable)
		}
		e.Body.arguments(&args{el: body.CreateElement(prefix + e.Body.Name()), write: true, outcome: &o})
	}
	if o.err != nil {
		return nil, fmt.Errorf("encode: %w", o.err)
	}
	var b bytes.Buffer
	if e.Declared {
		b.WriteString(declaration)
	}
	root.WriteTo(&b, &writeSettings)
	return b.Bytes(), nil
}

// informResponses are encoded InformResponses, all but their IDs, which are nearly all that differs: by what else does.
var informResponses sync.Map // informResponseKey → [2]string

type informResponseKey struct {
	use, namespace string
	declared       bool
}

// encodeInformResponse writes what is written most often.
func encodeInformResponse(id, use, namespace string, declared bool) ([]byte, error) {
	encode := func(id string) ([]byte, error) {
		return Encode(&Envelope{ID: id, UseCWMPVersion: use, Namespace: namespace, Declared: declared, Body: &InformResponse{MaxEnvelopes: 1}})
	}
	if id == "" || strings.ContainsFunc(id, notAlphanumeric) {
		return encode(id)
	}
	key := informResponseKey{use, published(namespace), declared}
	around, ok := informResponses.Load(key)
	if !ok {
		const mark = "IdOfTheInform"
		b, err := encode(mark)
		if err != nil {
			return nil, err
		}
		before, after, _ := strings.Cut(string(b), mark)
		around, _ = informResponses.LoadOrStore(key, [2]string{before, after})
	}
	a := around.([2]string)
	return append(append(append(make([]byte, 0, len(a[0])+len(id)+len(a[1])), a[0]...), id...), a[1]...), nil
}

// isName tells whether s will do as an element's name.
func isName(s string) bool {
	return s != "" && !notAlphanumeric(rune(s[0])) && (s[0] < '0' || s[0] > '9') &&
		!strings.ContainsFunc(s, func(r rune) bool { return notAlphanumeric(r) && !strings.ContainsRune("_-.", r) })
}

// published is the namespace to answer in: the CPE's own, be it one that was never published (cwmp-1-3, cwmp-1-4). A CPE with a
// namespace of a vendor takes 1.0.
func published(namespace string) string {
	switch namespace {
	case NamespaceV1_0, NamespaceV1_1, NamespaceV1_2, namespacePrefix + "1-3", namespacePrefix + "1-4":
		return namespace
	}
	return NamespaceV1_0
}

func (e *Envelope) writeHeader(a *args) {
	if e.ID == "" && !e.HoldRequests && e.SessionTimeout == 0 && len(e.SupportedCWMPVersions) == 0 && e.UseCWMPVersion == "" {
		return
	}
	h := a.inside(a.el.CreateElement("SOAP-ENV:Header"))
	put := func(name, text string, mustUnderstand int) {
		h.put("cwmp:"+name, text).CreateAttr("SOAP-ENV:mustUnderstand", strconv.Itoa(mustUnderstand))
	}
	if e.ID != "" {
		put("ID", e.ID, 1)
	}
	if e.HoldRequests {
		put("HoldRequests", "1", 1)
	}
	if e.SessionTimeout != 0 {
		put("SessionTimeout", strconv.Itoa(int(e.SessionTimeout/time.Second)), 0)
	}
	if len(e.SupportedCWMPVersions) != 0 {
		put("SupportedCWMPVersions", strings.Join(e.SupportedCWMPVersions, ","), 0)
	}
	if e.UseCWMPVersion != "" {
		put("UseCWMPVersion", e.UseCWMPVersion, 1)
	}
}
