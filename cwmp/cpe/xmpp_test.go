package cpe

import (
	"strings"
	"testing"

	"isthmus/cwmp/xmpp"
	"isthmus/cwmp/xmpp/xmpptest"
)

func TestXMPP(t *testing.T) {
	s := xmpptest.New(t, map[string]string{"cpe": "x", "acs": "y"}, nil)
	a := newACS(t)
	c := run(t, Config{ACS: a.URL, ConnReqUsername: "cr", ConnReqPassword: "secret",
		XMPP: &xmpp.Options{Server: s.Address, JID: "cpe@" + xmpptest.Domain + "/cwmp", Password: "x", TLS: s.TLS}})
	const jid = "Device.ManagementServer.ConnReqJabberID"
	if err := c.wait(timeout(t), func() bool { return c.tree.value(jid) != "" }); err != nil {
		t.Fatal(err)
	}
	idle(t, c)
	acs, err := xmpp.Dial(t.Context(), xmpp.Options{Server: s.Address, JID: "acs@" + xmpptest.Domain, Password: "y", TLS: s.TLS})
	if err != nil {
		t.Fatal(err)
	}
	defer acs.Close()
	ask := func(username, password string) string {
		t.Helper()
		u, p := xmpp.New(nsConnReq, "username"), xmpp.New(nsConnReq, "password")
		u.Text, p.Text = username, password
		if err := acs.Send(xmpp.New(xmpp.NSClient, "iq", "type", "get", "to", c.Value(jid), "id", "1").Add(xmpp.New(nsConnReq, "connectionRequest").Add(u, p))); err != nil {
			t.Fatal(err)
		}
		e, err := acs.Read()
		if err != nil {
			t.Fatal(err)
		}
		if failure := e.Child(xmpp.NSClient, "error"); failure != nil {
			return failure.Condition(xmpp.NSStanzas)
		}
		return e.Get("type")
	}
	n := c.Sessions()
	if got := ask("cr", "wrong"); got != "not-authorized" {
		t.Error(got)
	}
	if got := ask("cr", "secret"); got != "result" || !strings.HasSuffix(c.Value(jid), "/cwmp") {
		t.Error(got)
	}
	if err := c.WaitSessions(timeout(t), n+1); err != nil {
		t.Fatal(err)
	}
	if got := codes(a.inform(-1)); got != "6 CONNECTION REQUEST" || c.Sessions() != n+1 {
		t.Errorf("%s, %d sessions", got, c.Sessions()-n)
	}
}
