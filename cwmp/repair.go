package cwmp

import (
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// prepare turns a body into what follows the prolog, in UTF-8. The XML declaration goes: encoding/xml would refuse what it may
// say (another charset, version 1.1), and it has done its duty.
func prepare(body, contentType string) (string, error) {
	label := ""
	switch {
	case strings.HasPrefix(body, "\xEF\xBB\xBF"):
		body, label = body[3:], "utf-8"
	case strings.HasPrefix(body, "\xFE\xFF"):
		body, label = transcode(body[2:], "utf-16be"), "utf-8"
	case strings.HasPrefix(body, "\xFF\xFE"):
		body, label = transcode(body[2:], "utf-16le"), "utf-8"
	}
	text, declared, err := skipProlog(body)
	if err != nil {
		return "", err
	}
	if label == "" {
		label = declared
	}
	if label == "" && strings.Contains(contentType, "=") && contentType != usualType {
		if _, params, err := mime.ParseMediaType(contentType); err == nil {
			label = params["charset"]
		}
	}
	if label == "" || strings.EqualFold(label, "utf-8") {
		return text, nil
	}
	return transcode(text, label), nil
}

// usualType is what nearly all CPE send.
const usualType = "text/xml; charset=utf-8"

// transcode leaves text alone where the label is unknown or a lie.
func transcode(text, label string) string {
	enc, _ := charset.Lookup(label)
	if enc == nil {
		return text
	}
	utf, err := enc.NewDecoder().String(text)
	if err != nil {
		return text
	}
	return utf
}

// skipProlog returns what follows declaration, comments and blanks, and the encoding that the declaration names. A DOCTYPE can only
// stand here: none is ever parsed.
func skipProlog(text string) (rest, encoding string, err error) {
	for {
		text = strings.TrimLeft(text, " \t\r\n\x00")
		end := ""
		switch {
		case strings.HasPrefix(text, "<!--"):
			end = "-->"
		case strings.HasPrefix(text, "<!"):
			return "", "", ErrDoctype
		case strings.HasPrefix(text, "<?"):
			end = "?>"
		default:
			return text, encoding, nil
		}
		inside, after, found := strings.Cut(text, end)
		if !found {
			return "", "", ErrMalformed
		}
		if strings.HasPrefix(inside, "<?xml") {
			encoding = declaredEncoding(inside)
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
func repair(text string) string {
	text = cutEnvelope(text)
	var out strings.Builder
	out.Grow(len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			if latin1 := rune(text[i]); isChar(latin1) {
				out.WriteRune(latin1)
			}
		case r == '&':
			n = max(forbiddenReference(text[i:]), 1)
			if n == 1 {
				out.WriteByte('&')
			}
		case isChar(r):
			out.WriteString(text[i : i+n])
		}
		i += n
	}
	return out.String()
}

// cutEnvelope cuts what follows the first end tag of an Envelope.
func cutEnvelope(text string) string {
	const name = "Envelope"
	for at := 0; ; {
		i := strings.Index(text[at:], name)
		if i < 0 {
			return text
		}
		before := text[at : at+i]
		at += i + len(name)
		start := strings.LastIndexByte(before, '<')
		if start < 0 || !strings.HasPrefix(before[start:], "</") {
			continue
		}
		after := strings.TrimLeft(text[at:], " \t\r\n")
		if strings.HasPrefix(after, ">") {
			return text[:len(text)-len(after)+1]
		}
		at = len(text) - len(after)
	}
}

// forbiddenReference returns the length of a character reference to what is no character of XML, or 0.
func forbiddenReference(text string) int {
	const longest = len("&#x0010FFFF;")
	if !strings.HasPrefix(text, "&#") {
		return 0
	}
	end := strings.IndexByte(text[:min(longest, len(text))], ';')
	if end < 0 {
		return 0
	}
	digits, base := text[2:end], 10
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	if n, err := strconv.ParseUint(digits, base, 32); err != nil || n <= utf8.MaxRune && isChar(rune(n)) {
		return 0
	}
	return end + 1
}
