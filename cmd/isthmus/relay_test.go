package main

import (
	"net/netip"
	"strings"
	"testing"
)

// What a Controller's URL leads to is fetched from public addresses, and from such networks of the operator's as are named; never from isthmus itself.
func TestTransferGuard(t *testing.T) {
	own := []netip.AddrPort{netip.MustParseAddrPort("[::]:7547"), netip.MustParseAddrPort("10.0.0.1:8080")}
	for allow, cases := range map[string]map[string]bool{
		"": {"192.0.2.1:443": true, "8.8.8.8:80": true, "[2606:4700::1]:443": true, "10.1.2.3:80": false, "192.168.1.1:80": false, "172.16.0.1:80": false, "100.64.0.1:80": false,
			"127.0.0.1:80": false, "[::1]:80": false, "169.254.169.254:80": false, "[fe80::1]:80": false, "[fd00::1]:80": false, "224.0.0.1:80": false, "0.0.0.0:80": false, "0.1.2.3:80": false,
			"255.255.255.255:80": false, "198.18.0.1:80": false, "[64:ff9b::a00:1]:80": false, "[2002:a00:1::]:80": false, "127.0.0.1:7547": false},
		"10.0.0.0/8":  {"10.1.2.3:80": true, "8.8.8.8:80": true, "192.168.1.1:80": false, "10.0.0.1:8080": false, "127.0.0.1:80": false},
		"127.0.0.0/8": {"127.0.0.1:80": true, "127.0.0.1:7547": false},
	} {
		var prefixes []netip.Prefix
		if allow != "" {
			prefixes = append(prefixes, netip.MustParsePrefix(allow))
		}
		guard := transferGuard(own, prefixes)
		for to, ok := range cases {
			err := guard(netip.MustParseAddrPort(to))
			if (err == nil) != ok {
				t.Errorf("%s with %q allowed: %v", to, allow, err)
			}
			if err != nil && !strings.Contains(err.Error(), "transfers.allow") {
				t.Errorf("%s: %v", to, err)
			}
		}
	}
}
