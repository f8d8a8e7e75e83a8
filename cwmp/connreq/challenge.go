package connreq

import (
	"strings"

	"github.com/icholy/digest"
)

// parseChallenge reads the WWW-Authenticate header of a CPE, or returns nil if that is no Digest. Parameters may be separated by
// commas or, as some CPE do, by blanks alone, and quoted or not.
func parseChallenge(header string) *digest.Challenge {
	rest, ok := digest.CutPrefix(strings.TrimSpace(header))
	if !ok {
		return nil
	}
	ch := new(digest.Challenge)
	for {
		rest = strings.TrimLeft(rest, " \t,;")
		key, value, found := strings.Cut(rest, "=")
		if !found {
			return ch
		}
		value, rest = cutValue(strings.TrimLeft(value, " \t"))
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "realm":
			ch.Realm = value
		case "nonce":
			ch.Nonce = value
		case "opaque":
			ch.Opaque = value
		case "algorithm":
			ch.Algorithm = value
		case "qop":
			ch.QOP = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
		case "userhash":
			ch.Userhash = strings.EqualFold(value, "true")
		}
	}
}

func cutValue(s string) (value, rest string) {
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		value, rest, _ = strings.Cut(quoted, `"`)
		return value, rest
	}
	if end := strings.IndexAny(s, " \t,;"); end >= 0 {
		return s[:end], s[end:]
	}
	return s, ""
}
