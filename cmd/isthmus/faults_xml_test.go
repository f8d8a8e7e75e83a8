//go:build unix

package main

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf16"

	"isthmus/cwmp"
	"isthmus/usp"
)

// mutated is the parameter whose value the mutations change, where a message has it; else they change the first.
const mutated = "Device.WiFi.SSID.2.SSID"

// mutations turn an Inform or a GetParameterValuesResponse into what a CPE of that row of cwmp/QUIRKS.md sends. All of them are understood.
var mutations = []struct {
	name   string
	counts string // "": nothing but the session
	apply  func(string) string
	value  string // of mutated; "": what the CPE has
}{
	{"ISO 8859-1 labelled UTF-8 (X1)", "", value("caf\xe9"), "café"},
	{"GBK, declared (X1)", "", func(s string) string { return declared("GBK", value("\xc4\xe3")(s)) }, "你"},
	{"ISO 8859-1, declared (X1)", "", func(s string) string { return declared("iso-8859-1", value("na\xefve")(s)) }, "naïve"},
	{"a BOM (X1)", "", func(s string) string { return "\xef\xbb\xbf" + s }, ""},
	{"UTF-16 (X1)", "", utf16LE, ""},
	{"a charset that nobody knows (X1)", "", func(s string) string { return declared("x-none", s) }, ""},
	{"0x02 and NUL in a value (X2)", "", value("a\x02b\x00c"), "abc"},
	{"references to control characters (X2)", "", value("a&#2;b&#x0;c"), "abc"},
	{"a bare ampersand (X2)", "", value("a & b &c; d"), "a & b &c; d"},
	{"NUL behind the end (X2)", "", func(s string) string { return s + "\x00\x00\x00" }, ""},
	{"soap-env (X3)", "", func(s string) string { return envelope.ReplaceAllString(s, "${1}soap-env:${3}") }, ""},
	{"no prefix (X3)", "", func(s string) string { return envelope.ReplaceAllString(s, "${1}${3}") }, ""},
	{"no prefix is declared (X4)", "", func(s string) string { return declaration.ReplaceAllString(s, "") }, ""},
	{"XML Schema of 1999 (X5)", "", func(s string) string { return strings.ReplaceAll(s, "/2001/XMLSchema", "/1999/XMLSchema") }, ""},
	{"a vendor's namespace (X6)", "", func(s string) string { return namespace.ReplaceAllString(s, "urn:vendor-example:cwmp") }, ""},
	{"cwmp-1-3 (X6)", "", func(s string) string { return namespace.ReplaceAllString(s, "urn:dslforum-org:cwmp-1-3") }, ""},
	{"CDATA (X11)", "", value("<![CDATA[<a> & ]]>b<![CDATA[]]>"), "<a> & b"},
	{"a comment within a value (X11)", "", value("a<!-- no -->b"), "ab"},
	{"no Header (X12)", "", func(s string) string { return header.ReplaceAllString(s, "") }, ""},
	{"an empty ID (X12)", "", func(s string) string { return messageID.ReplaceAllString(s, "${1}${3}") }, ""},
	{"another ID (X12)", "cwmp_id_mismatches_total", func(s string) string { return messageID.ReplaceAllString(s, "${1}4711${3}") }, ""},
	{"sessiontimeout (X13)", "", func(s string) string {
		return messageID.ReplaceAllString(s, "${1}${2}${3}<cwmp:sessiontimeout> 40 </cwmp:sessiontimeout>")
	}, ""},
	{"16 declared (X14)", "", func(s string) string { return arrayCount.ReplaceAllString(s, "[0016]") }, ""},
	{"no arrayType (X14)", "", func(s string) string { return arrayType.ReplaceAllString(s, ` xsi:type="SOAP-ENC:Array"`) }, ""},
	{"no types (X15)", "", func(s string) string { return xsiType.ReplaceAllString(s, "") }, ""},
	{"xsd: and nothing more (X15)", "", func(s string) string { return xsiType.ReplaceAllString(s, ` xsi:type="xsd:"`) }, ""},
	{"XSD:String(256) (X15)", "", func(s string) string {
		return strings.ReplaceAll(s, `type="xsd:string"`, `type="XSD:String(256)"`)
	}, ""},
	{"no Value (X16)", "cwmp_skipped_entries_total", func(s string) string { return replaceFirst(aValue, s, "") }, ""},
	{"an empty Name (X16)", "cwmp_skipped_entries_total", func(s string) string { return replaceFirst(aName, s, "<Name></Name>") }, ""},
	{"booleans and numbers of all kinds (X17)", "", func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(s, ">true<", ">Enabled<"), ">0<", "> +0.0 <")
	}, ""},
	{"an unknown time (X19)", "", func(s string) string { return currentTime.ReplaceAllString(s, "${1}Unknown Time${2}") }, ""},
	{"blanks around names (X20)", "", func(s string) string { return aName.ReplaceAllString(s, "<Name>\n\t${1} </Name>") }, ""},
	{"two Envelopes (X22)", "", func(s string) string { return s + s }, ""},
	{"MaxEnvelopes 7 (X22)", "", func(s string) string {
		return strings.Replace(s, "<MaxEnvelopes>1<", "<MaxEnvelopes>7<", 1)
	}, ""},
	{"multiRef (X23)", "", multiRef, ""},
	{"a value of 200 KB (X24)", "", value(strings.Repeat("x", 200<<10)), strings.Repeat("x", 200<<10)},
	{"pretty-printed", "", func(s string) string { return between.ReplaceAllString(s, ">\r\n\t<") }, ""},
}

var (
	envelope    = regexp.MustCompile(`(?i)(</?)(soap[-_]?env:|soapenv:)(Envelope|Header|Body)`)
	declaration = regexp.MustCompile(` xmlns:[-\w]+="[^"]*"`)
	namespace   = regexp.MustCompile(`urn:dslforum-org:cwmp-1-\d`)
	header      = regexp.MustCompile(`(?s)<[-\w]+:Header>.*</[-\w]+:Header>`)
	messageID   = regexp.MustCompile(`(<[-\w]+:ID[^>]*>)([^<]*)(</[-\w]+:ID>)`)
	arrayCount  = regexp.MustCompile(`\[\d+\]`)
	arrayType   = regexp.MustCompile(` [-\w]+:arrayType="[^"]*"`)
	xsiType     = regexp.MustCompile(` xsi:type="[^"]*"`)
	aValue      = regexp.MustCompile(`<Value[^>]*>[^<]*</Value>`)
	aName       = regexp.MustCompile(`<Name[^>]*>([^<]+)</Name>`)
	currentTime = regexp.MustCompile(`(<CurrentTime[^>]*>)[^<]*(</CurrentTime>)`)
	deviceID    = regexp.MustCompile(`(?s)<DeviceId[^>]*>(.*)</DeviceId>`)
	bodyEnd     = regexp.MustCompile(`</(?:[-\w]+:)?Body>`)
	between     = regexp.MustCompile(`>\s*<`)
	serial      = regexp.MustCompile(`(<SerialNumber[^>]*>)[^<]*`)
)

func replaceFirst(re *regexp.Regexp, s, with string) string {
	if at := re.FindStringIndex(s); at != nil {
		return s[:at[0]] + with + s[at[1]:]
	}
	return s
}

// value gives the mutated parameter, or the first, another value.
func value(v string) func(string) string {
	return func(s string) string {
		at := max(strings.Index(s, "<Name>"+mutated+"</Name>"), 0)
		if strings.Contains(s, "Inform>") {
			at = max(strings.Index(s, "<ParameterList"), 0)
		}
		return s[:at] + replaceFirst(aValue, s[at:], `<Value xsi:type="xsd:string">`+v+"</Value>")
	}
}

func declared(charset, s string) string {
	if _, rest, ok := strings.Cut(s, "?>"); ok {
		s = rest
	}
	return `<?xml version="1.0" encoding="` + charset + `"?>` + s
}

func utf16LE(s string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// multiRef moves the DeviceId, or the first value, behind the message that refers to it.
func multiRef(s string) string {
	re, ref := deviceID, `<DeviceId href="#id1"/>`
	if !re.MatchString(s) {
		re, ref = aValue, `<Value href="#id1"/>`
	}
	moved := regexp.MustCompile(`^<\w+|\w+>$`).ReplaceAllString(re.FindString(s), "")
	s = replaceFirst(re, s, ref)
	end := bodyEnd.FindStringIndex(s)
	if moved == "" || end == nil {
		return s
	}
	return s[:end[0]] + `<multiRef id="id1"` + moved + "multiRef>" + s[end[0]:]
}

// lists are the messages that the mutations are for, if they have more than one entry: a reading back of one value is left alone.
func lists(change func(string) string) garble {
	return func(head, body string) string {
		if strings.Contains(body, "<cwmp:Inform>") || strings.Contains(body, "<cwmp:GetParameterValuesResponse>") && strings.Count(body, "<Name>") > 1 {
			body = change(body)
		}
		return framed(head, body)
	}
}

// TestFaultsXMLOfCaptures: the mutations of what real clients sent, each client's in its turn.
func TestFaultsXMLOfCaptures(t *testing.T) {
	t.Parallel()
	all := slices.DeleteFunc(recordings(t), func(r *recording) bool { return r.answers["GetParameterNamesResponse"] == "" })
	b := newBed(t, nil)
	var faults []fault
	for i, m := range mutations {
		faults = append(faults, fault{m.name, sessionsOK, func(t *testing.T, b *bed) {
			all[i%len(all)].plays(t, b, func(s string) string {
				if strings.Contains(s, "Inform>") || strings.Contains(s, "GetParameterValuesResponse>") {
					return m.apply(s)
				}
				return s
			})
		}})
	}
	b.each(t, faults)
}

// The line "XML" of the matrix: what rows X of cwmp/QUIRKS.md have is understood, as a simulated CPE and as captured ones send it; what is no
// message is refused, in an Inform and within a session.
func TestFaultsXML(t *testing.T) {
	t.Parallel()
	b := newBed(t, nil)
	var faults []fault
	for _, m := range mutations {
		counts := m.counts
		if counts == "" {
			counts = sessionsOK
		}
		faults = append(faults, fault{m.name, counts, func(t *testing.T, b *bed) {
			var applied atomic.Bool
			d, p := b.boot(t, garbled(lists(func(s string) string {
				changed := m.apply(s)
				if changed != s {
					applied.Store(true)
				}
				return changed
			})))
			if !applied.Load() {
				t.Error("no message was changed")
			}
			want := m.value
			if want == "" {
				want = d.Value(mutated)
			}
			p.has(t, get(mutated), mutated+" = "+want)
			manages(t, d, p)
		}})
	}
	// Of rows X24 a fifth, for the race detector's sake: cwmp's TestX24_HugeMessages and TestServerLargeAnswer have the whole.
	faults = append(faults, fault{"detail in faultstring (X21)", `cwmp_rpc_duration_seconds_count{outcome="fault",rpc="SetParameterValues"}`, func(t *testing.T, b *bed) {
		d, p := b.boot(t, garbled(in("SetParameterValuesResponse", func(s string) string {
			return bodyOf.ReplaceAllString(s, `${1}<SOAP-ENV:Fault><faultcode>Client</faultcode><faultstring>CWMP fault<detail><cwmp:Fault><FaultCode>9003</FaultCode>`+
				`<SetParameterValuesFault><ParameterName>Device.WiFi.SSID.1.SSID</ParameterName><FaultCode>9007</FaultCode></SetParameterValuesFault></cwmp:Fault>`+
				`</detail></faultstring></SOAP-ENV:Fault>${2}`)
		})))
		p.refused(t, set("Device.WiFi.SSID.1.", "SSID", "refused"), usp.InvalidValue)
		p.has(t, get(ssid), ssid+" = "+d.Value(ssid))
	}}, fault{"20k parameters (X24)", sessionsOK, func(t *testing.T, b *bed) {
		var more strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&more, "<ParameterValueStruct><Name>Device.Hosts.Host.%d.HostName</Name><Value>h</Value></ParameterValueStruct>", i)
		}
		d, p := b.boot(t, garbled(behind(mutated, more.String())))
		manages(t, d, p)
	}}, fault{"a body of 4 MB (X24)", sessionsOK, func(t *testing.T, b *bed) {
		entry := "<ParameterValueStruct><Name>Device.DeviceInfo.X_Log</Name><Value>" + strings.Repeat("log ", 1<<18) + "</Value></ParameterValueStruct>"
		d, p := b.boot(t, garbled(behind(mutated, strings.Repeat(entry, 4))))
		manages(t, d, p)
	}}, fault{"an Inform of 1.2 MB (X24)", malformedSize, func(t *testing.T, b *bed) {
		r := b.dial(t)
		r.post(b.inform(t, b.id(), cwmp.EventBoot) + strings.Repeat(" ", 1200<<10))
		r.wants(413)
	}})
	for _, bad := range []struct {
		name, counts string
		make         func(string) string
	}{
		{"truncated", malformedXML, func(s string) string { return s[:len(s)/2] }},
		{"no XML", malformedXML, func(string) string { return "\x89PNG\r\n\x1a\n and so on" }},
		{"JSON", malformedXML, func(string) string { return `{"Envelope": {}}` }},
		{"a DOCTYPE with entities", `cwmp_malformed_total{reason="doctype"}`, func(s string) string {
			return `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + s
		}},
		{"depth 100", `cwmp_malformed_total{reason="limit"}`, func(s string) string {
			return bodyOf.ReplaceAllString(s, "${1}"+strings.Repeat("<a>", 100)+strings.Repeat("</a>", 100)+"${2}")
		}},
		{"100 attributes", `cwmp_malformed_total{reason="limit"}`, func(s string) string {
			var attrs strings.Builder
			for i := range 100 {
				attrs.WriteString(" a" + strconv.Itoa(i) + `="1"`)
			}
			return bodyOf.ReplaceAllString(s, "${1}<a"+attrs.String()+"></a>${2}")
		}},
	} {
		faults = append(faults, fault{"Inform: " + bad.name, bad.counts, func(t *testing.T, b *bed) {
			r := b.dial(t)
			r.post(bad.make(b.inform(t, b.id(), cwmp.EventBoot)))
			r.wants(400)
		}}, fault{"GetParameterValuesResponse: " + bad.name, bad.counts, func(t *testing.T, b *bed) { b.readsInVain(t, bad.make) }})
	}
	b.each(t, faults)
}

var bodyOf = regexp.MustCompile(`(?s)(<SOAP-ENV:Body>).*(</SOAP-ENV:Body>)`)

// behind puts entries at the end of a list that has this parameter.
func behind(name, entries string) garble {
	return in("GetParameterValuesResponse", func(s string) string {
		if !strings.Contains(s, "<Name>"+name+"</Name>") {
			return s
		}
		return strings.Replace(s, "</ParameterList>", entries+"</ParameterList>", 1)
	})
}

// readsInVain has a Controller read a CPE that answers with what is no message: the Get fails, and is good again with the CPE.
func (b *bed) readsInVain(t *testing.T, make func(string) string) {
	t.Helper()
	var bad atomic.Bool
	d, p := b.boot(t, garbled(in("GetParameterValuesResponse", func(s string) string {
		if bad.Swap(false) {
			return make(s)
		}
		return s
	})))
	bad.Store(true)
	if lines, err := p.try(get(live)); err == nil && (len(lines) != 1 || lines[0] != live+" = "+d.Value(live)) {
		t.Errorf("the Controller was told %q", lines)
	}
	if err := d.WaitIdle(p.ctx); err != nil {
		t.Error(err)
	}
	p.has(t, get(live), live+" = "+d.Value(live))
}
