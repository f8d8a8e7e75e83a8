package websocket

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"isthmus/usp"
)

// dialURL is the URL at which the Endpoint dials: {endpoint_id} in base is replaced and eid is added to the query, with every "%" of
// the Endpoint ID as "%25" (R-WS.10b, R-WS.10c).
func dialURL(base string, id usp.EndpointID) (*url.URL, error) {
	u, err := url.Parse(strings.ReplaceAll(base, endpointHole, url.PathEscape(string(id))))
	if err != nil {
		return nil, fmt.Errorf("URL of the peer: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, fmt.Errorf("URL of the peer: %q is not ws://host or wss://host", u.Redacted())
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += eidItem + "=" + url.QueryEscape(string(id))
	return u, nil
}

// offered is the Endpoint ID that a peer gives in its extension header (R-WS.10a, R-WS.11a), "" if none.
func offered(h http.Header) string {
	for _, line := range h.Values(extHeader) {
		for ext := range strings.SplitSeq(line, ",") {
			// An extension has the syntax of a media type with parameters.
			if name, params, err := mime.ParseMediaType(ext); err == nil && name == extension {
				return params[eidItem]
			}
		}
	}
	return ""
}

// offer is the value of the extension header that names an Endpoint.
func offer(id usp.EndpointID) string { return fmt.Sprintf("%s; %s=%q", extension, eidItem, id) }
