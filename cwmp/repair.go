package cwmp

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// prepare turns a body into what follows the prolog, in UTF-8. The XML declaration goes: encoding/xml would refuse what it may
// say (another charset, version 1.1), and it has done its duty.
func prepare(body []byte, contentType string) ([]byte, error) {
	label := ""
	switch {
	case bytes.HasPrefix(body, []byte("\xEF\xBB\xBF")):
		body, label = body[3:], "utf-8"
	case bytes.HasPrefix(body, []byte("\xFE\xFF")):
		body, label = transcode(body[2:], "utf-16be"), "utf-8"
	case bytes.HasPrefix(body, []byte("\xFF\xFE")):
		body, label = transcode(body[2:], "utf-16le"), "utf-8"
	}
	text, declared, err := skipProlog(body)
	if err != nil {
		return nil, err
	}
	if label == "" {
		label = declared
	}
	if label == "" && strings.Contains(contentType, "=") {
		if _, params, err := mime.ParseMediaType(contentType); err == nil {
			label = params["charset"]
		}
	}
	if label == "" || strings.EqualFold(label, "utf-8") {
		return text, nil
	}
	return transcode(text, label), nil
}

// transcode leaves text alone where the label is unknown or a lie.
func transcode(text []byte, label string) []byte {
	enc, _ := charset.Lookup(label)
	if enc == nil {
		return text
	}
	utf, err := enc.NewDecoder().Bytes(text)
	if err != nil {
		return text
	}
	return utf
}

// skipProlog returns what follows declaration, comments and blanks, and the encoding that the declaration names. A DOCTYPE can only
// stand here: none is ever parsed.
func skipProlog(text []byte) (rest []byte, encoding string, err error) {
	for {
		text = bytes.TrimLeft(text, " \t\r\n\x00")
		end := ""
		switch {
		case bytes.HasPrefix(text, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(text, []byte("<!")):
			return nil, "", ErrDoctype
		case bytes.HasPrefix(text, []byte("<?")):
			end = "?>"
		default:
			return text, encoding, nil
		}
		inside, after, found := bytes.Cut(text, []byte(end))
		if !found {
			return nil, "", ErrMalformed
		}
		if bytes.HasPrefix(inside, []byte("<?xml")) {
			encoding = declaredEncoding(string(inside))
		}
		text = after
	}
}

func declaredEncoding(declaration string) string {
	_, value, found := strings.Cut(declaration, "encoding")
	if !found {
		return ""
	}
	value = strings.TrimLeft(value, "= \t\r\n")
	if value == "" || value[0] != '"' && value[0] != '\'' {
		return ""
	}
	value, _, _ = strings.Cut(value[1:], value[:1])
	return value
}

// repair makes of text what encoding/xml takes: characters that XML forbids go, written out or as references, bytes that are not
// UTF-8 are read as Latin-1, and what follows the first Envelope is cut.
func repair(text []byte) []byte {
	text = cutEnvelope(text)
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			if latin1 := rune(text[i]); isChar(latin1) {
				out = utf8.AppendRune(out, latin1)
			}
		case r == '&':
			n = max(forbiddenReference(text[i:]), 1)
			if n == 1 {
				out = append(out, '&')
			}
		case isChar(r):
			out = append(out, text[i:i+n]...)
		}
		i += n
	}
	return out
}

// cutEnvelope cuts what follows the first end tag of an Envelope.
func cutEnvelope(text []byte) []byte {
	const name = "Envelope"
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(name))
		if i < 0 {
			return text
		}
		before := text[at : at+i]
		at += i + len(name)
		start := bytes.LastIndexByte(before, '<')
		if start < 0 || !bytes.HasPrefix(before[start:], []byte("</")) {
			continue
		}
		after := bytes.TrimLeft(text[at:], " \t\r\n")
		if bytes.HasPrefix(after, []byte(">")) {
			return text[:len(text)-len(after)+1]
		}
		at = len(text) - len(after)
	}
}

// forbiddenReference returns the length of a character reference to what is no character of XML, or 0.
func forbiddenReference(text []byte) int {
	const longest = len("&#x0010FFFF;")
	if !bytes.HasPrefix(text, []byte("&#")) {
		return 0
	}
	end := bytes.IndexByte(text[:min(longest, len(text))], ';')
	if end < 0 {
		return 0
	}
	digits, base := string(text[2:end]), 10
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	if n, err := strconv.ParseUint(digits, base, 32); err != nil || n <= utf8.MaxRune && isChar(rune(n)) {
		return 0
	}
	return end + 1
}
