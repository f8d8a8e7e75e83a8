package cwmp

import (
	"errors"
	"net/url"
	"strings"

	"github.com/beevik/etree"
)

// cut stands for what a captured message does not show.
const cut = "[cut]"

// What of a message is shown is listed; anything else is cut. So a secret may stand anywhere but in what has a place of its own: names,
// numbers, identities.
var (
	// containers hold elements alone, as do all messages.
	containers = words("Envelope Header Body detail DeviceId Event EventStruct ParameterList ParameterValueStruct ParameterInfoStruct " +
		"ParameterAttributeStruct SetParameterAttributesStruct ParameterNames MethodList AccessList SetParameterValuesFault FaultStruct " +
		"TimeWindowList TimeWindowStruct TransferList QueuedTransferStruct AllQueuedTransferStruct FileTypeArg ArgStruct Operations " +
		"InstallOpStruct UpdateOpStruct UninstallOpStruct Results OpResultStruct AutonOpResultStruct OptionList OptionStruct")

	// headers are those of SOAP, in any case.
	headers = words("id holdrequests sessiontimeout supportedcwmpversions usecwmpversion nomorerequests")

	harmless = words("faultcode FaultCode " +
		"Manufacturer OUI ProductClass SerialNumber EventCode CommandKey ParameterKey MaxEnvelopes CurrentTime RetryCount " +
		"Status InstanceNumber Writable NextLevel Notification NotificationChange AccessListChange " +
		"FileType FileSize TargetFileName DelaySeconds StartTime CompleteTime WindowStart WindowEnd WindowMode MaxRetries State IsDownload " +
		"IsTransferable UUID Version ExecutionEnvRef ExecutionUnitRefList DeploymentUnitRef CurrentState OperationPerformed Resolved")

	// paths are shown where they look like one: a CPE that puts a value there is not believed.
	paths = words("Name ParameterName ParameterPath ObjectName")

	// listed are the containers whose entries, each a string, are words.
	listed = words("ParameterNames MethodList AccessList")

	harmlessAttributes = words("type arrayType mustUnderstand encodingStyle href id")
)

func words(list string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(list) {
		m[w] = true
	}
	return m
}

// redact gives a message as it may be shown, in UTF-8; secret says whether the value of the parameter with a name is one. The message is parsed as
// Decode does, so that what Decode takes for a value is one here. It is false where it is no message. What comes out has at most six
// times the size of what went in.
func redact(body, contentType string, secret func(name string) bool) (string, bool) {
	text, err := prepare(body, contentType)
	if err != nil {
		return "", false
	}
	root, err := parseTree(text, false)
	if errors.Is(err, ErrMalformed) {
		root, err = parseTree(repair(text), true)
	}
	if err != nil {
		return "", false
	}
	censor{secret}.clean(root, "", false)
	var b strings.Builder
	root.WriteTo(&b, &writeSettings)
	return b.String(), true
}

type censor struct{ secret func(name string) bool }

// clean cuts what may be secret in an element; parent is the tag around it, named whether that has a Name whose value may be shown.
func (c censor) clean(el *etree.Element, parent string, named bool) {
	for i := range el.Attr {
		if a := &el.Attr[i]; a.Space != "xmlns" && a.Key != "xmlns" && !harmlessAttributes[a.Key] {
			a.Value = cut
		}
	}
	if containers[el.Tag] || newRPC[el.Tag] != nil {
		c.cleanAll(el)
		return
	}
	text, elements := textOf(el), len(el.ChildElements()) > 0
	el.Child = nil
	switch {
	case elements:
		el.CreateText(cut)
	case text != "":
		el.CreateText(shown(el.Tag, parent, named, text))
	}
}

// cleanAll keeps the elements in a container, and the blanks between them.
func (c censor) cleanAll(el *etree.Element) {
	named := c.named(el)
	kept := el.Child[:0]
	for _, t := range el.Child {
		switch t := t.(type) {
		case *etree.Element:
			c.clean(t, el.Tag, named)
			kept = append(kept, t)
		case *etree.CharData:
			if strings.TrimSpace(t.Data) == "" {
				kept = append(kept, t)
			}
		}
	}
	el.Child = kept
}

// named says whether an element has a Name, and none whose value is secret.
func (c censor) named(el *etree.Element) (named bool) {
	for _, child := range el.ChildElements() {
		if child.Tag != "Name" {
			continue
		}
		name := strings.TrimSpace(textOf(child))
		if named = isPath(name) && !c.secret(name); !named {
			return false
		}
	}
	return named
}

// shown is what is shown of the text of an element.
func shown(tag, parent string, named bool, text string) string {
	t := strings.TrimSpace(text)
	value := tag == "Value" && named
	switch {
	case t == "", harmless[tag], parent == "Header" && headers[strings.ToLower(tag)],
		paths[tag] && isPath(t), tag == "string" && listed[parent] && isWord(t), value && !strings.Contains(t, "://"):
		return text
	case value, strings.HasSuffix(tag, "URL"):
		return hostOf(t)
	}
	return cut
}

// hostOf is a URL down to its host: what follows may be a token or a signature, what goes before a password.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return cut
	}
	at := u.Scheme + "://" + u.Host
	if at == text || at+"/" == text {
		return text
	}
	return at + "/" + cut
}

func isPath(s string) bool { return strings.Contains(s, ".") && isWord(s) }

func isWord(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}
