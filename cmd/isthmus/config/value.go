package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A scalar is a value that is written as text. The error of parse says what to write instead.
type scalar interface{ parse(text string) error }

// Duration is written as Go writes it: "15s", "24h".
type Duration time.Duration

func (d *Duration) parse(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration: write it with a unit, such as 15s, 5m or 24h", text)
	}
	if v < 0 {
		return fmt.Errorf("%s is negative: write 0s or more", text)
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes, written plainly or with KiB, MiB or GiB.
type Size int64

func (s *Size) parse(text string) error {
	digits, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = strings.TrimSpace(n), 1<<(10*(i+1))
		}
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || v <= 0 || v > (1<<62)/unit {
		return fmt.Errorf("%q is no size: write bytes, such as 65536, or 64KiB, 32MiB, 1GiB", text)
	}
	*s = Size(v * unit)
	return nil
}

// Address is where a listener listens, host:port; "" is nowhere.
type Address string

func (a *Address) parse(text string) error {
	if text == "" {
		*a = ""
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is no address: write host:port, or :port for all addresses", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port from 0 to 65535 after its colon", text)
	}
	if strings.ContainsAny(host, " /") {
		return fmt.Errorf("%q is no host name or IP address", host)
	}
	*a = Address(text)
	return nil
}

// Loopback says whether only this machine can reach the address.
func (a Address) Loopback() bool {
	host, _, err := net.SplitHostPort(string(a))
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Addr is an IP address.
type Addr struct{ netip.Addr }

func (a *Addr) parse(text string) (err error) {
	if a.Addr, err = netip.ParseAddr(text); err != nil {
		return fmt.Errorf("%q is no IP address", text)
	}
	return nil
}

// Prefix is a range of IP addresses.
type Prefix struct{ netip.Prefix }

func (p *Prefix) parse(text string) error {
	v, err := netip.ParsePrefix(text)
	if err != nil {
		return fmt.Errorf("%q is no CIDR: write 192.0.2.0/24 or 2001:db8::/32", text)
	}
	if v != v.Masked() {
		return fmt.Errorf("%s has bits set beyond its length: write %s", v, v.Masked())
	}
	p.Prefix = v
	return nil
}

// Secret is text that never shows: not in logs, not when printed, not when marshalled. Convert it to a string to use it.
type Secret string

const hidden = "<hidden>"

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) {
	text, _ := s.MarshalText()
	_, _ = f.Write(text) // the error is the printer's to tell
}

// MarshalText implements encoding.TextMarshaler, and so hides the secret from JSON, YAML and slog.
func (s Secret) MarshalText() ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return []byte(hidden), nil
}

func (s *Secret) parse(text string) error {
	*s = Secret(text)
	return nil
}

var errBool = errors.New("must be true or false")

func parseBool(text string) (bool, error) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, errBool
}
