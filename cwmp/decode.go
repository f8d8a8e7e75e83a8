package cwmp

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
)

const (
	maxDepth      = 64 // elements
	maxAttributes = 64 // of one element
	maxElements   = 1 << 20

	namespacePrefix = "urn:dslforum-org:cwmp-"

	// maxSessionTimeout is where a CPE's SessionTimeout stops to be meant.
	maxSessionTimeout = 24 * 60 * 60 // seconds
)

// newRPC makes the message of a method's name.
var newRPC = func(kinds ...func() RPC) map[string]func() RPC {
	m := make(map[string]func() RPC, len(kinds))
	for _, k := range kinds {
		m[k().Name()] = k
	}
	return m
}(
	kind[Inform], kind[InformResponse],
	kind[GetRPCMethods], kind[GetRPCMethodsResponse],
	kind[SetParameterValues], kind[SetParameterValuesResponse],
	kind[GetParameterValues], kind[GetParameterValuesResponse],
	kind[GetParameterNames], kind[GetParameterNamesResponse],
	kind[SetParameterAttributes], kind[SetParameterAttributesResponse],
	kind[GetParameterAttributes], kind[GetParameterAttributesResponse],
	kind[AddObject], kind[AddObjectResponse],
	kind[DeleteObject], kind[DeleteObjectResponse],
	kind[Reboot], kind[RebootResponse],
	kind[FactoryReset], kind[FactoryResetResponse],
	kind[ScheduleInform], kind[ScheduleInformResponse],
	kind[Download], kind[DownloadResponse],
	kind[Upload], kind[UploadResponse],
	kind[ScheduleDownload], kind[ScheduleDownloadResponse],
	kind[CancelTransfer], kind[CancelTransferResponse],
	kind[GetQueuedTransfers], kind[GetQueuedTransfersResponse],
	kind[GetAllQueuedTransfers], kind[GetAllQueuedTransfersResponse],
	kind[TransferComplete], kind[TransferCompleteResponse],
	kind[AutonomousTransferComplete], kind[AutonomousTransferCompleteResponse],
	kind[RequestDownload], kind[RequestDownloadResponse],
	kind[ChangeDUState], kind[ChangeDUStateResponse],
	kind[DUStateChangeComplete], kind[DUStateChangeCompleteResponse],
	kind[AutonomousDUStateChangeComplete], kind[AutonomousDUStateChangeCompleteResponse],
	kind[SetVouchers], kind[SetVouchersResponse],
	kind[GetOptions], kind[GetOptionsResponse],
	kind[Kicked], kind[KickedResponse],
	kind[Fault],
)

func kind[T any, M interface {
	*T
	RPC
}]() RPC {
	return M(new(T))
}

// Decode reads one SOAP message. contentType is its HTTP header, a hint at the charset; it may be empty. It takes what real CPE
// send: any prefix, any namespace, wrong counts, missing types, control characters; of several envelopes the first. Strings of the result
// may share one memory as large as the message: clone what is to be kept. The error is ErrMalformed, ErrDoctype or ErrLimit.
func Decode(body []byte, contentType string) (*Envelope, error) {
	return decode(string(body), contentType)
}

func decode(body, contentType string) (*Envelope, error) {
	text, err := prepare(body, contentType)
	if err != nil {
		return nil, err
	}
	if e := scan(text); e != nil {
		return e, nil
	}
	return decodeWhole(text)
}

// decodeWhole decodes any message through etree.
func decodeWhole(text string) (*Envelope, error) {
	e := new(Envelope)
	root, err := parse(text, false)
	if errors.Is(err, ErrMalformed) {
		e.Repaired = true
		root, err = parse(repair(text), true)
	}
	if err != nil {
		return nil, err
	}
	e.read(root)
	return e, nil
}

// parse returns the first Envelope, references in it resolved.
func parse(text string, permissive bool) (*etree.Element, error) {
	root, err := parseTree(text, permissive)
	if err == nil && strings.Contains(text, "href") {
		err = resolve(root)
	}
	return root, err
}

// parseTree returns the first Envelope as it is.
func parseTree(text string, permissive bool) (*etree.Element, error) {
	if strings.Count(text, "<")-strings.Count(text, "</") > maxElements { // each takes etree hundreds of bytes
		return nil, fmt.Errorf("%w: more than %d elements", ErrLimit, maxElements)
	}
	doc := etree.Document{ReadSettings: etree.ReadSettings{Permissive: permissive, MaxDepth: maxDepth}}
	err := doc.ReadFromString(text)
	if errors.Is(err, etree.ErrMaxDepth) {
		return nil, fmt.Errorf("%w: more than %d levels", ErrLimit, maxDepth)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := check(&doc.Element); err != nil {
		return nil, err
	}
	root := childOf(&doc.Element, "Envelope")
	if root == nil {
		return nil, fmt.Errorf("%w: no Envelope", ErrMalformed)
	}
	return root, nil
}

// check applies the limits that etree has not.
func check(el *etree.Element) error {
	if len(el.Attr) > maxAttributes {
		return fmt.Errorf("%w: more than %d attributes", ErrLimit, maxAttributes)
	}
	for _, t := range el.Child {
		switch t := t.(type) {
		case *etree.Element:
			if err := check(t); err != nil {
				return err
			}
		case *etree.Directive:
			return ErrDoctype
		}
	}
	return nil
}

// childOf returns the first child with a local name, or any if name is empty; or nil.
func childOf(el *etree.Element, name string) *etree.Element {
	for _, t := range el.Child {
		if c, ok := t.(*etree.Element); ok && (name == "" || c.Tag == name) {
			return c
		}
	}
	return nil
}

func (e *Envelope) read(root *etree.Element) {
	if header := childOf(root, "Header"); header != nil {
		e.readHeader(header)
	}
	e.Namespace = declaredNamespace(root)
	body := childOf(root, "Body")
	if body == nil {
		return
	}
	method := childOf(body, "")
	if method == nil {
		return
	}
	if e.Namespace == "" {
		e.Namespace = methodNamespace(method)
	}
	kind, ok := newRPC[method.Tag]
	if !ok {
		e.Body = &Unknown{Method: method.Tag}
		return
	}
	var o outcome
	e.Body = kind()
	e.Body.arguments(&args{el: method, outcome: &o})
	e.Skipped = o.skipped
}

// readHeader matches names in any case: both SessionTimeout and sessionTimeout are about.
func (e *Envelope) readHeader(header *etree.Element) {
	for _, t := range header.Child {
		h, ok := t.(*etree.Element)
		if !ok {
			continue
		}
		switch text := strings.TrimSpace(textOf(h)); strings.ToLower(h.Tag) {
		case "id":
			e.ID = text
		case "holdrequests":
			e.HoldRequests = parseBool(text)
		case "sessiontimeout":
			e.SessionTimeout = time.Duration(min(max(parseInt(text), 0), maxSessionTimeout)) * time.Second
		case "supportedcwmpversions":
			for v := range strings.SplitSeq(text, ",") {
				if v = strings.TrimSpace(v); v != "" {
					e.SupportedCWMPVersions = append(e.SupportedCWMPVersions, v)
				}
			}
		case "usecwmpversion":
			e.UseCWMPVersion = text
		}
	}
}

// declaredNamespace is the CWMP namespace that an element declares.
func declaredNamespace(el *etree.Element) string {
	for i := range el.Attr {
		if a := &el.Attr[i]; strings.HasPrefix(a.Value, namespacePrefix) && (a.Space == "xmlns" || a.Key == "xmlns") {
			return a.Value
		}
	}
	return ""
}

// methodNamespace is the namespace of a message whose envelope declares none: the method's own, or the one in a Fault's detail.
func methodNamespace(method *etree.Element) string {
	if method.Tag != "Fault" {
		return method.NamespaceURI()
	}
	if detail := childOf(method, "detail"); detail != nil {
		if fault := childOf(detail, "Fault"); fault != nil {
			return fault.NamespaceURI()
		}
	}
	return ""
}
