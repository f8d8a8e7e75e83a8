package legacy

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// conversion changes a value on its way to Device:2 and back. A nil function passes it on; back says false where the older data model has no such value.
type conversion struct {
	to   func(v string) string
	back func(v string) (string, bool)
}

// conversions are the transforms of one value, by their names in the tables.
var conversions = map[string]conversion{
	"":                           {},
	"alias":                      {},
	"secret; reads empty":        {},
	"same value":                 {},
	"same value as IP.Interface": {},
	"same value on SSID and AccessPoint; a write to either goes to the one source": {},
	"last value written through the proxy, else the value read; 0 = static":        {},
	"str2hex": {stringToHex, func(v string) (string, bool) {
		_, err := hex.DecodeString(v)
		return v, err == nil
	}},
	"b64hex": {to: base64ToHex, back: hexToBase64},
	"Auto=-1, else decimal Mbit/s": {
		func(v string) string {
			if v == "Auto" {
				return "-1"
			}
			return v
		},
		func(v string) (string, bool) {
			if v == "-1" {
				return "Auto", true
			}
			return v, true
		},
	},
	"Off=false, else true": {to: func(v string) string { return strconv.FormatBool(v != "Off") }},
	"true=Static, else DHCPv4/IPCP/RIP by interface type": {to: func(v string) string {
		if v == "true" {
			return "Static"
		}
		return "DHCPv4"
	}},
	"dotted mask to /len": {maskLength, dottedMask},
	"-1=0 (unused)": {
		func(v string) string {
			if v == "-1" {
				return "0"
			}
			return v
		},
		func(v string) (string, bool) {
			if v == "0" {
				return "-1", true
			}
			return v, v != "-1"
		},
	},
	"RIPv1 or RIPv2=true, else false": {
		func(v string) string { return strconv.FormatBool(v == "RIPv1" || v == "RIPv2") },
		func(v string) (string, bool) {
			if v == "true" {
				return "RIPv2", true
			}
			return "Off", v == "false"
		},
	},
	"utc-offset to POSIX TZ": {to: offsetToPOSIX},
	"Mbit/s (decimal string) times 1000 = kbit/s": {to: func(v string) string {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || f < 0 || f > 1e6 {
			return "0"
		}
		return strconv.Itoa(int(f * 1000))
	}},
}

// enumMap reads "a=b;c=d". What it does not name stays as it is.
func enumMap(pairs string) conversion {
	to, back := map[string]string{}, map[string]string{}
	for pair := range strings.SplitSeq(pairs, ";") {
		a, b, _ := strings.Cut(pair, "=")
		to[a] = b
		if _, known := back[b]; !known {
			back[b] = a
		}
	}
	return conversion{
		func(v string) string {
			if b, ok := to[v]; ok {
				return b
			}
			return v
		},
		func(v string) (string, bool) {
			a, ok := back[v]
			return a, ok
		},
	}
}

// keyToRef reads the number of a row of one table as a reference to it; none is below 1.
func keyToRef(table string) conversion {
	return conversion{
		func(v string) string {
			if n, err := strconv.ParseUint(v, 10, 32); err == nil && n > 0 {
				return table + v
			}
			return ""
		},
		func(v string) (string, bool) {
			if v == "" {
				return "-1", true
			}
			n, ok := strings.CutPrefix(strings.TrimSuffix(v, "."), table)
			_, err := strconv.ParseUint(n, 10, 32)
			return n, ok && err == nil
		},
	}
}

func stringToHex(v string) string {
	if _, err := hex.DecodeString(v); err == nil {
		return strings.ToUpper(v)
	}
	return strings.ToUpper(hex.EncodeToString([]byte(v)))
}

func base64ToHex(v string) string {
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return stringToHex(v)
	}
	return strings.ToUpper(hex.EncodeToString(b))
}

func hexToBase64(v string) (string, bool) {
	b, err := hex.DecodeString(v)
	return base64.StdEncoding.EncodeToString(b), err == nil
}

// offsetToPOSIX makes "+01:00" the time zone <+0100>-01:00: POSIX counts to the west. Some CPE have one of POSIX there already;
// what is neither says nothing.
func offsetToPOSIX(v string) string {
	if len(v) != len("+hh:mm") || v[3] != ':' || v[0] != '+' && v[0] != '-' {
		if isPOSIX(v) {
			return v
		}
		return ""
	}
	west := "-"
	if v[0] == '-' {
		west = "+"
	}
	return fmt.Sprintf("<%s%s>%s%s", v[:3], v[4:], west, v[1:])
}
