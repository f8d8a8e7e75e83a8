package cwmp

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// The server's side of Digest (RFC 2617 with MD5, which is what TR-069 3.4.4 asks of CPE), as tolerant as CPE need it: the uri is taken as
// it came, nonce counts are not looked at, parameters may be quoted or not, and the form of RFC 2069 (no qop) will do.

// nonceSize is 4 bytes of time and 14 of a MAC, 24 characters in all: some CPE have room for 32.
const nonceSize = 18

// nonce is that of a second: any server with the key knows it again, on whatever connection it comes back.
func (g *gate) nonce(unix uint32) string {
	var b [nonceSize]byte
	binary.BigEndian.PutUint32(b[:], unix)
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write(b[:4])
	copy(b[4:], mac.Sum(nil))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// fresh says whether a nonce is ours and not too old.
func (g *gate) fresh(nonce string, now time.Time) bool {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != nonceSize {
		return false
	}
	unix := binary.BigEndian.Uint32(b)
	age := now.Sub(time.Unix(int64(unix), 0))
	return age >= 0 && age <= nonceLife && hmac.Equal([]byte(nonce), []byte(g.nonce(unix)))
}

// challenge is the WWW-Authenticate header of a 401, short and of one line. Only qop=auth is offered: auth-int breaks some CPE.
func (g *gate) challenge(now time.Time, stale bool) string {
	if g.Scheme == Basic {
		return `Basic realm="` + realm + `"`
	}
	h := `Digest realm="` + realm + `", nonce="` + g.nonce(uint32(now.Unix())) + `", qop="auth", algorithm=MD5`
	if stale {
		h += ", stale=true"
	}
	return h
}

// digest checks the credentials of an Authorization header.
func (g *gate) digest(method, credentials string, now time.Time) (user, outcome string) {
	c := parseDigest(credentials)
	ha1 := hexMD5(c.username, realm, g.password(c.username))
	switch {
	case c.algorithm == "" || strings.EqualFold(c.algorithm, "MD5"):
	case strings.EqualFold(c.algorithm, "MD5-sess"):
		ha1 = hexMD5(ha1, c.nonce, c.cnonce)
	default:
		return c.username, authCredentials
	}
	ha2 := hexMD5(method, c.uri)
	var want string
	switch {
	case c.qop == "":
		want = hexMD5(ha1, c.nonce, ha2)
	case strings.EqualFold(c.qop, "auth"):
		want = hexMD5(ha1, c.nonce, c.nc, c.cnonce, c.qop, ha2)
	default:
		return c.username, authCredentials
	}
	if subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(c.response))) != 1 {
		return c.username, authCredentials
	}
	if !g.fresh(c.nonce, now) {
		return c.username, authStale
	}
	return c.username, authOK
}

// hexMD5 is the H of RFC 2617 over parts joined by colons.
func hexMD5(parts ...string) string {
	var buf [256]byte
	b := buf[:0]
	for i, p := range parts {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, p...)
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// digestCredentials are the parameters of a Digest Authorization header that matter.
type digestCredentials struct {
	username, nonce, uri, response, algorithm, qop, nc, cnonce string
}

// parseDigest reads parameters in any order, quoted or not, separated by commas or blanks. Of two with one name the first counts.
func parseDigest(s string) (c digestCredentials) {
	seen := 0
	for {
		s = strings.TrimLeft(s, " \t,")
		name, rest, found := strings.Cut(s, "=")
		if !found {
			return c
		}
		var value string
		value, s = cutParameter(strings.TrimLeft(rest, " \t"))
		for i, p := range []struct {
			name string
			to   *string
		}{
			{"username", &c.username}, {"nonce", &c.nonce}, {"uri", &c.uri}, {"response", &c.response},
			{"algorithm", &c.algorithm}, {"qop", &c.qop}, {"nc", &c.nc}, {"cnonce", &c.cnonce},
		} {
			if strings.EqualFold(strings.TrimRight(name, " \t"), p.name) && seen&(1<<i) == 0 {
				*p.to, seen = value, seen|1<<i
			}
		}
	}
}

// cutParameter cuts off a token or a quoted string, whose backslashes it takes away.
func cutParameter(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		if end := strings.IndexAny(s, " \t,"); end >= 0 {
			return s[:end], s[end:]
		}
		return s, ""
	}
	s = s[1:]
	escaped := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if value = s[:i]; escaped {
				value = unescape(value)
			}
			return value, s[i+1:]
		}
	}
	return s, "" // the closing quote is missing
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
